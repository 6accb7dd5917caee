"""Inside GIMP: results of every kind, in images of every precision."""

from pathlib import Path

from gi.repository import Gimp
from making import Report, add_layer, add_mask, new_image

REPLACE = Gimp.ChannelOps.REPLACE
SIZE = (48, 32)


def precisions(report: Report, precision: str, kind: str) -> None:
    image = new_image(*SIZE, kind.removesuffix("A"), precision)
    report.run_case(f"{kind} {precision}", image, [add_layer(image, kind)])


def profile(report: Report) -> None:
    for precision in ("U8_NON_LINEAR", "FLOAT_NON_LINEAR"):
        image = new_image(*SIZE, "RGB", precision)
        image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
        report.run_case(f"adobe {precision}", image, [add_layer(image, "RGBA")])


def region(report: Report, output: str) -> None:
    image = new_image(400, 300)
    layer = add_layer(image, size=(300, 200), at=(50, 40))
    image.select_rectangle(REPLACE, 120, 100, 60, 40)
    report.run_case(f"region {output}", image, [layer], output=output)


def place(report: Report) -> None:
    image = new_image(*SIZE)
    add_layer(image, name="bottom")
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    for name in ("lower", "subject", "upper"):
        layer = add_layer(image, "RGBA", name=name, size=(30, 20), at=(-4, 6), parent=group)
        if name == "subject":
            subject = layer
    subject.set_opacity(40.0)
    subject.set_mode(Gimp.LayerMode.MULTIPLY)
    report.run_case("place", image, [subject], hide_original=False)

    image = new_image(*SIZE)
    group = Gimp.GroupLayer.new(image, "subject")
    image.insert_layer(group, None, 0)
    add_layer(image, "RGBA", name="child", size=(30, 20), at=(5, 6), parent=group)
    report.run_case("group", image, [group])


def masks(report: Report) -> None:
    for precision in ("U8_NON_LINEAR", "U16_LINEAR", "FLOAT_LINEAR"):
        image = new_image(*SIZE, "RGB", precision)
        layer = add_layer(image, "RGBA")
        report.run_case(f"mask {precision}", image, [layer], output="mask")
    image = new_image(*SIZE)
    layer = add_layer(image)
    report.run_case("mask replaced", image, [add_mask(layer)], output="mask")
    image = new_image(*SIZE)
    layer = add_layer(image)
    add_mask(layer)
    report.run_case("mask stays on the original", image, [layer])
    image = new_image(*SIZE, "INDEXED")
    report.run_case("mask indexed", image, [add_layer(image, "INDEXEDA")], output="mask")


def selections(report: Report) -> None:
    for precision in ("U8_NON_LINEAR", "FLOAT_LINEAR"):
        image = new_image(*SIZE, "RGB", precision)
        layer = add_layer(image, size=(60, 20), at=(-5, 8))
        report.run_case(f"selection {precision}", image, [layer], output="selection")


def trimaps(report: Report) -> None:
    for name, kind, precision in (
        ("trimap RGB", "RGB", "U8_NON_LINEAR"),
        ("trimap GRAY", "GRAY", "U8_NON_LINEAR"),
        ("trimap linear", "RGB", "FLOAT_LINEAR"),
    ):
        image = new_image(*SIZE, kind, precision)
        report.run_case(name, image, [add_layer(image, kind, at=(3, -2))], output="trimap")
    image = new_image(*SIZE)
    image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
    report.run_case("trimap adobe", image, [add_layer(image)], output="trimap")


def main(folder: Path, orders: Path, cases: list[str]) -> None:
    report = Report(folder, orders)
    for case in cases:
        kind, precision = case.split()
        report.do(precisions, precision, kind)
    for output in ("layer", "mask", "selection", "trimap"):
        report.do(region, output)
    for make in (profile, place, masks, selections, trimaps):
        report.do(make)
    report.write()

"""Inside GIMP: layers, masks, selections and trimaps of every kind that are sent to a backend."""

from pathlib import Path

from gi.repository import Gegl, Gimp, Gio
from making import Report, add_layer, add_mask, new_image, read, run, write

REPLACE = Gimp.ChannelOps.REPLACE


def sent_kinds(report: Report) -> None:
    for kind in ("RGB", "RGBA", "GRAY", "GRAYA", "INDEXED", "INDEXEDA"):
        image = new_image(48, 32, kind.removesuffix("A"))
        report.run_case(f"kind {kind}", image, [add_layer(image, kind)])


def profiles(report: Report) -> None:
    for precision in ("U8_NON_LINEAR", "FLOAT_LINEAR"):
        image = new_image(48, 32, "RGB", precision)
        image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
        report.run_case(f"adobe {precision}", image, [add_layer(image, "RGBA")])
    image = new_image(48, 32, "GRAY")
    image.set_color_profile(Gimp.ColorProfile.new_d50_gray_lab_trc())
    report.run_case("gray profile", image, [add_layer(image, "GRAY")])
    image = new_image(48, 32)
    image.set_color_profile(Gimp.ColorProfile.new_rgb_srgb())
    report.run_case("srgb profile", image, [add_layer(image)])


def places(report: Report) -> None:
    for name, size, at in (
        ("negative offset", (60, 40), (-7, -5)),
        ("partly off the canvas", (20, 12), (35, 25)),
        ("inside the canvas", (20, 12), (9, 4)),
    ):
        image = new_image(48, 32)
        layer = add_layer(image, "RGBA", size=size, at=at)
        image.select_ellipse(REPLACE, 10, 5, 34, 26)
        Gimp.Selection.feather(image, 6)
        report.run_case(name, image, [layer])
    image = new_image(48, 32)
    report.run_case("off the canvas", image, [add_layer(image, size=(20, 12), at=(100, -50))])


def selections(report: Report) -> None:
    image = new_image(400, 300)
    layer = add_layer(image, size=(300, 200), at=(50, 40))
    image.select_rectangle(REPLACE, 120, 100, 60, 40)
    report.run_case("region", image, [layer])

    image = new_image(400, 300)
    layer = add_layer(image, size=(300, 200), at=(50, 40))
    image.select_rectangle(REPLACE, 355, 10, 30, 30)
    report.run_case("selection outside", image, [layer])


def saved_selection(report: Report, folder: Path) -> None:
    image = new_image(48, 32)
    add_layer(image)
    image.select_ellipse(REPLACE, 10, 5, 20, 20)
    Gimp.Selection.feather(image, 6)
    levels = list(read(image.get_selection()))
    report.save("selection from a file", image)
    image.delete()
    image = Gimp.file_load(
        Gimp.RunMode.NONINTERACTIVE,
        Gio.File.new_for_path(str(folder / "selection from a file.xcf")),
    )
    report.run_case("selection from a file", image, image.get_layers())
    report.add("selection from a file", levels=levels)


def masks(report: Report) -> None:
    image = new_image(48, 32)
    layer = add_layer(image)
    add_mask(layer)
    report.run_case("mask as hint", image, [layer])

    image = new_image(48, 32)
    layer = add_layer(image)
    add_mask(layer)
    image.select_ellipse(REPLACE, 10, 5, 20, 20)
    report.run_case("mask and selection", image, [layer])

    image = new_image(48, 32)
    report.run_case("mask is active", image, [add_mask(add_layer(image))])


def groups(report: Report) -> None:
    image = new_image(48, 32)
    add_layer(image, name="below")
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    add_layer(image, "RGBA", name="one", size=(20, 12), at=(5, 3), parent=group)
    add_layer(image, "RGBA", name="two", size=(20, 12), at=(15, 8), parent=group)
    report.run_case("group", image, [group])


def texts(report: Report) -> None:
    image = new_image(120, 60)
    text = Gimp.TextLayer.new(image, "Hair", Gimp.context_get_font(), 30, Gimp.Unit.pixel())
    image.insert_layer(text, None, 0)
    text.set_offsets(11, 7)
    report.run_case("text", image, [text])


def refusals(report: Report) -> None:
    image = new_image(48, 32)
    layers = [add_layer(image, name="one"), add_layer(image, name="two")]
    report.run_case("several layers", image, layers)
    image = new_image(48, 32)
    add_layer(image)
    report.run_case("no layer", image, [])
    image = new_image(48, 32)
    add_layer(image)
    channel = Gimp.Channel.new(image, "channel", 48, 32, 50.0, Gegl.Color.new("black"))
    image.insert_channel(channel, None, 0)
    report.run_case("channel", image, [channel])


def trimaps(report: Report) -> None:
    ramp = bytes(range(256)) * 6
    for precision in ("U8_NON_LINEAR", "FLOAT_LINEAR"):
        image = new_image(48, 32, "RGB", precision)
        layer = add_layer(image)
        trimap = add_layer(image, name="painted")
        write(trimap, ramp, "Y' u8")
        image.select_rectangle(REPLACE, 0, 0, 3, 3)
        report.run_case(f"trimap argument {precision}", image, [layer], trimap_layer=trimap)

    image = new_image(48, 32)
    layer = add_layer(image, size=(40, 30), at=(4, 1))
    trimap = add_layer(image, name="painted", size=(48, 32))
    write(trimap, ramp, "Y' u8")
    report.run_case("trimap elsewhere", image, [layer], trimap_layer=trimap)

    image = new_image(48, 32)
    layer = add_layer(image, at=(3, 2))
    run(image, [layer], output="trimap")
    trimap = image.get_selected_layers()[0]
    write(trimap, ramp, "Y' u8")  # repainted
    report.run_case("trimap repainted", image, [trimap])

    image = new_image(48, 32)
    layer = add_layer(image)
    run(image, [layer], output="trimap")
    trimap = image.get_selected_layers()[0]
    image.remove_layer(layer)
    report.run_case("trimap without its layer", image, [trimap])


def arguments(report: Report) -> None:
    image = new_image(48, 32)
    report.run_case(
        "all arguments",
        image,
        [add_layer(image)],
        output="mask",
        radius=12.5,
        shift_edge=-20.0,
        decontaminate=40.0,
        matter="closed-form",
        segmenter="grabcut",
        classes="cat,  dog ",
        device="cpu",
        trimap_method="probability",
        inner_radius=3.0,
        low_probability=0.2,
        high_probability=0.8,
        holes=False,
        hide_original=False,
    )


def main(folder: Path, orders: Path) -> None:
    report = Report(folder, orders)
    for make in (
        sent_kinds,
        profiles,
        places,
        selections,
        masks,
        groups,
        texts,
        refusals,
        trimaps,
        arguments,
    ):
        report.do(make)
    report.do(saved_selection, folder)
    report.write()

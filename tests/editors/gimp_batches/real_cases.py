"""Inside GIMP: a picture for the real backend."""

from pathlib import Path

from gi.repository import Gimp
from making import Report, add_layer, new_image, write


def main(folder: Path, orders: Path, picture: str, size: list[int]) -> None:
    report = Report(folder, orders)
    width, height = size
    image = new_image(width, height)
    layer = add_layer(image)
    write(layer, Path(picture).read_bytes(), "R'G'B' u8")
    image.select_ellipse(Gimp.ChannelOps.REPLACE, width / 4, height / 5, width / 2, height / 1.7)
    report.run_case("disc", image, [layer])

    image = new_image(48, 32)
    report.run_case("no selection", image, [add_layer(image)])
    report.write()

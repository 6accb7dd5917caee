"""Inside GIMP: one run on one small image."""

from pathlib import Path
from typing import Any

from gi.repository import Gimp
from making import Report, add_layer, new_image


def main(folder: Path, orders: Path, **arguments: Any) -> None:
    report = Report(folder, orders)
    image = new_image(48, 32)
    layer = add_layer(image)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 10, 5, 20, 20)
    report.run_case("one", image, [layer], **arguments)
    report.write()

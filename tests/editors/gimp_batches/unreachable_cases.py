"""Inside GIMP: runs where no backend can be had, one after the other with another backend.json."""

import json
from pathlib import Path

from failure_orders import INSTALLED
from gi.repository import Gimp
from making import Report, add_layer, new_image


def unreachable(report: Report, facts_file: Path, name: str, facts: str) -> None:
    facts_file.write_text(facts)
    image = new_image(48, 32)
    layer = add_layer(image)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 10, 5, 20, 20)
    report.run_case(name, image, [layer])


def main(folder: Path, orders: Path, facts_file: str) -> None:
    report = Report(folder, orders)
    for name, facts in INSTALLED.items():
        report.do(unreachable, Path(facts_file), name, json.dumps(facts))
    report.do(unreachable, Path(facts_file), "broken facts", "{")
    report.write()

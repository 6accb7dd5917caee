"""Inside GIMP: runs that fail, each on a fresh image, with what the backend is told before."""

import json
from pathlib import Path
from typing import Any

from failure_orders import CHANGES, CRASHES, ORDERS, OUTPUTS, REFUSED_BY_ENGINE, UNRELATED
from gi.repository import Gimp
from making import Report, add_layer, add_mask, new_image, run, told_image


def small_image() -> tuple[Gimp.Image, Gimp.Layer]:
    """A layer with a mask, and a selection."""
    image = new_image(48, 32)
    layer = add_layer(image)
    add_mask(layer)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 10, 5, 20, 20)
    return image, layer


def fail(report: Report, orders: Path, name: str, order: dict[str, Any]) -> None:
    orders.write_text(json.dumps(order))
    image, layer = small_image()
    report.run_case(name, image, [layer])


def failures(report: Report, orders: Path) -> None:
    for name, order in ORDERS.items():
        fail(report, orders, name, order)
    orders.write_text(json.dumps(REFUSED_BY_ENGINE))
    for output in OUTPUTS:
        image, layer = small_image()
        report.run_case(f"no {output}", image, [layer], output=output)


def meddling(report: Report, orders: Path, scripts: Path) -> None:
    for name, change in {**CHANGES, **UNRELATED}.items():
        image, layer = small_image()
        meddle(report, orders, scripts / name, layer, change)
        report.run_case(name, image, [layer])

    image, layer = small_image()
    meddle(report, orders, scripts / "closed", layer, "image.delete()")
    before = told_image(image)
    status, problem = run(image, [layer])
    report.add("closed", before=before, status=status, problem=problem, job=0, jobs=0)
    report.add("closed", is_valid=image.is_valid())
    orders.write_text("{}")


def meddle(report: Report, orders: Path, script: Path, layer: Gimp.Layer, change: str) -> None:
    """Have something done to a layer while the plug-in waits; the backend waits for it too."""
    wait = (
        "import pathlib, time\n"
        f"while not pathlib.Path({str(report.seen)!r}).read_text().count('\\n') >"
        f" {report.jobs_seen()}: time.sleep(0.02)\n"
    )
    found = f"layer = Gimp.Layer.get_by_id({layer.get_id()}); image = layer.get_image()\n"
    script.with_suffix(".new").write_text(wait + found + change)
    script.with_suffix(".new").rename(script.with_suffix(".todo"))
    orders.write_text(json.dumps({"seconds": 60, "until": str(script.with_suffix(".done"))}))


def indexed(report: Report) -> None:
    image = new_image(48, 32, "INDEXED")
    report.run_case("indexed trimap", image, [add_layer(image, "INDEXED")], output="trimap")


def main(folder: Path, orders: Path, scripts: str) -> None:
    report = Report(folder, orders)
    report.do(failures, orders)
    report.do(meddling, orders, Path(scripts))
    report.do(indexed)
    orders.write_text("{}")
    image, layer = small_image()
    report.run_case("afterwards", image, [layer])
    for name, order in CRASHES.items():
        report.do(fail, orders, name, order)
    report.write()

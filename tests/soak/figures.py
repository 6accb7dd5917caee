"""Figures of the long programs: where they were seen, and into which document they go."""

import datetime as dt
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import zmq


class Figure(NamedTuple):
    """
    What was seen of one thing.

    Attributes:
        name: of what.
        seen: the figure.
        limit: the goal; "" where there is none.
        is_met: whether the figure keeps to it.
    """

    name: str
    seen: str
    limit: str
    is_met: bool


def zero(name: str, seen: int) -> Figure:
    return Figure(name, str(seen), "0", seen == 0)


def figure_table(figures: Iterable[Figure]) -> str:
    rows = [
        (f.name, f.seen, f.limit, ("met" if f.limit else "") if f.is_met else "**not met**")
        for f in figures
    ]
    return table(("figure", "seen", "goal", ""), rows)


def describe_machine() -> str:
    """Machine and date, for the line above the figures."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return (
        f"{model}, {os.cpu_count()} cores; {platform.system()} {platform.machine()}; Python"
        f" {platform.python_version()}; libzmq {zmq.zmq_version()};"
        f" {dt.datetime.now(dt.UTC):%Y-%m-%d}"
    )


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def put_into(document: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = document.read_text(encoding="utf-8").partition(first)
    _, found, after = rest.partition(last)
    if not found:
        raise SystemExit(f"{document} has no place for {name}")
    document.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}", encoding="utf-8")

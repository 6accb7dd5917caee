"""Figures of the long programs: where they were seen, and into which document they go."""

import datetime as dt
import os
import platform
import sys
from collections.abc import Iterable, Sequence
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


def report(name: str, document: Path | None, figures: Sequence[Figure], *said: str) -> int:
    """
    Print what was seen below the machine's name, and put it into a document if one is given.

    Args:
        name: of the program; its place in the document.
        document: which gets the figures, or None.
        figures: for the table.
        said: paragraphs above the table.

    Returns:
        The program's exit code: 1 when a goal isn't held.
    """
    tables = [figure_table(figures)] if figures else []
    text = "\n\n".join((f"Machine: {describe_machine()}.", *said, *tables))
    sys.stdout.write(f"\n{text}\n")
    if document:
        put_into(document, name, text)
    return 0 if all(figure.is_met for figure in figures) else 1


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

"""Turns the rows of an evaluation into tables for the terminal and for Markdown."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from statistics import fmean

import rich.box
import rich.table

from smart_matte.evaluation.datasets import SELECTED_SETS
from smart_matte.evaluation.evaluate import Row

LIBRARIES = ("torch", "numpy", "pymatting")
"""Libraries whose version can move a figure."""


@dataclass(frozen=True)
class Table:
    """
    A table of text.

    Attributes:
        title: what it shows.
        header: column names.
        rows: cells, as many in each row as the header has.
        text_columns: so many columns from the left are text; the others are figures.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1


def summarise(rows: Sequence[Row]) -> Table:
    """The means of every engine over every set, one line each."""
    lines = []
    for group in _groups(rows):
        first = group[0]
        selection = _mean([row.selection_sad for row in group])
        worse = str(sum(row.is_worse for row in group)) if first.set_name in SELECTED_SETS else ""
        cells = (first.set_name, _engine_label(first), str(len(group)), selection)
        lines.append((*cells, *_figures(group), worse))
    header = ("set", "engine", "pictures", "selection", *FIGURES, "worse")
    return Table("Means", header, tuple(lines), text_columns=2)


def tabulate(rows: Sequence[Row]) -> list[Table]:
    """One table for each engine over each set: a line for each picture, then the mean."""
    return [_tabulate_group(group) for group in _groups(rows)]


def to_rich(table: Table) -> rich.table.Table:
    """The table for a terminal."""
    result = rich.table.Table(
        title=table.title,
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for index, name in enumerate(table.header):
        is_text = index < table.text_columns
        result.add_column(name, justify="left" if is_text else "right", no_wrap=is_text)
    for cells in table.rows:
        result.add_row(*cells)
    return result


def to_markdown(tables: Sequence[Table], command: str, machine: str) -> str:
    """
    A Markdown page: how the figures were made, then the tables.

    Args:
        tables: in the order of the page.
        command: the command line that makes the figures again.
        machine: one line about the machine.
    """
    parts = [f"    {command}\n\n{machine}\n\n{LEGEND}\n"]
    for table in tables:
        figures = len(table.header) - table.text_columns
        rule = ("---",) * table.text_columns + ("---:",) * figures
        lines = (table.header, rule, *table.rows)
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts.append(f"### {table.title}\n\n{body}\n")
    return "\n".join(parts)


def describe_machine(rows: Sequence[Row]) -> str:
    """One line: processor, threads, device, system, versions."""
    devices = sorted({row.device for row in rows})
    versions = [f"{library} {version(library)}" for library in LIBRARIES]
    facts = (
        f"{_processor()}, {os.cpu_count()} threads",
        f"ran on {', '.join(devices)}",
        f"{platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
        *versions,
    )
    return "Machine: " + "; ".join(facts) + "."


FIGURES = ("SAD", "MSE e3", "Grad", "Conn", "unknown", "s")
"""Names of the columns that ``_figures`` fills."""

LEGEND = (
    "SAD, Grad and Conn are divided by 1000, MSE is multiplied by 1000: the conventions of the"
    " matting literature. Sets with trimaps count the unknown region, “rough” and “loose”"
    " count the whole picture. “fba-reference” is held against what the published FBA network"
    " gave. “selection” is the SAD of the drawn selection by itself, “known” the part of the SAD"
    " that lies where the trimap left nothing to the matting model, “unknown” the share of the"
    " picture that it did leave, “s” the seconds on this machine. A note “by …” tells what made"
    " the trimap where the segmenter found nothing."
)


def _tabulate_group(group: Sequence[Row]) -> Table:
    """One table of one engine over one set."""
    first = group[0]
    title = f"{first.set_name}: {_engine_label(first)}"
    if first.set_name not in SELECTED_SETS:
        pictures = tuple((row.picture, *_figures([row])) for row in group)
        return Table(title, ("picture", *FIGURES), (*pictures, ("mean", *_figures(group))))
    lines = []
    for name, part, note in (
        *((row.picture, [row], _note(row)) for row in group),
        ("mean", group, f"{sum(row.is_worse for row in group)} worse"),
    ):
        selection = _mean([row.selection_sad for row in part])
        known = _mean([row.known_sad for row in part])
        lines.append((name, selection, *_figures(part), known, note))
    header = ("picture", "selection", *FIGURES, "known", "note")
    return Table(title, header, tuple(lines))


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same set and engine, in the order in which these first appear."""
    keys = [(row.set_name, _engine_label(row)) for row in rows]
    order = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    by_engine = sorted(rows, key=lambda row: order[row.set_name, _engine_label(row)])
    grouped = groupby(by_engine, key=lambda row: (row.set_name, _engine_label(row)))
    return [list(group) for _, group in grouped]


def _engine_label(row: Row) -> str:
    """The matting model and, where one was asked for, the segmenter."""
    return " + ".join(filter(None, (row.matter, row.segmenter)))


def _figures(rows: Sequence[Row]) -> tuple[str, ...]:
    """The means of some rows, one cell for each of ``FIGURES``."""
    errors = [row.errors for row in rows]
    return (
        _mean([error.sad for error in errors]),
        _mean([error.mse * 1000 for error in errors]),
        _mean([error.gradient for error in errors]),
        _mean([error.connectivity for error in errors]),
        f"{fmean(row.unknown_share for row in rows):.1%}",
        f"{fmean(row.seconds for row in rows):.1f}",
    )


def _mean(values: Sequence[float | None]) -> str:
    """The mean to two decimals; empty when a value is missing."""
    present = [value for value in values if value is not None]
    return f"{fmean(present):.2f}" if len(present) == len(values) else ""


def _note(row: Row) -> str:
    """What a reader has to know: a result worse than its selection, a segmenter that gave up."""
    fallback = f"by {row.segmenter_used}" if row.segmenter_used != row.segmenter else ""
    return ", ".join(filter(None, ("WORSE" if row.is_worse else "", fallback)))


def _processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

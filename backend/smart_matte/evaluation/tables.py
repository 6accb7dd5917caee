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
from smart_matte.evaluation.ratios import Ratio
from smart_matte.evaluation.references import CLOSED_FORM
from smart_matte.evaluation.rows import Row

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
        cells = (first.set_name, first.engine, str(len(group)), selection)
        lines.append((*cells, *_figures(group), worse))
    header = ("set", "engine", "pictures", "selection", *FIGURES, "worse")
    return Table("Means", header, tuple(lines), text_columns=2)


def summarise_colours(rows: Sequence[Row]) -> list[Table]:
    """The means of the colour errors, one line each; no table where no truth of colour is known."""
    groups = _groups([row for row in rows if row.colours is not None])
    if not groups:
        return []
    lines = tuple(
        (group[0].set_name, group[0].engine, str(len(group)), *_colour_figures(group))
        for group in groups
    )
    header = ("set", "engine", "pictures", *COLOUR_FIGURES)
    return [Table("Colours", header, lines, text_columns=2)]


def tabulate_ratios(ratios: Sequence[Ratio]) -> list[Table]:
    """A line for each figure and a column for each matting model; no table without ratios."""
    if not ratios:
        return []
    matters = tuple(dict.fromkeys(name for ratio in ratios for name in ratio.of))
    lines = tuple(
        (
            ratio.figure,
            *(f"{ratio.of[name]:.2f}" if name in ratio.of else "" for name in matters),
        )
        for ratio in ratios
    )
    return [Table(f"Ratios to {CLOSED_FORM}", ("figure", *matters), lines)]


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


def to_markdown(
    tables: Sequence[Table], command: str, machine: str, left_out: Sequence[str] = ()
) -> str:
    """
    A Markdown page: how the figures were made, then the tables.

    Args:
        tables: in the order of the page.
        command: the command line that makes the figures again.
        machine: one line about the machine.
        left_out: a sentence for each matting model that did not run.
    """
    parts = [f"    {command}\n", f"{machine}\n", f"{LEGEND}\n"]
    parts += [f"{sentence}\n" for sentence in left_out]
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

COLOUR_FIGURES = ("F e3", "multi-level e3", "green e3")
"""Names of the columns that ``_colour_figures`` fills."""

LEGEND = (
    "SAD, Grad and Conn are divided by 1000, MSE is multiplied by 1000: the conventions of the"
    " matting literature. Sets with trimaps count the unknown region, “rough” and “loose”"
    " count the whole picture. “fba-reference” is held against what the published FBA network"
    " gave, “synthetic” are rendered pictures. “selection” is the SAD of the drawn selection by"
    " itself, “known” the part of the SAD that lies where the trimap left nothing to the matting"
    " model, “unknown” the share of the picture that it did leave, “s” the seconds on this machine."
    " A note “by …” tells what made the trimap where the segmenter found nothing. “F” is the mean"
    " absolute error of the foreground colour in the unknown region, weighted by the alpha to"
    " compare with; “multi-level” is that of the multi-level estimate by pymatting on the same"
    " alpha; “green” is the mean squared error of the composite on green: all three multiplied by"
    " 1000."
)


def _tabulate_group(group: Sequence[Row]) -> Table:
    """One table of one engine over one set."""
    first = group[0]
    title = f"{first.set_name}: {first.engine}"
    if first.set_name not in SELECTED_SETS:
        return _tabulate_with_trimaps(title, group)
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


def _tabulate_with_trimaps(title: str, group: Sequence[Row]) -> Table:
    """A line for each picture, then the mean; colours where the truth of any is known."""
    has_colours = any(row.colours is not None for row in group)
    lines = tuple(
        (name, *_figures(part), *(_colour_figures(part) if has_colours else ()))
        for name, part in (*((row.picture, [row]) for row in group), ("mean", group))
    )
    header = ("picture", *FIGURES, *(COLOUR_FIGURES if has_colours else ()))
    return Table(title, header, lines)


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same set and engine, in the order in which these first appear."""
    keys = [(row.set_name, row.engine) for row in rows]
    order = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    by_engine = sorted(rows, key=lambda row: order[row.set_name, row.engine])
    grouped = groupby(by_engine, key=lambda row: (row.set_name, row.engine))
    return [list(group) for _, group in grouped]


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


def _colour_figures(rows: Sequence[Row]) -> tuple[str, ...]:
    """The means over the rows whose colours are known, one cell for each of COLOUR_FIGURES."""
    colours = [row.colours for row in rows if row.colours is not None]
    if not colours:
        return ("",) * len(COLOUR_FIGURES)
    return tuple(
        f"{1000 * fmean(values):.2f}"
        for values in zip(
            *((colour.foreground, colour.multilevel, colour.green) for colour in colours),
            strict=True,
        )
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

"""How engines compare with one of them in the same run: the figures that a goal is set for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from smart_matte.evaluation.datasets import SELECTED_SETS, SETS
from smart_matte.evaluation.references import CLOSED_FORM
from smart_matte.evaluation.rows import Row

Measured = tuple[str, float]
"""A matting model's name and a figure of one picture."""


@dataclass(frozen=True)
class Ratio:
    """
    One figure of every matting model.

    Attributes:
        figure: what is compared.
        of: from a matting model's name to its mean over a set, divided by what it is compared
            with; below 1 is better than that.
    """

    figure: str
    of: dict[str, float]


def compare(rows: Sequence[Row]) -> list[Ratio]:
    """
    Ratios against pymatting's closed form, over each set of a run; none where it didn't run.

    Colours are compared with the multi-level estimate on the same alpha instead.
    """
    if not any(row.matter == CLOSED_FORM for row in rows):
        return []
    return [*_errors(rows), *_colours(rows), *_seconds(rows)]


def _errors(rows: Sequence[Row]) -> Iterator[Ratio]:
    """SAD and gradient error over every set; over selections SAD alone."""
    for set_name in SETS:
        of_set = [row for row in rows if row.set_name == set_name]
        for segmenter in dict.fromkeys(row.segmenter for row in of_set):
            group = [row for row in of_set if row.segmenter == segmenter]
            place = " + ".join(filter(None, (set_name, segmenter)))
            yield from _against(f"SAD, {place}", [(row.matter, row.errors.sad) for row in group])
            if set_name not in SELECTED_SETS:
                gradients = [(row.matter, row.errors.gradient) for row in group]
                yield from _against(f"Grad, {place}", gradients)


def _colours(rows: Sequence[Row]) -> Iterator[Ratio]:
    """Colour where its truth is known."""
    for set_name in SETS:
        colours = [
            (row.matter, row.colours)
            for row in rows
            if row.set_name == set_name and row.colours is not None
        ]
        own = _means([(name, errors.foreground) for name, errors in colours])
        multilevel = _means([(name, errors.multilevel) for name, errors in colours])
        of = {name: own[name] / multilevel[name] for name in own if multilevel[name]}
        if of:
            yield Ratio(f"F, {set_name}, to multi-level on the same alpha", of)
        green = [(name, errors.green) for name, errors in colours]
        yield from _against(f"composite on green, {set_name}", green)


def _seconds(rows: Sequence[Row]) -> Iterator[Ratio]:
    """Time of matting alone."""
    took = [(row.matter, row.seconds) for row in rows if row.set_name not in SELECTED_SETS]
    yield from _against("seconds, sets with trimaps", took)


def _against(figure: str, measured: Sequence[Measured]) -> Iterator[Ratio]:
    """Means divided by the reference's; nothing where that has none, or 0."""
    means = _means(measured)
    reference = means.get(CLOSED_FORM)
    if reference:
        yield Ratio(figure, {name: mean / reference for name, mean in means.items()})


def _means(measured: Sequence[Measured]) -> dict[str, float]:
    """The mean for every matting model."""
    names = dict.fromkeys(name for name, _ in measured)
    return {name: fmean(value for of, value in measured if of == name) for name in names}

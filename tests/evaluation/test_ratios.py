"""Ratios are those of means, against pymatting's closed form in the same run."""

from dataclasses import replace

import pytest

from smart_matte.evaluation.colour_errors import ColourErrors
from smart_matte.evaluation.metrics import Errors
from smart_matte.evaluation.ratios import compare
from smart_matte.evaluation.rows import Row


def row(set_name: str, matter: str, sad: float, seconds: float = 1.0, segmenter: str = "") -> Row:
    errors = Errors(sad=sad, mse=0.0, gradient=10 * sad, connectivity=0.0)
    return Row(set_name, "a", matter, "cpu", segmenter, segmenter, 0.1, errors, seconds)


def figures(rows: list[Row]) -> dict[str, dict[str, float]]:
    return {ratio.figure: ratio.of for ratio in compare(rows)}


def test_means_are_divided_and_not_ratios_averaged() -> None:
    rows = [
        row("alphamatting-wide", "ours", 1.0, 1.0),
        row("alphamatting-wide", "ours", 3.0, 1.0),
        row("alphamatting-wide", "pymatting-cf", 7.0, 8.0),
        row("alphamatting-wide", "pymatting-cf", 1.0, 12.0),
    ]
    assert figures(rows) == {
        "SAD, alphamatting-wide": {"ours": 0.5, "pymatting-cf": 1.0},
        "Grad, alphamatting-wide": {"ours": 0.5, "pymatting-cf": 1.0},
        "seconds, sets with trimaps": {"ours": 0.1, "pymatting-cf": 1.0},
    }


def test_a_selection_is_compared_under_the_same_segmenter() -> None:
    rows = [
        row("rough", matter, sad, segmenter=segmenter)
        for matter, segmenter, sad in (
            ("ours", "grabcut", 2.0),
            ("ours", "selection", 3.0),
            ("pymatting-cf", "grabcut", 4.0),
            ("pymatting-cf", "selection", 12.0),
        )
    ]
    assert figures(rows) == {
        "SAD, rough + grabcut": {"ours": 0.5, "pymatting-cf": 1.0},
        "SAD, rough + selection": {"ours": 0.25, "pymatting-cf": 1.0},
    }


def test_colour_is_compared_with_multilevel_on_the_same_alpha() -> None:
    ours, theirs = ColourErrors(0.1, 0.4, 0.02), ColourErrors(0.3, 0.3, 0.04)
    compared = figures(
        [
            replace(row("synthetic", "ours", 1.0), colours=ours),
            replace(row("synthetic", "pymatting-cf", 1.0), colours=theirs),
        ]
    )
    colour = compared["F, synthetic, to multi-level on the same alpha"]
    assert colour == pytest.approx({"ours": 0.25, "pymatting-cf": 1.0})
    assert compared["composite on green, synthetic"] == {"ours": 0.5, "pymatting-cf": 1.0}


def test_without_the_reference_there_is_nothing_to_compare() -> None:
    assert compare([row("rough", "ours", 1.0), row("rough", "pymatting-knn", 2.0)]) == []

"""The drawn selection is rough in the way that it claims to be."""

from pathlib import Path

import numpy as np
import pytest

from smart_matte.engine.types import FloatArray
from smart_matte.evaluation import rough_selection
from smart_matte.evaluation.datasets import read_samples
from smart_matte.evaluation.metrics import measure
from smart_matte.evaluation.rough_selection import draw_loose_selection, draw_rough_selection


def disc(radius_px: float, height: int = 300, width: int = 400) -> FloatArray:
    y, x = np.indices((height, width))
    distance_px = np.hypot(y - height / 2, x - width / 2)
    return np.clip(radius_px - distance_px + 0.5, 0, 1).astype(np.float32)


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    alpha = disc(100)
    first = draw_rough_selection(alpha, seed=3)
    assert np.array_equal(first, draw_rough_selection(alpha, seed=3))
    assert not np.array_equal(first, draw_rough_selection(alpha, seed=4))


def test_a_selection_is_hard_and_float32() -> None:
    selection = draw_rough_selection(disc(100))
    assert selection.dtype == np.float32
    assert selection.shape == (300, 400)
    assert set(np.unique(selection)) == {0.0, 1.0}


def test_a_steady_hand_cuts_the_corners_of_a_disc_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A polygon of 10 px sides in a circle of 100 px leaves out slivers of 0.125 px at most."""
    monkeypatch.setattr(rough_selection, "JITTER_SHARE", 0.0)
    alpha = disc(100)
    difference = draw_rough_selection(alpha) - alpha
    y, x = np.nonzero(np.abs(difference) > 0.5)
    assert np.all(np.abs(np.hypot(y - 150, x - 200) - 100) < 2)


def test_a_hurried_hand_misses_by_the_jitter() -> None:
    """Corners miss by 0.6 % of 500 px = 3 px each way, and the edge by about as much."""
    alpha = disc(100)
    misses_px = []
    for seed in range(20):
        off = np.abs(draw_rough_selection(alpha, seed) - alpha).sum()
        misses_px.append(off / (2 * np.pi * 100))
    assert 1.2 < np.mean(misses_px) < 3.6


def test_holes_are_filled() -> None:
    alpha = disc(120) - disc(40)
    assert draw_rough_selection(alpha)[150, 200] == 1


def test_specks_get_no_lasso_and_every_larger_part_gets_one() -> None:
    alpha = np.zeros((300, 400), np.float32)
    alpha[50:150, 30:130] = 1
    alpha[50:150, 250:350] = 1
    alpha[250:253, 200:203] = 1
    selection = draw_rough_selection(alpha)
    assert selection[100, 80] == selection[100, 300] == 1
    assert selection[200:].sum() == 0


def test_an_empty_alpha_gives_an_empty_selection() -> None:
    assert draw_rough_selection(np.zeros((30, 40), np.float32)).sum() == 0


def test_a_loose_selection_keeps_its_margin_all_around() -> None:
    """Ten tangents at 112.5 px: never nearer to the centre, and their corners 5 % further."""
    selection = draw_loose_selection(disc(100))
    y, x = np.indices(selection.shape)
    distance_px = np.hypot(y - 150, x - 200)
    assert set(np.unique(selection)) == {0.0, 1.0}
    assert selection[distance_px < 111].all()
    assert not selection[distance_px > 120].any()


def test_a_loose_selection_has_every_sizeable_part_and_no_specks() -> None:
    alpha = np.zeros((300, 400), np.float32)
    alpha[50:150, 130:170] = alpha[100:130, 230:260] = 1
    alpha[290:292, 10:12] = 1
    selection = draw_loose_selection(alpha)
    assert selection[alpha[:200].nonzero()].all()
    assert selection[291, 11] == 0
    assert draw_loose_selection(np.zeros((30, 40), np.float32)).sum() == 0


def test_selections_of_the_shared_pictures_are_as_rough_as_the_figures_assume(
    shared_data: Path,
) -> None:
    """The project's figures speak of selections that are 15.7 off on average."""
    sads = []
    for sample in read_samples("rough", shared_data):
        selection = draw_rough_selection(sample.alpha)
        sads.append(measure(selection, sample.alpha, np.ones(selection.shape, np.bool_)).sad)
    assert len(sads) == 14
    assert np.mean(sads) == pytest.approx(15.7, abs=1.0)

from fractions import Fraction

import numpy as np
import pytest
from scenes import banded_trimap, soft_disc

from smart_matte.engine.edge_shift import shifted_edge

ALPHA = soft_disc()
TRIMAP = banded_trimap(ALPHA)
LEVELS = np.linspace(0, 1, 1025)
UNKNOWN = np.full_like(LEVELS, 0.5)


@pytest.mark.parametrize(
    ("alpha", "percent", "by_hand"),
    [
        # b = 0.9: 1/b - 2 = -8/9, so 1/2 becomes 1/2 / (5/9), and 1/10 becomes 1/10 / (1/5)
        (Fraction(1, 2), 100, Fraction(9, 10)),
        (Fraction(1, 10), 100, Fraction(1, 2)),
        # b = 0.1: 1/b - 2 = 8, so 1/2 becomes 1/2 / 5, and 9/10 becomes 9/10 / (9/5)
        (Fraction(1, 2), -100, Fraction(1, 10)),
        (Fraction(9, 10), -100, Fraction(1, 2)),
        # b = 0.7: 1/b - 2 = -4/7, so 1/4 becomes 1/4 / (4/7)
        (Fraction(1, 4), 50, Fraction(7, 16)),
        # b = 0.3: 1/b - 2 = 4/3, so 1/4 becomes 1/4 / 2
        (Fraction(1, 4), -50, Fraction(1, 8)),
    ],
)
def test_the_curve_is_what_a_hand_computes(
    alpha: Fraction, percent: float, by_hand: Fraction
) -> None:
    result = shifted_edge(np.array([[float(alpha)]]), np.array([[0.5]]), percent)
    np.testing.assert_allclose(result, float(by_hand), rtol=1e-14)


@pytest.mark.parametrize("percent", [-100, -37, 12.5, 100])
def test_the_curve_multiplies_the_odds_of_alpha(percent: float) -> None:
    b = 0.5 + 0.4 * percent / 100
    inside = LEVELS[1:-1]
    odds = inside / (1 - inside) * b / (1 - b)
    result = shifted_edge(inside, UNKNOWN[1:-1], percent)
    np.testing.assert_allclose(result, odds / (1 + odds), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_shift_changes_no_bit(dtype: type) -> None:
    alpha = np.random.default_rng(3).random((50, 60)).astype(dtype)
    result = shifted_edge(alpha, np.full_like(alpha, 0.5), 0)
    np.testing.assert_array_equal(result, alpha, strict=True)


@pytest.mark.parametrize("percent", [-100, -0.5, 33, 100])
def test_the_ends_stay_and_nothing_leaves_the_range(percent: float) -> None:
    alpha = np.linspace(0, 1, 65536, dtype=np.float32)
    result = shifted_edge(alpha, np.full_like(alpha, 0.5), percent)
    assert result.dtype == np.float32
    assert (result[0], result[-1]) == (0, 1)
    assert (np.diff(result) >= 0).all()  # with both ends right, all is within [0, 1]


def test_alpha_grows_with_alpha_and_with_the_shift() -> None:
    results = [shifted_edge(LEVELS, UNKNOWN, percent) for percent in range(-100, 101, 5)]
    assert (np.diff(results, axis=1) > 0).all()
    assert (np.diff(results, axis=0)[:, 1:-1] > 0).all()


@pytest.mark.parametrize("percent", [10, 60, 100])
def test_the_other_sign_undoes_it(percent: float) -> None:
    there = shifted_edge(LEVELS, UNKNOWN, percent)
    np.testing.assert_allclose(shifted_edge(there, UNKNOWN, -percent), LEVELS, atol=1e-14)


@pytest.mark.parametrize("percent", [-80, 80])
def test_what_is_known_keeps_its_bits(percent: float) -> None:
    alpha = np.random.default_rng(4).random(ALPHA.shape).astype(np.float32)
    is_known = TRIMAP != 0.5
    result = shifted_edge(alpha, TRIMAP, percent)
    assert (result[is_known] == alpha[is_known]).all()
    assert (result[~is_known] != alpha[~is_known]).all()


def test_the_contour_moves_through_the_soft_edge_but_not_out_of_it() -> None:
    areas_px = [
        (shifted_edge(ALPHA, TRIMAP, percent) > 0.5).sum() for percent in (-100, -50, 0, 50, 100)
    ]
    assert (np.diff(areas_px) > 0).all()
    assert (ALPHA == 1).sum() < areas_px[0]
    assert areas_px[-1] < (ALPHA > 0).sum()

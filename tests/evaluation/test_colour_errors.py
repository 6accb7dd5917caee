"""Errors of colour are those that a hand computes."""

import numpy as np
import pytest

from smart_matte.evaluation.colour_errors import foreground_error, green_error, over_green

ALPHA = np.array([[0.0, 0.5, 1.0]], np.float32)
EVERYWHERE = np.ones(ALPHA.shape, np.bool_)
TRUE = np.zeros((1, 3, 3), np.float32)


def test_colour_counts_as_much_as_it_is_seen() -> None:
    foreground = TRUE.copy()
    foreground[0, 0] = 1  # unseen: doesn't count
    foreground[0, 1] = 0.3
    foreground[0, 2, 0] = 0.6
    expected = (0.5 * 0.3 + 1.0 * 0.6 / 3) / 1.5
    assert foreground_error(foreground, TRUE, ALPHA, EVERYWHERE) == pytest.approx(expected)
    assert foreground_error(foreground, TRUE, ALPHA, ALPHA == 0.5) == pytest.approx(0.3)


def test_the_composite_counts_wrong_colour_and_wrong_alpha() -> None:
    # half of black over green is (0, 0.5, 0); all of it is black: 0.25 off in one of 3 channels
    wrong_alpha = np.array([[0.0, 1.0, 1.0]], np.float32)
    off = green_error((TRUE, wrong_alpha), (TRUE, ALPHA), EVERYWHERE)
    assert off == pytest.approx(0.25 / 9)
    red = TRUE + np.array([0.2, 0, 0], np.float32)
    off = green_error((red, ALPHA), (TRUE, ALPHA), EVERYWHERE)
    assert off == pytest.approx((0.1**2 + 0.2**2) / 9)


def test_the_truth_has_no_error_and_neither_has_an_empty_region() -> None:
    assert foreground_error(TRUE, TRUE, ALPHA, EVERYWHERE) == 0
    assert green_error((TRUE, ALPHA), (TRUE, ALPHA), EVERYWHERE) == 0
    assert foreground_error(TRUE + 1, TRUE, ALPHA, ALPHA == 0) == 0
    assert green_error((TRUE + 1, ALPHA), (TRUE, ALPHA), ~EVERYWHERE) == 0


def test_green_shows_where_nothing_else_does() -> None:
    assert over_green(TRUE, ALPHA)[0].tolist() == [[0, 1, 0], [0, 0.5, 0], [0, 0, 0]]

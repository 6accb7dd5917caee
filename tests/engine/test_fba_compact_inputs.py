"""The guess, and the network's channels made of it part by part."""

from typing import Any

import numpy as np
import pytest
from scenes import BACKGROUND, FOREGROUND, banded_trimap, composite, soft_disc

from smart_matte.engine import fba_compact_inputs
from smart_matte.engine.colour_prior import prior_from_colours
from smart_matte.engine.fba_compact_inputs import Channels, Guess, guess_matte
from smart_matte.engine.fba_inputs import encode_inputs
from smart_matte.engine.matting import Matte
from smart_matte.engine.models.fba_compact import CHANNELS, GUESS
from smart_matte.engine.types import FloatArray, ignore_progress

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
TRIMAP = banded_trimap(ALPHA)
EVERYTHING = slice(None)


@pytest.fixture(scope="module")
def guess() -> Guess:
    return guess_matte(IMAGE, TRIMAP, ignore_progress)


def test_the_guess_is_the_trimap_and_the_picture_where_these_know(guess: Guess) -> None:
    is_known = TRIMAP != 0.5
    np.testing.assert_array_equal(guess.alpha[is_known], TRIMAP[is_known])
    np.testing.assert_array_equal(guess.foreground[TRIMAP == 1], IMAGE[TRIMAP == 1])
    np.testing.assert_array_equal(guess.background[TRIMAP == 0], IMAGE[TRIMAP == 0])


def test_the_guess_is_near_the_truth_elsewhere(guess: Guess) -> None:
    is_unknown, is_mixed = TRIMAP == 0.5, (ALPHA > 0.2) & (ALPHA < 0.8)
    assert np.abs(guess.alpha - ALPHA)[is_unknown].mean() < 0.03
    assert np.abs(guess.foreground - FOREGROUND)[is_mixed].mean() < 0.05
    assert np.abs(guess.background - BACKGROUND)[is_mixed].mean() < 0.05


def test_the_guess_is_single_precision_in_range_and_repeatable(guess: Guess) -> None:
    again = guess_matte(IMAGE, TRIMAP, ignore_progress)
    for plane, other in (
        (guess.alpha, again.alpha),
        (guess.foreground, again.foreground),
        (guess.background, again.background),
    ):
        assert plane.dtype == np.float32
        assert 0 <= plane.min() <= plane.max() <= 1
        np.testing.assert_array_equal(plane, other)


def test_the_guess_leaves_what_it_was_given_as_it_is() -> None:
    image, trimap = IMAGE.copy(), TRIMAP.copy()
    guess_matte(image, trimap, ignore_progress)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(trimap, TRIMAP)


def test_the_solver_is_asked_for_less_and_its_note_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    class Solver:
        def __init__(self, **arguments: Any) -> None:
            asked.append(arguments)

        def matte(self, _image: FloatArray, trimap: FloatArray, _progress: object) -> Matte:
            return Matte(trimap, note="it was hard.")

    monkeypatch.setattr(fba_compact_inputs, "ClosedFormMatter", Solver)
    assert guess_matte(IMAGE, TRIMAP, ignore_progress, place=0.1).note == "it was hard."
    find_prior = asked[0].pop("find_prior")
    assert asked == [{"most_scale": 0.5, "tolerance": 1e-3}]
    assert (find_prior.func, find_prior.keywords) == (prior_from_colours, {"place": 0.1})


def test_channels_are_those_of_fba_then_the_guess(guess: Guess) -> None:
    channels = Channels(IMAGE, TRIMAP, guess).within(EVERYTHING, EVERYTHING)
    assert channels.shape == (CHANNELS, *TRIMAP.shape)
    assert channels.dtype == np.float32
    np.testing.assert_array_equal(channels[:GUESS], encode_inputs(IMAGE, TRIMAP))
    given = np.dstack([guess.alpha, guess.foreground, guess.background]).transpose(2, 0, 1)
    np.testing.assert_array_equal(channels[GUESS:], given)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(0, 16), slice(0, 16)),
        (slice(40, 76), slice(64, 160)),
        (slice(119, 120), slice(3, 4)),
    ],
)
def test_the_channels_of_a_part_are_that_part_of_the_whole(
    guess: Guess, rows: slice, columns: slice
) -> None:
    channels = Channels(IMAGE, TRIMAP, guess)
    whole = channels.within(EVERYTHING, EVERYTHING)
    np.testing.assert_array_equal(channels.within(rows, columns), whole[:, rows, columns])


def test_a_side_that_is_absent_is_far_everywhere(guess: Guess) -> None:
    trimap = np.where(TRIMAP == 1, np.float32(0.5), TRIMAP)
    channels = Channels(IMAGE, trimap, guess).within(EVERYTHING, EVERYTHING)
    assert not channels[6:9].any()
    np.testing.assert_array_equal(channels[:GUESS], encode_inputs(IMAGE, trimap))

import numpy as np
from scenes import composite, soft_disc

from smart_matte.engine import grabcut
from smart_matte.engine.grabcut import cut_by_colour

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
TRUTH = ALPHA > 0.5
INSIDE = soft_disc(20) > 0.5
OUTSIDE = soft_disc(50) < 0.5
GUESS = soft_disc(42) > 0.5


def test_the_cut_finds_the_colours_edge() -> None:
    cut = cut_by_colour(IMAGE, GUESS, INSIDE, OUTSIDE)
    # mixed pixels may fall to either side
    is_pure = (ALPHA == 0) | (ALPHA == 1)
    assert (cut.is_subject != TRUTH)[is_pure].mean() < 0.005
    assert cut.probability[TRUTH].mean() > 0.9
    assert cut.probability[~GUESS].mean() < 0.1


def test_certain_pixels_are_never_turned_over() -> None:
    certain = np.zeros_like(TRUTH)
    certain[2:12, 2:12] = True  # background-coloured, but said to be the subject
    cut = cut_by_colour(IMAGE, GUESS, certain, OUTSIDE & ~certain)
    assert cut.is_subject[certain].all()


def test_the_same_picture_gives_the_same_cut() -> None:
    first, second = (cut_by_colour(IMAGE, GUESS, INSIDE, OUTSIDE) for _ in range(2))
    np.testing.assert_array_equal(first.probability, second.probability)
    np.testing.assert_array_equal(first.is_subject, second.is_subject)


def test_a_large_picture_is_cut_small_with_the_same_result(monkeypatch: object) -> None:
    whole = cut_by_colour(IMAGE, GUESS, INSIDE, OUTSIDE)
    monkeypatch.setattr(grabcut, "MAX_PIXELS", 60 * 80)  # type: ignore[attr-defined]
    small = cut_by_colour(IMAGE, GUESS, INSIDE, OUTSIDE)
    assert small.is_subject.shape == whole.is_subject.shape
    assert (small.is_subject != whole.is_subject).mean() < 0.02


def test_without_two_sides_the_guess_is_returned() -> None:
    everything = np.ones_like(TRUTH)
    cut = cut_by_colour(IMAGE, everything, everything, ~everything)
    assert cut.is_subject.all()

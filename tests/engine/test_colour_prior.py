"""The prior follows colours where they tell the sides apart, and keeps silent elsewhere."""

import numpy as np
import pytest

from smart_matte.engine import colour_prior
from smart_matte.engine.colour_prior import NEIGHBOURS, PLACE, WEIGHT, prior_from_colours
from smart_matte.engine.types import FloatArray

ORANGE, BLUE = np.float32([0.8, 0.5, 0.2]), np.float32([0.2, 0.3, 0.7])
BACKGROUND, UNKNOWN, FOREGROUND = slice(0, 28), slice(28, 32), slice(32, 60)


def three_strips(noise: float = 0.02) -> tuple[FloatArray, FloatArray]:
    """Known background, unknown, known foreground; all of it one grey but for noise."""
    trimap = np.zeros((40, 60), np.float32)
    trimap[:, UNKNOWN], trimap[:, FOREGROUND] = 0.5, 1
    grey = np.random.default_rng(0).normal(0.5, noise, (40, 60, 3))
    return grey.astype(np.float32).clip(0, 1), trimap


def blue_and_orange() -> tuple[FloatArray, FloatArray]:
    """The same, blue and orange; the unknown strip is blue above and orange below."""
    image, trimap = three_strips()
    image -= 0.5
    image[:, BACKGROUND] += BLUE
    image[:, FOREGROUND] += ORANGE
    image[:20, UNKNOWN] += BLUE
    image[20:, UNKNOWN] += ORANGE
    return image, trimap


def test_unknown_pixels_of_a_sides_colours_are_likely_that_sides() -> None:
    prior = prior_from_colours(*blue_and_orange())
    assert prior.alpha[:20, UNKNOWN].max() < 0.05
    assert prior.alpha[20:, UNKNOWN].min() > 0.95
    assert np.median(prior.weight[:, UNKNOWN]) > 0.4 * WEIGHT


def test_colours_of_both_sides_say_nothing() -> None:
    prior = prior_from_colours(*three_strips())
    assert prior.weight[:, UNKNOWN].mean() < 0.15 * WEIGHT


def test_a_mixed_colour_is_left_to_the_laplacian() -> None:
    image, trimap = blue_and_orange()
    image[:, UNKNOWN] = np.linspace(BLUE, ORANGE, 4)[None]
    weight = prior_from_colours(image, trimap).weight[:, UNKNOWN].mean(axis=0)
    assert weight[1:3].max() < 0.01 * weight[[0, -1]].min()


def test_a_colour_seen_only_far_away_says_little() -> None:
    image, trimap = blue_and_orange()
    green = np.float32([0.2, 0.7, 0.2])
    image[:3, :3] = image[20:30, UNKNOWN] = green  # a leaf in a corner
    image[10, BACKGROUND.stop - 3 : BACKGROUND.stop] = image[10, UNKNOWN] = 0.5  # a grey twig
    weight = prior_from_colours(image, trimap).weight
    assert weight[20:30, UNKNOWN].max() < 0.1 * weight[10, UNKNOWN].max()


def test_a_part_with_its_share_of_the_diagonal_is_compared_as_in_the_whole() -> None:
    image, trimap = blue_and_orange()
    whole_image, whole_trimap = (
        np.zeros((80, 120, 3), np.float32),
        np.full((80, 120), np.float32(0.5)),
    )
    whole_image[:40, :60], whole_trimap[:40, :60] = image, trimap
    whole = prior_from_colours(whole_image, whole_trimap).weight[:40, :60]
    part = prior_from_colours(image, trimap, PLACE / 2).weight
    np.testing.assert_allclose(part, whole, rtol=1e-4)
    assert np.abs(prior_from_colours(image, trimap).weight - whole).max() > 0.01 * WEIGHT


def test_known_pixels_have_no_weight_and_no_weight_exceeds_the_most() -> None:
    image, trimap = blue_and_orange()
    prior = prior_from_colours(image, trimap)
    assert prior.weight[trimap != 0.5].max() == 0
    assert 0 <= prior.weight.min() < prior.weight.max() <= np.float32(WEIGHT)
    assert 0 <= prior.alpha.min() <= prior.alpha.max() <= 1


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("count", [0, 1, NEIGHBOURS - 1])
def test_a_side_of_a_few_pixels_gives_no_prior(side: int, count: int) -> None:
    image, trimap = blue_and_orange()
    is_side = np.flatnonzero(trimap == side)
    trimap.reshape(-1)[is_side[count:]] = 0.5
    assert prior_from_colours(image, trimap).weight.max() == 0


def test_a_side_of_just_enough_pixels_gives_a_prior() -> None:
    image, trimap = blue_and_orange()
    trimap.reshape(-1)[np.flatnonzero(trimap == 0)[NEIGHBOURS:]] = 0.5
    assert prior_from_colours(image, trimap).weight.max() > 0


def test_a_trimap_without_unknown_pixels_gives_no_prior() -> None:
    image, trimap = blue_and_orange()
    assert prior_from_colours(image, np.rint(trimap)).weight.max() == 0


def test_a_few_mistaken_pixels_are_outvoted() -> None:
    image, trimap = blue_and_orange()
    image[::20, FOREGROUND.start] = BLUE  # a gap that was called foreground
    prior = prior_from_colours(image, trimap)
    assert prior.alpha[:20, UNKNOWN].max() < 0.3
    assert np.median(prior.weight[:20, UNKNOWN]) > 0.3 * WEIGHT


def test_a_side_seen_less_often_is_as_likely() -> None:
    image, trimap = three_strips()
    is_foreground = np.random.default_rng(1).random(trimap.shape) < 0.8
    trimap = np.where(trimap == 0.5, trimap, is_foreground).astype(np.float32)
    alpha = prior_from_colours(image, trimap).alpha[:, UNKNOWN]
    assert alpha.mean() == pytest.approx(0.5, abs=0.1)


def test_the_same_picture_gives_the_same_prior_and_stays_as_it_is() -> None:
    image, trimap = blue_and_orange()
    given = image.copy(), trimap.copy()
    one, other = (prior_from_colours(image, trimap) for _ in range(2))
    np.testing.assert_array_equal(one.alpha, other.alpha)
    np.testing.assert_array_equal(one.weight, other.weight)
    assert one.alpha.dtype == one.weight.dtype == np.float32
    np.testing.assert_array_equal(image, given[0])
    np.testing.assert_array_equal(trimap, given[1])


def test_pixels_compared_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image, trimap = blue_and_orange()
    whole = prior_from_colours(image, trimap)
    monkeypatch.setattr(colour_prior, "PIXELS_AT_A_TIME", 37)
    parts = prior_from_colours(image, trimap)
    np.testing.assert_array_equal(whole.alpha, parts.alpha)
    np.testing.assert_array_equal(whole.weight, parts.weight)

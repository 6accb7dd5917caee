"""Rendered foregrounds: true to their layers, in range, the same for the same seed."""

import numpy as np
import pytest

from smart_matte.training.foregrounds import _DRAWN, KINDS, render_foreground
from smart_matte.training.layers import divide_by_alpha, flatten_layers

SIZE_PX = 96


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (80, 110, 3), np.uint8), np.full((70, 70, 3), 128, np.uint8)]


def test_shares_add_up_to_one():
    assert sum(KINDS.values()) == pytest.approx(1, abs=1e-12)
    assert min(KINDS.values()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_partly_covered_pixels_and_values_in_range(kind, photos):
    for seed in range(3):
        colour, alpha = render_foreground(np.random.default_rng(seed), photos, SIZE_PX, kind)
        assert colour.shape == (SIZE_PX, SIZE_PX, 3)
        assert alpha.shape == (SIZE_PX, SIZE_PX)
        for values in (colour, alpha):
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
            assert values.min() >= 0
            assert values.max() <= 1
        is_partly = (alpha > 0.01) & (alpha < 0.99)
        assert is_partly.sum() > SIZE_PX
        assert alpha.mean() > 0.019
        assert (alpha == 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreground_composites_as_its_layers_do(kind, photos):
    layers = _DRAWN[kind][1](np.random.default_rng(7), photos, SIZE_PX)
    background = np.random.default_rng(1).random((SIZE_PX, SIZE_PX, 3))
    expected = background
    for coverage, own_colour in layers:
        assert coverage.min() >= 0
        assert coverage.max() <= 1
        expected = expected + coverage[..., None] * (own_colour - expected)
    colour, alpha = divide_by_alpha(*flatten_layers(layers))
    composite = alpha[..., None] * colour + (1 - alpha[..., None]) * background
    np.testing.assert_allclose(composite, expected, rtol=0, atol=1.1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_is_cut_off_at_the_border(kind, photos):
    layers = _DRAWN[kind][1](np.random.default_rng(11), photos, SIZE_PX)
    _, alpha = flatten_layers(layers)
    for side in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]):
        assert side.max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_picture_and_another_seed_another(kind, photos):
    first, same, other = (
        render_foreground(np.random.default_rng(seed), photos, 64, kind) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first.colour, same.colour)
    np.testing.assert_array_equal(first.alpha, same.alpha)
    assert np.abs(first.alpha - other.alpha).mean() > 0.001


def test_kinds_are_drawn_when_none_is_asked_for(photos):
    first, same = (render_foreground(np.random.default_rng(9), photos, 64) for _ in range(2))
    np.testing.assert_array_equal(first.alpha, same.alpha)


def test_an_unknown_kind_is_refused(photos):
    with pytest.raises(KeyError, match="unicorn"):
        render_foreground(np.random.default_rng(0), photos, 64, "unicorn")

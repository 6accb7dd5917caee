"""Laying layers over each other, and colour where there is none."""

import numpy as np
import pytest

from smart_matte.training.layers import Layer, divide_by_alpha, extend_colour, flatten_layers


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    coverages = rng.random((5, 9, 9)) * (rng.random((5, 9, 9)) < 0.6)  # with pixels left free
    return [
        Layer(coverage.astype(np.float32), rng.random((9, 9, 3)).astype(np.float32))
        for coverage in coverages
    ]


def test_one_picture_composites_as_its_layers_one_by_one(layers):
    background = np.random.default_rng(1).random((9, 9, 3))
    expected = background
    for coverage, colour in layers:
        expected = expected + coverage[..., None] * (colour - expected)
    colour, alpha = divide_by_alpha(*flatten_layers(layers))
    composite = alpha[..., None] * colour + (1 - alpha[..., None]) * background
    np.testing.assert_allclose(composite, expected, rtol=0, atol=1e-6)


def test_layers_are_left_as_they_are(layers):
    before = [(coverage.copy(), colour.copy()) for coverage, colour in layers]
    flatten_layers(layers)
    for layer, old in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer.coverage, old[0])
        np.testing.assert_array_equal(layer.colour, old[1])


def test_known_colour_stays_and_one_colour_fills_everything():
    colour = np.random.default_rng(2).random((13, 10, 3)).astype(np.float32)
    is_known = np.zeros((13, 10), bool)
    is_known[4:6, 7] = True
    np.testing.assert_array_equal(extend_colour(colour, is_known)[is_known], colour[is_known])
    colour[is_known] = 0.25, 0.5, 0.75
    expected = np.broadcast_to(np.float32([0.25, 0.5, 0.75]), colour.shape)
    np.testing.assert_allclose(extend_colour(colour, is_known), expected, rtol=0, atol=1e-6)


def test_what_is_filled_lies_between_the_known_colours():
    colour = np.zeros((16, 16, 3), np.float32)
    colour[:, 12:] = 1
    is_known = np.zeros((16, 16), bool)
    is_known[:, :4] = is_known[:, 12:] = True
    filled = extend_colour(colour, is_known)
    assert (filled >= 0).all()
    assert (filled <= 1).all()
    assert filled[:, 5].mean() < filled[:, 10].mean()


def test_the_colour_of_a_faint_pixel_is_its_own():
    coverage = np.full((4, 4), 0.001, np.float32)
    own = np.random.default_rng(3).random((4, 4, 3)).astype(np.float32)
    colour, alpha = divide_by_alpha(*flatten_layers([Layer(coverage, own)]))
    np.testing.assert_allclose(colour, own, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(alpha, coverage)

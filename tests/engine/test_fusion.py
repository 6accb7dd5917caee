"""Fusion against the published formulas, and known pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smart_matte.engine.fusion import fuse_fba, restore_known


@pytest.fixture
def prediction():
    """Image, alpha, foreground, background; float64 (9, 7)."""
    rng = np.random.default_rng(0)
    image, foreground, background = rng.random((3, 9, 7, 3))
    return image, rng.random((9, 7)), foreground, background


def test_fusion_equals_the_expanded_formulas(prediction):
    image, alpha, foreground, background = prediction
    a = alpha[..., None]
    new_foreground = a * image + (1 - a**2) * foreground - a * (1 - a) * background
    new_background = (1 - a) * image + (2 * a - a**2) * background - a * (1 - a) * new_foreground
    new_foreground, new_background = new_foreground.clip(0, 1), new_background.clip(0, 1)
    expected = np.empty_like(alpha)
    for place in np.ndindex(alpha.shape):
        span = new_foreground[place] - new_background[place]
        evidence = np.dot(image[place] - new_background[place], span)
        expected[place] = (0.1 * alpha[place] + evidence) / (0.1 + np.dot(span, span))

    fused = fuse_fba(*prediction)
    np.testing.assert_allclose(fused[0], expected.clip(0, 1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(fused[1], new_foreground, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fused[2], new_background, rtol=0, atol=1e-12)


def test_where_alpha_is_zero_the_background_becomes_the_image(prediction):
    image, alpha, foreground, background = prediction
    _, new_foreground, new_background = fuse_fba(image, 0 * alpha, foreground, background)
    np.testing.assert_array_equal(new_foreground, foreground)
    np.testing.assert_allclose(new_background, image, rtol=0, atol=1e-15)


def test_where_alpha_is_one_the_foreground_becomes_the_image(prediction):
    image, alpha, foreground, background = prediction
    _, new_foreground, new_background = fuse_fba(image, 0 * alpha + 1, foreground, background)
    np.testing.assert_allclose(new_foreground, image, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(new_background, background)


def test_alpha_stays_where_both_colours_are_the_image(prediction):
    image, alpha, _, _ = prediction
    fused, _, _ = fuse_fba(image, alpha, image, image)
    np.testing.assert_allclose(fused, alpha, rtol=0, atol=1e-12)


def test_residual_shrinks_by_the_published_law(prediction):
    _, alpha, foreground, background = prediction
    foreground, background = 0.4 + 0.2 * foreground, 0.4 + 0.2 * background  # nothing to clamp
    a = alpha[..., None]
    residual = 0.01 * (foreground - background[::-1])
    image = a * foreground + (1 - a) * background + residual
    _, new_foreground, new_background = fuse_fba(image, alpha, foreground, background)
    left = image - a * new_foreground - (1 - a) * new_background
    np.testing.assert_allclose(left, residual * (1 - a**2) * (2 * a - a**2), rtol=0, atol=1e-12)


def test_single_precision_stays_single(prediction):
    single = [array.astype(np.float32) for array in prediction]
    fused = fuse_fba(*single)
    assert [array.dtype for array in fused] == [np.float32] * 3
    for array, exact in zip(fused, fuse_fba(*prediction), strict=True):
        np.testing.assert_allclose(array, exact, rtol=0, atol=1e-5)


unit = st.floats(0, 1, width=32)


@given(
    colours=arrays(np.float32, (3, 2, 2, 3), elements=unit),
    alpha=arrays(np.float32, (2, 2), elements=unit),
)
def test_fusion_stays_in_range(colours, alpha):
    for array in fuse_fba(colours[0], alpha, colours[1], colours[2]):
        assert np.isfinite(array).all()
        assert (array >= 0).all()
        assert (array <= 1).all()


def test_inputs_are_left_as_they_are(prediction):
    before = [array.copy() for array in prediction]
    fuse_fba(*prediction)
    for array, old in zip(prediction, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_known_pixels_get_the_trimap_and_the_image_back(prediction):
    image, alpha, foreground, background = prediction
    trimap = np.full(alpha.shape, 0.5)
    trimap[:3], trimap[6:] = 0, 1
    alpha[4, :2] = 0, 1
    new_alpha, new_foreground, new_background = restore_known(
        image, trimap, alpha, foreground, background
    )
    assert (new_alpha[:3] == 0).all()
    assert (new_alpha[6:] == 1).all()
    np.testing.assert_array_equal(new_alpha[3:6], alpha[3:6])
    np.testing.assert_array_equal(new_foreground[6:], image[6:])
    np.testing.assert_array_equal(new_background[:3], image[:3])
    np.testing.assert_array_equal(new_foreground[:3], foreground[:3])
    np.testing.assert_array_equal(new_background[6:], background[6:])


def test_unknown_pixels_that_are_all_one_colour_get_the_image(prediction):
    image, alpha, foreground, background = prediction
    trimap = np.full(alpha.shape, 0.5)
    alpha[4, :2] = 0, 1
    _, new_foreground, new_background = restore_known(image, trimap, alpha, foreground, background)
    np.testing.assert_array_equal(new_background[4, 0], image[4, 0])
    np.testing.assert_array_equal(new_foreground[4, 0], foreground[4, 0])
    np.testing.assert_array_equal(new_foreground[4, 1], image[4, 1])
    np.testing.assert_array_equal(new_background[4, 1], background[4, 1])

"""What the network is given: padding, normalisation, distances, order of the channels."""

import numpy as np
import pytest

from smart_matte.engine.fba_inputs import distance_maps, encode_inputs, pad_to_stride


@pytest.fixture
def scene():
    """Image and trimap, (48, 61): background above, foreground below, unknown between."""
    image = np.random.default_rng(0).random((48, 61, 3), np.float32)
    trimap = np.full((48, 61), 0.5, np.float32)
    trimap[:11, :40] = 0
    trimap[37:, 13:] = 1
    return image, trimap


def brute_force_distance(is_class):
    rows, columns = np.nonzero(is_class)
    y, x = np.indices(is_class.shape)
    squared = (y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2
    return np.sqrt(squared.min(axis=-1))


def test_distance_maps_equal_brute_force():
    is_class = np.zeros((48, 61), bool)
    is_class[np.random.default_rng(1).integers(0, 48, 9), np.arange(9) * 6] = True
    squared = brute_force_distance(is_class) ** 2
    expected = [np.exp(-squared / (2 * sigma**2)) for sigma in (6.4, 25.6, 51.2)]
    maps = distance_maps(is_class)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected, rtol=0, atol=2e-7)


def test_distances_stay_exact_across_a_large_picture():
    is_class = np.zeros((1500, 1800), bool)
    is_class[700, 900] = True
    y, x = np.indices(is_class.shape)
    squared = (y - 700.0) ** 2 + (x - 900.0) ** 2
    np.testing.assert_allclose(
        distance_maps(is_class)[2], np.exp(-squared / (2 * 51.2**2)), rtol=0, atol=2e-7
    )


def test_a_class_is_one_on_itself_and_exp_minus_half_at_each_sigma():
    is_class = np.zeros((1, 400), bool)
    is_class[0, 0] = True
    maps = distance_maps(is_class)[:, 0].astype(np.float64)
    assert (maps[:, 0] == 1).all()
    for scale, sigma_px in zip(maps, (6.4, 25.6, 51.2), strict=True):
        at_sigma = np.interp(sigma_px, np.arange(400), np.log(np.maximum(scale, 1e-300)))
        assert at_sigma == pytest.approx(-0.5, abs=0.005)


def test_an_absent_class_is_far_everywhere():
    assert not distance_maps(np.zeros((5, 7), bool)).any()


def test_channels_are_image_then_background_then_foreground(scene):
    image, trimap = scene
    channels = encode_inputs(image, trimap)
    assert channels.shape == (11, 48, 61)
    assert channels.dtype == np.float32
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    np.testing.assert_allclose(
        channels[:3].transpose(1, 2, 0), (image - mean) / std, rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(channels[3:6], distance_maps(trimap == 0))
    np.testing.assert_array_equal(channels[6:9], distance_maps(trimap == 1))
    np.testing.assert_array_equal(channels[9], trimap == 0)
    np.testing.assert_array_equal(channels[10], trimap == 1)


@pytest.mark.parametrize(
    ("shape", "padded_shape"),
    [((48, 61), (48, 64)), ((1, 1), (8, 8)), ((3, 17), (8, 24)), ((16, 8), (16, 8))],
)
def test_padding_mirrors_at_the_bottom_and_on_the_right(shape, padded_shape):
    rng = np.random.default_rng(0)
    image = rng.random((*shape, 3), np.float32)
    trimap = rng.choice(np.float32([0, 0.5, 1]), shape)
    padded, padded_trimap = pad_to_stride(image, trimap)
    assert padded.shape == (*padded_shape, 3)
    assert padded_trimap.shape == padded_shape
    height, width = shape
    np.testing.assert_array_equal(padded[:height, :width], image)
    np.testing.assert_array_equal(padded_trimap[:height, :width], trimap)
    assert set(np.unique(padded_trimap)) <= set(np.unique(trimap))


def test_padding_repeats_the_neighbours_in_reverse(scene):
    image, trimap = scene
    padded, padded_trimap = pad_to_stride(image, trimap)
    np.testing.assert_array_equal(padded[:, 61:], image[:, 59:56:-1])
    np.testing.assert_array_equal(padded_trimap[:, 61:], trimap[:, 59:56:-1])

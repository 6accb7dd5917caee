import numpy as np
import pytest

from smart_matte.engine.arrays import foreground_in_own_depth, to_coverage, to_working
from smart_matte.errors import PictureError, SelectionError

RNG = np.random.default_rng(0)
NOWHERE = np.zeros((5, 7), bool)


def random_picture(dtype: str, channels: int | None) -> np.ndarray:
    shape = (5, 7) if channels is None else (5, 7, channels)
    if np.dtype(dtype).kind == "u":
        return RNG.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    return RNG.random(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_every_layout_becomes_float_rgb_in_range(dtype: str, channels: int | None) -> None:
    image = random_picture(dtype, channels)
    working = to_working(image)
    assert working.colour.shape == (5, 7, 3)
    assert working.colour.dtype == np.float32
    assert 0 <= working.colour.min() <= working.colour.max() <= 1
    assert (working.alpha is not None) == (channels in (2, 4))


@pytest.mark.parametrize(("dtype", "top"), [("u1", 255), ("u2", 65535), ("f4", 1.0)])
def test_full_scale_is_one(dtype: str, top: float) -> None:
    assert to_working(np.full((2, 2, 3), top, dtype)).colour.min() == 1


def test_an_opaque_alpha_is_no_alpha() -> None:
    assert to_working(np.full((2, 2, 4), 255, np.uint8)).alpha is None


def test_straight_alpha_is_kept_apart_from_colour() -> None:
    image = np.zeros((2, 2, 4), np.uint8)
    image[..., :3], image[0, 0, 3] = 200, 51
    working = to_working(image)
    assert working.alpha is not None
    assert working.alpha[0, 0] == np.float32(0.2)
    assert (working.colour == np.float32(200 / 255)).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_unchanged_pixels_come_back_bit_exactly(dtype: str, channels: int | None) -> None:
    image = random_picture(dtype, channels)
    if image.dtype.kind == "f":
        image[0, 0] = 7.5  # beyond white
    own = foreground_in_own_depth(image, RNG.random((5, 7, 3), np.float32), NOWHERE)
    colour = image if channels is None else image[..., 0] if channels < 3 else image[..., :3]
    assert own.dtype == image.dtype
    np.testing.assert_array_equal(own, colour)


def test_changed_pixels_take_the_foreground_rounded_to_the_depth() -> None:
    image = random_picture("u1", 3)
    change = np.float32(0.5) - to_working(image).colour
    own = foreground_in_own_depth(image, change, ~NOWHERE)
    assert (np.abs(own - 127.5) <= 0.5).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_no_change_is_no_change_even_beyond_white(dtype: str) -> None:
    image = random_picture(dtype, 3)
    if image.dtype.kind == "f":
        image[0, 0] = 7.5
    own = foreground_in_own_depth(image, np.zeros((5, 7, 3), np.float32), ~NOWHERE)
    np.testing.assert_array_equal(own, image)


def test_a_float_picture_beyond_one_is_clipped_for_the_engine_only() -> None:
    image = np.full((2, 2, 3), 4.0, np.float32)
    assert to_working(image).colour.max() == 1
    own = foreground_in_own_depth(image, np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), bool))
    assert own.min() == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    image = np.zeros((3, 3, 3), np.float32)
    image[1, 1, 1] = bad
    with pytest.raises(PictureError, match="1 values that are not numbers"):
        to_working(image)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 5), (2, 2, 3, 1), (0, 4, 3), (4, 0)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PictureError):
        to_working(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", ["i4", "c8", "u4", "bool"])
def test_other_sample_types_are_refused_by_name(dtype: str) -> None:
    with pytest.raises(PictureError, match="not supported"):
        to_working(np.zeros((2, 2, 3), dtype))


def test_a_selection_may_be_bool_integer_or_float() -> None:
    for selection in (np.ones((2, 3), bool), np.full((2, 3), 255, np.uint8), np.ones((2, 3))):
        coverage = to_coverage(selection, (2, 3))
        assert coverage.dtype == np.float32
        assert (coverage == 1).all()


def test_a_selection_of_another_type_is_refused_as_a_selection() -> None:
    with pytest.raises(SelectionError, match="int64"):
        to_coverage(np.ones((2, 3), np.int64), (2, 3))


def test_a_selection_with_one_channel_is_a_selection() -> None:
    assert to_coverage(np.ones((2, 3, 1)), (2, 3)).shape == (2, 3)


def test_a_number_too_large_for_float32_is_refused_without_a_warning() -> None:
    with pytest.raises(PictureError, match="not numbers"):
        to_working(np.full((2, 2, 3), 1e300))


def test_a_selection_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(SelectionError, match=r"4 x 2 .* 3 x 2"):
        to_coverage(np.ones((2, 4)), (2, 3))

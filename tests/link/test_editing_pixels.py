"""Bytes of pixels: what is computed, what stays."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_matte_link.editing.pixels import (
    painted_trimap,
    part_of,
    unknown_runs,
    with_computed_colours,
)
from smart_matte_link.editing.region import Rect

trimaps = st.lists(st.sampled_from([0, 1, 128, 254, 255]), min_size=1, max_size=40).map(bytes)


@given(trimaps)
def test_runs_cover_all_that_is_neither_black_nor_white_and_nothing_else(trimap):
    covered = {at for start, end in unknown_runs(trimap) for at in range(start, end)}
    assert covered == {at for at, level in enumerate(trimap) if level not in {0, 255}}


def test_a_line_break_in_a_trimap_is_unknown_like_any_other_level():
    assert list(unknown_runs(b"\x00\n\n\xff\r")) == [(1, 3), (4, 5)]


@given(trimaps, st.integers(1, 16), st.data())
def test_known_pixels_and_opacity_keep_every_byte_and_unknown_ones_are_computed(
    trimap, pixel_bytes, data
):
    alpha_bytes = data.draw(st.integers(0, pixel_bytes - 1))
    count = len(trimap) * pixel_bytes
    original = data.draw(st.binary(min_size=count, max_size=count))
    computed = data.draw(st.binary(min_size=count, max_size=count))
    merged = with_computed_colours(original, computed, trimap, alpha_bytes)

    def shaped(pixels: bytes) -> np.ndarray:
        return np.frombuffer(pixels, np.uint8).reshape(len(trimap), pixel_bytes)

    levels = np.frombuffer(trimap, np.uint8)
    is_unknown = ((levels != 0) & (levels != 255))[:, None]
    expected = np.where(is_unknown, shaped(computed), shaped(original))
    colours = pixel_bytes - alpha_bytes
    expected[:, colours:] = shaped(original)[:, colours:]
    np.testing.assert_array_equal(shaped(bytes(merged)), expected)


def test_memoryviews_as_a_result_has_them_are_taken():
    merged = with_computed_colours(b"aabb", memoryview(b"xxyy"), memoryview(b"\x00\x80"))
    assert merged == b"aayy"


@pytest.mark.parametrize(("original", "computed"), [(b"aabb", b"xxy"), (b"aab", b"xxy")])
def test_sizes_that_dont_fit_are_refused(original, computed):
    message = f"{len(original)} and {len(computed)} bytes for 2 pixels"
    with pytest.raises(ValueError, match=re.escape(message)):
        with_computed_colours(original, computed, b"\x00\x80")


def test_a_painted_trimap_has_three_levels():
    painted = painted_trimap(bytes(range(256)))
    assert painted == bytes(64) + bytes([128]) * 128 + bytes([255]) * 64


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.data())
def test_a_part_holds_the_pixels_that_lie_there(width, height, pixel_bytes, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    part = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    count = width * height * pixel_bytes
    pixels = np.arange(count, dtype=np.uint8).reshape(height, width, pixel_bytes)
    expected = pixels[y : y + part.height, x : x + part.width]
    whole = Rect(-30, 20, width, height)
    found = part_of(memoryview(pixels.tobytes()), whole, part.shifted(-30, 20))
    assert found == expected.tobytes()

"""Pictures for the preview."""

import numpy as np
import pytest

from smart_matte_link.editing.preview import (
    BACKGROUND_TINT,
    FOREGROUND_TINT,
    UNKNOWN_TINT,
    cut_out_picture,
    opaque_picture,
    tinted_trimap,
)


def rgba(pixels: bytes) -> np.ndarray:
    return np.frombuffer(pixels, np.uint8).reshape(-1, 4)


def test_each_level_of_a_trimap_has_its_tint():
    tints = rgba(tinted_trimap(bytes(range(256))))
    assert tuple(tints[0]) == BACKGROUND_TINT
    assert tuple(tints[255]) == FOREGROUND_TINT
    assert {tuple(tint) for tint in tints[1:255]} == {UNKNOWN_TINT}


def test_the_picture_shows_through_every_tint():
    assert all(0 < tint[3] < 255 for tint in (BACKGROUND_TINT, UNKNOWN_TINT, FOREGROUND_TINT))


def test_tints_differ_in_brightness_too_for_those_who_see_no_colours():
    weights = (0.2126, 0.7152, 0.0722)
    tints = (BACKGROUND_TINT, UNKNOWN_TINT, FOREGROUND_TINT)
    brightness = sorted(
        sum(w * c for w, c in zip(weights, tint[:3], strict=True)) for tint in tints
    )
    assert brightness[1] - brightness[0] > 15
    assert brightness[2] - brightness[1] > 15


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_of_any_channels_is_shown_opaque(channels):
    pixels = np.random.default_rng(channels).integers(0, 256, (7, channels), dtype=np.uint8)
    shown = rgba(opaque_picture(pixels.tobytes(), channels))
    colours = pixels[:, :3] if channels >= 3 else pixels[:, :1].repeat(3, axis=1)
    np.testing.assert_array_equal(shown[:, :3], colours)
    assert (shown[:, 3] == 255).all()


def test_a_cut_out_is_the_foreground_with_its_alpha():
    shown = rgba(cut_out_picture(memoryview(bytes([1, 2, 3, 4, 5, 6])), 3, memoryview(b"\x07\x08")))
    assert shown.tolist() == [[1, 2, 3, 7], [4, 5, 6, 8]]

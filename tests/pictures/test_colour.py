import io

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import (
    ADOBE_RGB,
    DISPLAY_P3,
    LINEAR_TAG,
    SRGB,
    SRGB_CURVE,
    SRGB_TAG,
    decoded_srgb,
    encoded_srgb,
    gamma_tag,
    matrix_profile,
    noise,
    parametric_tag,
    table_profile,
    table_tag,
    to_d50,
)
from PIL import Image, ImageCms

from smart_matte.pictures.colour import SRGB_TO_D50, foreground_to_own_space, to_srgb
from smart_matte.pictures.picture import Picture

RAMP = np.linspace(0, 1, 1024)
PROFILES = {
    "Display P3": matrix_profile(DISPLAY_P3, SRGB_TAG),
    "Adobe RGB": matrix_profile(ADOBE_RGB, gamma_tag(563 / 256)),
    "linear sRGB": matrix_profile(SRGB, LINEAR_TAG),
    "linear P3": matrix_profile(DISPLAY_P3, gamma_tag(1)),
    "table of points": matrix_profile(DISPLAY_P3, table_tag(decoded_srgb(RAMP))),
    "black that glows": matrix_profile(ADOBE_RGB, table_tag(0.02 + 0.98 * RAMP**2.2)),
    "parametric 0": matrix_profile(ADOBE_RGB, parametric_tag(0, 1.8)),
    "parametric 1": matrix_profile(ADOBE_RGB, parametric_tag(1, 2.2, 0.95, 0.05)),
    "parametric 2": matrix_profile(ADOBE_RGB, parametric_tag(2, 2.2, 0.94, 0.05, 0.01)),
    "parametric 4": matrix_profile(
        ADOBE_RGB, parametric_tag(4, 2.4, *SRGB_CURVE[1:], 0.0001, 0.0001)
    ),
}
CUBE = np.stack(np.meshgrid(*[np.arange(0, 256, 15, np.uint8)] * 3), -1).reshape(18, -1, 3)


def by_littlecms(pixels: np.ndarray, profile: bytes, *, to_own: bool = False) -> np.ndarray:
    spaces = [
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
    ]
    transform = ImageCms.buildTransform(
        *(spaces[::-1] if to_own else spaces),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE,
    )
    return np.asarray(transform.apply(Image.fromarray(pixels)))


def adobe_to_srgb(values: npt.ArrayLike) -> np.ndarray:
    """The exact equations for Adobe RGB (with gamma 2.2) to sRGB."""
    light = np.asarray(values, np.float64) ** 2.2 @ to_d50(ADOBE_RGB).T
    return encoded_srgb(light @ np.linalg.inv(to_d50(SRGB)).T)


ADOBE_TABLE = table_profile(b"RGB ", 3, lambda values: values**2.2 @ to_d50(ADOBE_RGB).T, 33)


@pytest.mark.parametrize("name", PROFILES)
def test_8_bit_colours_are_littlecms_own_but_for_its_rounding(name: str) -> None:
    picture = Picture(CUBE, icc_profile=PROFILES[name])

    assert np.abs(to_srgb(picture) * 255 - by_littlecms(CUBE, PROFILES[name])).max() < 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_srgb_pictures_are_only_scaled(dtype: npt.DTypeLike) -> None:
    pixels = noise((20, 30, 3), dtype)
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    exact = pixels.astype(np.float32) / np.float32(white)

    for profile in (
        None,
        matrix_profile(SRGB, SRGB_TAG),
        matrix_profile(SRGB, table_tag(decoded_srgb(RAMP))),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ):
        assert np.array_equal(to_srgb(Picture(pixels, icc_profile=profile)), exact)


def test_values_beyond_white_and_black_are_clipped_for_the_engine() -> None:
    pixels = noise((20, 30, 3), np.float32) * 4 - 1

    for profile in (None, *PROFILES.values()):
        srgb = to_srgb(Picture(pixels, icc_profile=profile))
        assert srgb.min() >= 0
        assert srgb.max() <= 1
    assert np.array_equal(to_srgb(Picture(pixels)), np.clip(pixels, 0, 1))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_linear_light_is_right_down_to_the_darks(dtype: npt.DTypeLike) -> None:
    light = np.geomspace(1e-5, 1, 3000).reshape(20, 50, 3)
    white = 65535 if dtype == np.uint16 else 1
    pixels = (np.rint(light * white) if white > 1 else light).astype(dtype)

    srgb = to_srgb(Picture(pixels, icc_profile=PROFILES["linear sRGB"]))

    # the fixed-point numbers of the profile's matrix allow 1e-5
    light = decoded_srgb(srgb)
    assert np.abs(light - pixels / white).max() < 2e-5
    assert np.abs(srgb - encoded_srgb(pixels / white)).max() < 3e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_deep_colours_follow_the_exact_equations(dtype: npt.DTypeLike) -> None:
    pixels = noise((40, 50, 3), dtype)
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    profile = matrix_profile(ADOBE_RGB, parametric_tag(0, 2.2))

    srgb = to_srgb(Picture(pixels, icc_profile=profile))

    matrix = np.rint(to_d50(ADOBE_RGB) * 65536) / 65536  # a profile's fixed-point numbers
    light = (pixels / white) ** (round(2.2 * 65536) / 65536) @ matrix.T
    exact = encoded_srgb(light @ np.linalg.inv(SRGB_TO_D50).T)
    assert np.abs(srgb - exact).max() < 3e-6
    assert np.abs(srgb - adobe_to_srgb(pixels / white)).max() < 5e-4


def test_a_profile_of_tables_is_littlecms_own_for_8_bits() -> None:
    srgb = to_srgb(Picture(CUBE, icc_profile=ADOBE_TABLE))

    assert np.array_equal(np.rint(srgb * 255), by_littlecms(CUBE, ADOBE_TABLE))


def test_a_profile_of_tables_stays_smooth_for_deeper_samples() -> None:
    colours = noise((100, 200, 3), np.float32)
    error = to_srgb(Picture(colours, icc_profile=ADOBE_TABLE)) - adobe_to_srgb(colours)
    ramp = np.repeat(np.linspace(0.2, 0.8, 3000, dtype=np.float32)[None, :, None], 3, -1)
    steps = np.diff(to_srgb(Picture(ramp, icc_profile=ADOBE_TABLE)), axis=1)

    assert np.abs(error).mean() * 255 < 0.3
    assert np.abs(error).max() * 255 < 14
    assert np.abs(steps).max() * 255 < 1.1


def random_job(
    dtype: npt.DTypeLike, profile: bytes, seed: int = 0
) -> tuple[Picture, np.ndarray, np.ndarray, np.ndarray]:
    """A picture, what the engine sees of it, a foreground, and where that counts."""
    picture = Picture(noise((30, 40, 3), dtype, seed), icc_profile=profile)
    image = to_srgb(picture)
    foreground = np.clip(image + (noise(image.shape, np.float32, seed + 1) - 0.5) * 0.5, 0, 1)
    is_changed = noise(image.shape[:2], np.uint8, seed + 2) > 127
    return picture, image, foreground.astype(np.float32), is_changed


ALL_PROFILES = {"none": None, **PROFILES, "tables": ADOBE_TABLE}


@pytest.mark.parametrize("name", ALL_PROFILES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_known_pixels_are_bit_exact_in_their_own_depth_and_space(
    dtype: npt.DTypeLike, name: str
) -> None:
    picture, image, foreground, is_changed = random_job(dtype, ALL_PROFILES[name])
    before = picture.pixels.copy()

    own = foreground_to_own_space(picture, image, foreground, is_changed)

    assert own.dtype == dtype
    assert np.array_equal(own[~is_changed], before[~is_changed])
    assert not np.array_equal(own[is_changed], before[is_changed])
    assert np.array_equal(picture.pixels, before)


@pytest.mark.parametrize("name", ALL_PROFILES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_foreground_like_the_picture_changes_nothing_anywhere(
    dtype: npt.DTypeLike, name: str
) -> None:
    picture = Picture(noise((30, 40, 3), dtype), icc_profile=ALL_PROFILES[name])
    image = to_srgb(picture)

    own = foreground_to_own_space(picture, image, image.copy(), np.ones(image.shape[:2], bool))

    assert np.array_equal(own, picture.pixels)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_without_a_profile_the_foreground_is_only_rounded(dtype: npt.DTypeLike, white: int) -> None:
    picture, image, foreground, is_changed = random_job(dtype, None)

    own = foreground_to_own_space(picture, image, foreground, is_changed)

    distance = np.abs(own.astype(np.float64) - foreground.astype(np.float64) * white)
    assert distance[is_changed].max() <= 0.5 + white * 1e-7


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_foreground_looks_as_estimated_when_seen_in_srgb_again(
    dtype: npt.DTypeLike, name: str
) -> None:
    picture, image, foreground, is_changed = random_job(dtype, PROFILES[name])
    # of colours that both spaces hold
    is_inside = is_changed
    for values in (image, foreground):
        is_inside = is_inside & ((values > 0.02) & (values < 0.98)).all(-1)

    own = foreground_to_own_space(picture, image, foreground, is_changed)

    again = to_srgb(Picture(own, icc_profile=PROFILES[name]))
    assert is_inside.sum() > 100
    assert np.abs(again - foreground)[is_inside].max() < (4e-4 if dtype == np.uint16 else 2e-5)


def test_colours_outside_srgb_stay_outside() -> None:
    pixels = np.full((4, 4, 3), (255, 10, 10), np.uint8)  # P3's red, no colour of sRGB
    picture = Picture(pixels, icc_profile=PROFILES["Display P3"])
    image = to_srgb(picture)
    foreground = image.copy()
    foreground[..., 2] += 0.1

    own = foreground_to_own_space(picture, image, foreground, np.ones((4, 4), bool))

    assert (own[..., 0] >= 254).all()
    assert (own[..., 1] <= 14).all()
    assert (own[..., 2] > 15).all()


def test_floats_beyond_white_move_by_the_same_difference() -> None:
    pixels = np.full((4, 4, 3), 5, np.float32)
    for profile in (None, PROFILES["linear sRGB"]):
        picture = Picture(pixels, icc_profile=profile)
        image = to_srgb(picture)

        own = foreground_to_own_space(picture, image, image * 0.5, np.ones((4, 4), bool))

        drop = 0.5 if profile is None else 1 - decoded_srgb(0.5)
        assert np.allclose(own, 5 - drop, atol=1e-4)


def test_a_gray_picture_stays_gray() -> None:
    gray = np.repeat(noise((20, 30, 1), np.uint16), 3, axis=-1)
    picture = Picture(gray, was_gray=True)
    foreground = noise(gray.shape, np.float32, 7)

    own = foreground_to_own_space(picture, to_srgb(picture), foreground, np.ones((20, 30), bool))

    assert (own == own[..., :1]).all()
    assert np.abs(own[..., 0] / 65535 - foreground.mean(-1)).max() < 2e-5


@given(
    st.integers(0, 2**32), st.sampled_from([np.uint8, np.uint16]), st.sampled_from([*ALL_PROFILES])
)
def test_integers_never_wrap_around(seed: int, dtype: npt.DTypeLike, name: str) -> None:
    picture, image, _, is_changed = random_job(dtype, ALL_PROFILES[name], seed)
    extremes = np.where(noise(image.shape, np.float32, seed) > 0.5, np.float32(1), np.float32(0))

    own = foreground_to_own_space(picture, image, extremes, is_changed)

    rose = own.astype(int) >= picture.pixels
    if ALL_PROFILES[name] is None:
        assert np.array_equal(own[is_changed] > 0, extremes[is_changed] == 1)
    assert rose[is_changed][(extremes[is_changed] == 1).all(-1)].all()
    assert (~rose | (own == picture.pixels))[is_changed][(extremes[is_changed] == 0).all(-1)].all()

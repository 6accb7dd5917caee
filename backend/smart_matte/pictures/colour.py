"""
Colour between a picture's own RGB space and sRGB.

Profiles made of three curves and a matrix, as nearly every working space is, are computed here in
floating point, for every depth. Profiles made of tables, and those of other colour models, go
through littlecms. Both are relative colorimetric with black point compensation.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from smart_matte.engine.types import AnyArray, BoolArray, FloatArray
from smart_matte.pictures.icc import read_gray_curve, read_matrix_and_curves
from smart_matte.pictures.picture import Picture, to_unit, white_level

Values = TypeVar("Values", FloatArray, NDArray[np.float64])

SRGB_TO_D50 = np.array(
    [
        [0.43603516, 0.38511658, 0.14305115],
        [0.2224884, 0.71690369, 0.06060791],
        [0.01391602, 0.09706116, 0.71391296],
    ]
)
"""Linear sRGB (IEC 61966-2-1) to XYZ under D50, as littlecms' own sRGB profile has it."""

ONE_LEVEL = 1 / 255
"""A profile that moves no colour by as much as one 8-bit level is taken as sRGB itself."""

DAMAGED = (ValueError, ArithmeticError, struct.error, KeyError, OSError, ImageCms.PyCMSError)
"""What reading a damaged profile may raise."""

LARGEST_CONDITION = 1e3
"""Of a space's matrix: wide spaces such as ProPhoto RGB's stay below 10."""

BAND_PIXELS = 1 << 18
"""Pixels converted at a time: keeps the intermediate values in the processor's cache."""


def to_srgb(picture: Picture) -> FloatArray:
    """
    The picture's colours as the engine wants them.

    Returns:
        sRGB-coded, float32 (H, W, 3), [0, 1]; colours outside sRGB and values beyond [0, 1] are
        clipped. ``foreground_to_own_space`` is what brings them back.
    """
    space = _space_of(picture.icc_profile)
    result = np.empty(picture.pixels.shape, np.float32)
    for rows in _bands(result.shape):
        values = to_unit(picture.pixels[rows])
        np.clip(values if space is None else space.to_srgb(values), 0, 1, result[rows])
    return result


def foreground_to_own_space(
    picture: Picture,
    image_srgb: FloatArray,
    foreground_srgb: FloatArray,
    is_changed: BoolArray,
) -> AnyArray:
    """
    Put an estimated foreground into the picture's own depth and colour space.

        pixels + T⁻¹(foreground) - T⁻¹(image),    T: own space to sRGB

    The difference, and not T⁻¹(foreground) alone, keeps what sRGB can't express: the clipping of
    T is in both terms. Without a profile T is the identity.

    Args:
        picture: the picture.
        image_srgb: what ``to_srgb`` gave for it, float32 (H, W, 3).
        foreground_srgb: the foreground, sRGB-coded, float32 (H, W, 3), [0, 1].
        is_changed: bool (H, W), where the foreground replaces the picture's colour.

    Returns:
        The shape and type of ``picture.pixels``, and bit-exactly these wherever *is_changed* is
        False. Integers are rounded and clipped; floats may stay beyond [0, 1]. A gray picture
        stays gray.
    """
    space = _space_of(picture.icc_profile)
    white = white_level(picture.pixels.dtype)
    pixels: AnyArray = picture.pixels.copy()
    for rows in _bands(pixels.shape):
        where = is_changed[rows]
        if not where.any():
            continue
        image, foreground = image_srgb[rows][where], foreground_srgb[rows][where]
        if picture.was_gray:
            foreground = np.repeat(foreground.mean(axis=-1, keepdims=True), 3, axis=-1)
        if space is not None:
            image, foreground = (
                space.from_srgb(image[None])[0],
                space.from_srgb(foreground[None])[0],
            )
        changed = pixels[rows][where] + (foreground.astype(np.float64) - image) * white
        if pixels.dtype.kind == "u":
            changed = np.clip(np.rint(changed), 0, white)
        pixels[rows][where] = changed
    return pixels


def is_usable_rgb_profile(icc_profile: bytes) -> bool:
    """Whether pictures coded in this profile can be converted."""
    try:
        _space_of(icc_profile)
    except DAMAGED:
        return False
    return True


def gray_to_srgb(gray: AnyArray, icc_profile: bytes) -> AnyArray | None:
    """
    Convert a gray picture of a gray profile to sRGB-coded gray.

    Args:
        gray: any shape, uint8, uint16 or float32.
        icc_profile: a profile of colour space "GRAY".

    Returns:
        The shape and type of *gray*; unchanged where the profile is sRGB's own curve. Floats
        beyond [0, 1] are clipped by any other curve. None when the profile is damaged.
    """
    try:
        curve = _without_black(read_gray_curve(icc_profile))
    except DAMAGED:
        return None
    positions = np.linspace(0, 1, len(curve))
    if np.abs(_encode_srgb(curve) - positions).max() < ONE_LEVEL:
        return gray
    if gray.dtype.kind == "f":
        # the light is interpolated, not its code, whose slope is steep in the darks
        return _encode_srgb(np.interp(gray, positions, curve)).astype(gray.dtype)
    white = int(white_level(gray.dtype))
    light = np.interp(np.arange(white + 1) / white, positions, curve)
    table: AnyArray = np.rint(_encode_srgb(light) * white).astype(gray.dtype)
    return table[gray]


def other_model_to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """
    Convert a CMYK or Lab picture to 8-bit sRGB, through littlecms.

    Args:
        image: of mode "CMYK" or "LAB".
        icc_profile: a CMYK picture's profile; Lab needs none.

    Raises:
        OSError, ImageCms.PyCMSError: the profile is damaged or of another colour model.
    """
    source = ImageCms.ImageCmsProfile(
        ImageCms.createProfile("LAB") if image.mode == "LAB" else BytesIO(icc_profile or b"")
    )
    transform = _transform(source, _srgb_profile(), image.mode, "RGB")
    return transform.apply(image)


@dataclass(frozen=True, eq=False)
class _MatrixSpace:
    """
    An RGB space of three curves to light and a matrix to linear sRGB.

    Within 1e-6 of the exact equations, and of littlecms to within its 8-bit rounding.
    """

    curves: FloatArray  # (3, n), light at n equally spaced values
    inverse: FloatArray  # (3, n), values at n equally spaced sRGB-coded lights
    to_linear_srgb: FloatArray  # (3, 3)

    def to_srgb(self, values: FloatArray) -> FloatArray:
        return _encode_srgb(_multiply(_look_up(self.curves, values), self.to_linear_srgb))

    def from_srgb(self, values: FloatArray) -> FloatArray:
        light = _multiply(_decode_srgb(values), np.linalg.inv(self.to_linear_srgb))
        # coded, because equal steps in light would be too coarse in the darks
        return _look_up(self.inverse, _encode_srgb(light))


@dataclass(frozen=True, eq=False)
class _TableSpace:
    """
    An RGB space that only littlecms can compute, which Pillow offers for 8 bits.

    Finer samples keep their distance from the nearest 8-bit value through the conversion, so that
    no steps appear. For floats in a table of Adobe RGB's colours the error is 0.3 levels of 255 on
    average, and 12 at most, where saturated colours leave sRGB (measured). A profile that has no
    way back (a scanner's, say) hands differences on as they are.
    """

    forward: ImageCms.ImageCmsTransform
    backward: ImageCms.ImageCmsTransform | None

    def to_srgb(self, values: FloatArray) -> FloatArray:
        return _through_littlecms(values, self.forward)

    def from_srgb(self, values: FloatArray) -> FloatArray:
        return values if self.backward is None else _through_littlecms(values, self.backward)


@lru_cache(maxsize=4)
def _space_of(icc_profile: bytes | None) -> _MatrixSpace | _TableSpace | None:
    """The space of a profile; None is sRGB."""
    if icc_profile is None:
        return None
    profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))  # littlecms checks it first
    parts = read_matrix_and_curves(icc_profile)
    space = _table_space(profile) if parts is None else _matrix_space(*parts)
    levels = np.linspace(0, 1, 18, dtype=np.float32)  # 8-bit values, all of them
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(18, -1, 3)
    is_srgb = np.abs(np.clip(space.to_srgb(colours), 0, 1) - colours).max() < ONE_LEVEL
    return None if is_srgb else space


def _matrix_space(to_d50: NDArray[np.float64], curves: NDArray[np.float64]) -> _MatrixSpace:
    curves = _without_black(curves)
    positions = np.linspace(0, 1, curves.shape[1])
    light = _decode_srgb(positions)
    inverse = np.stack([np.interp(light, curve, positions) for curve in curves])
    to_linear_srgb = np.linalg.inv(SRGB_TO_D50) @ to_d50
    if np.linalg.cond(to_linear_srgb) > LARGEST_CONDITION:
        raise ValueError("its primaries are no three colours")
    return _MatrixSpace(*(part.astype(np.float32) for part in (curves, inverse, to_linear_srgb)))


def _table_space(profile: ImageCms.ImageCmsProfile) -> _TableSpace:
    srgb = _srgb_profile()
    forward = _transform(profile, srgb, "RGB", "RGB")
    try:
        backward = _transform(srgb, profile, "RGB", "RGB")
    except ImageCms.PyCMSError:
        backward = None
    return _TableSpace(forward, backward)


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows to convert at a time."""
    rows = max(1, BAND_PIXELS // shape[1])
    return (slice(top, top + rows) for top in range(0, shape[0], rows))


def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transform(
    source: ImageCms.ImageCmsProfile,
    target: ImageCms.ImageCmsProfile,
    source_mode: str,
    target_mode: str,
) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        source,
        target,
        source_mode,
        target_mode,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # unoptimised: its shortcut tables are off by up to 18 levels in dark colours (measured)
        ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE,
    )


def _through_littlecms(values: FloatArray, transform: ImageCms.ImageCmsTransform) -> FloatArray:
    nearest = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    converted = np.asarray(transform.apply(Image.fromarray(nearest)))
    return (converted.astype(np.float32) - nearest) / np.float32(255) + values


def _look_up(curves: FloatArray, values: FloatArray) -> FloatArray:
    """Interpolate one curve for each channel, given at equally spaced values in [0, 1]."""
    last = curves.shape[1] - 1
    at = np.clip(values, 0, 1) * np.float32(last)
    below = np.minimum(at.astype(np.int32), last - 1)
    at -= below
    result = np.empty_like(values)
    for channel, curve in enumerate(curves):
        low = curve[below[..., channel]]
        result[..., channel] = low + at[..., channel] * (curve[below[..., channel] + 1] - low)
    return result


def _multiply(light: FloatArray, matrix: FloatArray) -> FloatArray:
    """Every pixel's three values times a matrix."""
    return np.asarray(cv2.transform(light, matrix), np.float32)


def _without_black(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Black point compensation: light at value 0 becomes none, full light stays."""
    black = curves[..., :1]
    return (curves - black) / (1 - black)


def _encode_srgb(light: Values) -> Values:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # noqa: PLR2004


def _decode_srgb(values: Values) -> Values:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004

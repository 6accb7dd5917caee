"""From a file's bytes to its samples, in its own depth."""

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from smart_matte.engine.types import AnyArray, U8Array
from smart_matte.errors import PictureError, SmartMatteError
from smart_matte.pictures import tiff
from smart_matte.pictures.colour import other_model_to_srgb

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""The decoders that Pillow may use; its many others are no use here, and more to attack."""
READABLE = "PNG, JPEG, WebP, TIFF, BMP or GIF"
STARTS = (b"\x89PNG", b"\xff\xd8", b"RIFF", b"GIF8", b"BM")
"""How their files begin, TIFF apart."""
HAVE_FRAMES = ("PNG", "WEBP", "TIFF", "GIF")  # a JPEG's further pictures are a camera's extras

CONVERSIONS = {
    "1": "L",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
}
"""Pillow's modes that become one of the five below."""
MODES = ("L", "LA", "RGB", "RGBA", "I;16")

PNG_DEPTH_AT, PNG_COLOUR_TYPE_AT = 24, 25
DEEP = 16
DEEP_PNG_RAW_MODES = {2: ("RGB;16B", "RGB;16L"), 4: ("RGBA",), 6: ("RGBA;16B", "RGBA;16L")}
"""
How Pillow, which has no 16-bit colours, still hands out every byte of PNG's colour types: the high
byte of each sample, and then, named little-endian, the low one; gray with alpha as four bytes.
"""

ORIENTATION_TAG = 0x0112

_PILLOW = threading.Lock()

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its complaints go to stderr


@dataclass(frozen=True, eq=False)
class Raster:
    """
    Samples as they lie in a file, and what it says about them.

    Attributes:
        samples: uint8, uint16 or float32 (H, W, 1 to 4): gray or RGB, straight alpha last; finite.
        orientation: EXIF orientation, 1 to 8.
        icc_profile: the embedded profile, not checked.
        notes: what the user should know, each one sentence.
    """

    samples: AnyArray
    orientation: int
    icc_profile: bytes | None
    notes: tuple[str, ...]


def decode(data: bytes, name: str, check_size: Callable[[int, int], None]) -> Raster:
    """
    Decode a file's first picture.

    Args:
        data: the whole file.
        name: what to call it in sentences.
        check_size: called with width and height, from the header, before any pixel is decoded;
            raises when it won't have such a picture.

    Raises:
        PictureError: it is no picture, a damaged one, one of a kind that isn't supported, or
            holds values that are not numbers.
    """
    try:
        with _quiet_pillow():
            raster = _decode(data, name, check_size)
    except SmartMatteError:
        raise
    except MemoryError:
        raise PictureError(f"“{name}” does not fit into memory; scale it down.") from None
    except UnidentifiedImageError as error:
        raise PictureError(_unknown(data, name)) from error
    except Exception as error:
        # decoders fail in many ways on damaged files
        reason = (str(error) or type(error).__name__).rstrip(".")
        raise PictureError(
            f"“{name}” is damaged or cut short ({reason}); fetch or save it again."
        ) from error
    if raster.samples.dtype.kind == "f":
        bad = np.count_nonzero(~np.isfinite(raster.samples).all(axis=-1))
        if bad:
            raise PictureError(
                f"“{name}” holds {bad} pixels that are not numbers (NaN or infinity); replace them"
                " in an editor and try again."
            )
    return raster


@contextlib.contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Hold back Pillow's own size limit (ours decides) and its warnings; one thread at a time."""
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _unknown(data: bytes, name: str) -> str:
    if data.startswith(tiff.MAGIC):
        return (
            f"“{name}” is a TIFF of a kind that can't be read, or damaged; save it as RGB of 8 or"
            " 16 bits, or as 32-bit float."
        )
    if data.startswith(STARTS):
        return f"“{name}” is damaged or cut short (its header); fetch or save it again."
    return f"“{name}” is no picture that can be read; give a {READABLE} file."


def _decode(data: bytes, name: str, check_size: Callable[[int, int], None]) -> Raster:
    def check(width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise PictureError(f"“{name}” has no pixels; give a picture that has.")
        check_size(width, height)

    tags = tiff.open_plain_tiff(data) if data.startswith(tiff.MAGIC) else None
    if tags is None:
        return _from_pillow(data, name, check)
    check(tags[tiff.WIDTH], tags[tiff.HEIGHT])
    plain = tiff.read_plain_tiff(data, tags)
    notes = []
    if plain.has_more_pages:
        notes.append(_only_first(name))
    if plain.was_wider:
        notes.append(f"The samples of “{name}” are finer than 32-bit floats, which they become.")
    return Raster(plain.samples, plain.orientation, plain.icc_profile, tuple(notes))


def _only_first(name: str) -> str:
    return f"“{name}” holds several pictures; the first is used."


def _from_pillow(data: bytes, name: str, check_size: Callable[[int, int], None]) -> Raster:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        check_size(*image.size)
        icc_profile = image.info.get("icc_profile")
        notes = []
        if image.mode in ("CMYK", "LAB"):
            samples, is_exact = _other_model_samples(image, icc_profile)
            icc_profile = None
            if not is_exact:
                notes.append(
                    f"“{name}” is CMYK without a usable colour profile; its colours are a guess."
                )
        else:
            samples = _rgb_or_gray_samples(data, image, name)
        orientation = _orientation_of(image)
        if _has_more_frames(image):
            notes.append(_only_first(name))
    return Raster(samples, orientation, icc_profile, tuple(notes))


def _rgb_or_gray_samples(data: bytes, image: ImageFile.ImageFile, name: str) -> AnyArray:
    depth, raw_modes = 8, None
    if image.format == "PNG":
        depth = data[PNG_DEPTH_AT]
        raw_modes = DEEP_PNG_RAW_MODES.get(data[PNG_COLOUR_TYPE_AT]) if depth == DEEP else None
    samples = _deep_png_samples(data, image, raw_modes) if raw_modes else _samples(image, name)
    return _with_transparent_colour(samples, image, depth)


def _samples(image: Image.Image, name: str) -> AnyArray:
    image.load()
    mode = CONVERSIONS.get(image.mode, image.mode)
    if image.mode == "P" and image.has_transparency_data:
        mode = "RGBA"
    if mode not in MODES:
        raise PictureError(
            f"“{name}” has samples of a kind that is not supported ({image.mode}); save it as RGB"
            " of 8 or 16 bits."
        )
    samples = np.asarray(image if mode == image.mode else image.convert(mode))
    return samples if samples.ndim == 3 else samples[..., None]  # noqa: PLR2004


def _deep_png_samples(
    data: bytes, image: ImageFile.ImageFile, raw_modes: tuple[str, ...]
) -> AnyArray:
    first = _raw_bytes(image, raw_modes[0])
    if len(raw_modes) == 1:
        return first.view(">u2").astype(np.uint16)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        return first.astype(np.uint16) << 8 | _raw_bytes(again, raw_modes[1])


def _raw_bytes(image: ImageFile.ImageFile, raw_mode: str) -> U8Array:
    image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
    return np.asarray(image)


def _other_model_samples(image: Image.Image, icc_profile: bytes | None) -> tuple[AnyArray, bool]:
    """8-bit sRGB samples of a CMYK or Lab picture, and whether its profile led there."""
    image.load()
    try:
        return np.asarray(other_model_to_srgb(image, icc_profile)), True
    except (OSError, ImageCms.PyCMSError):
        return np.asarray(image.convert("RGB")), False


def _with_transparent_colour(samples: AnyArray, image: Image.Image, depth: int) -> AnyArray:
    """Add the alpha of a file that names one gray value or colour as transparent."""
    transparent = image.info.get("transparency")
    if transparent is None or image.mode not in ("1", "L", "I;16", "RGB"):
        return samples
    white = np.iinfo(samples.dtype).max
    most = min(2**depth - 1, white)
    value = (np.array(transparent) & most) * (white // most)
    is_opaque = (samples != value).any(axis=-1, keepdims=True)
    return np.concatenate([samples, (is_opaque * white).astype(samples.dtype)], axis=-1)


def _has_more_frames(image: ImageFile.ImageFile) -> bool:
    with contextlib.suppress(Exception):  # a damaged second frame is not our concern
        return image.format in HAVE_FRAMES and getattr(image, "is_animated", False)
    return False


def _orientation_of(image: Image.Image) -> int:
    """EXIF orientation that is still to be applied (Pillow has turned TIFF already)."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  (damaged EXIF data fail in many ways, and no pixel needs them)
        return 1

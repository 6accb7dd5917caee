"""Reads pictures and selections from files, upright and within limits."""

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from smart_matte.engine.types import AnyArray, FloatArray
from smart_matte.errors import OptionError, PictureError, SelectionError
from smart_matte.pictures.colour import gray_to_srgb, is_usable_rgb_profile
from smart_matte.pictures.decode import READABLE, Raster, decode
from smart_matte.pictures.icc import colour_model
from smart_matte.pictures.picture import Picture, to_unit, white_level

__all__ = ["Picture", "Source", "read_picture", "read_selection"]

Source = Path | str | BinaryIO
"""A file's path, or an open binary stream such as ``sys.stdin.buffer``."""

MAX_MEGAPIXELS = 100.0
MOST_BYTES_PER_PIXEL = 16
ROOM_BYTES = 256 << 20
"""No honest file is larger than four floats a pixel and this: an endless stream is."""

PIECE_BYTES = 1 << 22

SIDEWAYS = 5
"""From this EXIF orientation on, width and height are swapped."""
FLIPPED_ACROSS = (2, 3, 6, 7)
FLIPPED_DOWN = (3, 4, 7, 8)


def read_picture(
    source: Source, *, max_megapixels: float = MAX_MEGAPIXELS, name: str | None = None
) -> Picture:
    """
    Read a picture in its own depth and colour space, turned upright.

    RGB profiles are kept. CMYK and Lab become 8-bit sRGB; gray with a gray profile becomes
    sRGB-coded gray of its own depth. A damaged profile is taken as sRGB, with a note. Of several
    pictures in a file the first is read, with a note.

    Args:
        source: a path or an open binary stream.
        max_megapixels: the largest picture to accept, in millions of pixels; decided from the
            file's header.
        name: what to call it in sentences; left out, the path or “standard input”.

    Raises:
        PictureError: there is no such file, it is no picture or a damaged one, it is larger than
            *max_megapixels*, or it holds values that are not numbers.
        OptionError: *max_megapixels* is no finite number above 0.
    """
    if not 0 < max_megapixels < math.inf:
        raise OptionError(
            f"A picture can't be limited to {max_megapixels:g} megapixels; give a number above 0."
        )
    name = name or _name_of(source)

    def check_size(width: int, height: int) -> None:
        megapixels = width * height / 1e6
        if megapixels > max_megapixels:
            raise PictureError(
                f"“{name}” has {width} x {height} pixels, which is {megapixels:.4g} megapixels,"
                f" and the limit is {max_megapixels:g}; scale it down, or allow it with"
                f" --max-megapixels {math.ceil(megapixels)}."
            )

    most_bytes = max_megapixels * 1e6 * MOST_BYTES_PER_PIXEL + ROOM_BYTES
    data = _read_bytes(source, name, most_bytes)
    return _to_picture(decode(data, name, check_size), name)


def read_selection(
    source: Source, shape: tuple[int, int], *, name: str | None = None
) -> FloatArray:
    """
    Read a selection: how much of each pixel the user selected.

    Where a single colour was painted on transparency, the opacity is the selection. Otherwise it is
    the gray value, or the mean of the channels, times the opacity. Colour profiles are ignored,
    for it is coverage.

    Args:
        source: a path or an open binary stream.
        shape: (H, W) of the picture that it belongs to, upright.
        name: what to call it in sentences; left out, the path or “standard input”.

    Returns:
        float32 (H, W), [0, 1].

    Raises:
        SelectionError: it can't be read, or has another size than the picture.
    """
    name = name or _name_of(source)

    def check_size(width: int, height: int) -> None:
        if sorted((height, width)) != sorted(shape):
            raise _wrong_size(name, (height, width), shape, 1)

    most_bytes = shape[0] * shape[1] * MOST_BYTES_PER_PIXEL + ROOM_BYTES
    try:
        raster = decode(_read_bytes(source, name, most_bytes), name, check_size)
    except PictureError as error:
        raise SelectionError(str(error)) from error
    samples = _upright(raster)
    if samples.shape[:2] != shape:
        raise _wrong_size(name, samples.shape[:2], shape, raster.orientation)
    return _coverage(samples)


def _name_of(source: Source) -> str:
    return str(source) if isinstance(source, Path | str) else "standard input"


def _read_bytes(source: Source, name: str, most_bytes: float) -> bytes:
    try:
        if isinstance(source, Path | str):
            with Path(source).open("rb") as file:
                data = _read_up_to(file, most_bytes)
        else:
            data = _read_up_to(source, most_bytes)
    except FileNotFoundError:
        raise PictureError(f"There is no file “{name}”; check its name.") from None
    except IsADirectoryError:
        raise PictureError(f"“{name}” is a folder; name a picture in it.") from None
    except PermissionError:
        raise PictureError(f"“{name}” may not be read; ask its owner for permission.") from None
    except MemoryError:
        raise PictureError(f"“{name}” does not fit into memory; scale it down.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"“{name}” can't be read ({reason}); check its name.") from None
    if len(data) > most_bytes:
        raise PictureError(
            f"“{name}” is larger than {most_bytes / 1e6:.0f} MB, more than such a picture can"
            " need; scale it down, or allow larger ones with --max-megapixels."
        )
    if not data:
        raise PictureError(f"“{name}” is empty; give a {READABLE} file.")
    return data


def _read_up_to(file: BinaryIO, most_bytes: float) -> bytes:
    """All bytes; or more than so many, where there is no end in sight."""
    pieces: list[bytes] = []
    size = 0
    while size <= most_bytes and (piece := file.read(PIECE_BYTES)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _upright(raster: Raster) -> AnyArray:
    """The samples turned and mirrored as EXIF wants them shown."""
    samples = raster.samples
    if SIDEWAYS <= raster.orientation <= 8:  # noqa: PLR2004
        samples = samples.swapaxes(0, 1)
    if raster.orientation in FLIPPED_ACROSS:
        samples = samples[:, ::-1]
    if raster.orientation in FLIPPED_DOWN:
        samples = samples[::-1]
    return samples


def _to_picture(raster: Raster, name: str) -> Picture:
    samples = _upright(raster)
    channels = samples.shape[-1]
    was_gray = channels < 3  # noqa: PLR2004
    has_alpha = channels in (2, 4)
    colour = samples[..., :-1] if has_alpha else samples
    alpha = np.ascontiguousarray(samples[..., -1]) if has_alpha else None
    if alpha is not None and alpha.dtype.kind == "f":
        alpha = np.clip(alpha, 0, 1)
    colour, icc_profile, notes = _resolve_profile(colour, raster.icc_profile, name)
    pixels = np.repeat(colour, 3, axis=-1) if was_gray else np.ascontiguousarray(colour)
    return Picture(pixels, alpha, was_gray, icc_profile, name, raster.notes + notes)


def _resolve_profile(
    colour: AnyArray, icc_profile: bytes | None, name: str
) -> tuple[AnyArray, bytes | None, tuple[str, ...]]:
    """Colour, the RGB profile that it is coded in (None: sRGB), and notes."""
    if not icc_profile:
        if colour.dtype.kind == "f" and colour.shape[-1] > 1:  # lone floats are mostly masks
            note = f"“{name}” holds floats without a colour profile; they are taken as sRGB-coded."
            return colour, None, (note,)
        return colour, None, ()
    model = colour_model(icc_profile)
    if model == "RGB" and is_usable_rgb_profile(icc_profile):
        return colour, icc_profile, ()
    if model == "GRAY" and colour.shape[-1] == 1:
        converted = gray_to_srgb(colour, icc_profile)
        if converted is not None:
            return converted, None, ()
    note = f"The colour profile of “{name}” is damaged or unfit; its colours are taken as sRGB."
    return colour, None, (note,)


def _coverage(samples: AnyArray) -> FloatArray:
    white = np.float32(white_level(samples.dtype))
    has_alpha = samples.shape[-1] in (2, 4)
    colour = samples[..., :-1] if has_alpha else samples
    coverage: FloatArray = colour.sum(axis=-1, dtype=np.float32)
    coverage /= white * np.float32(colour.shape[-1])
    if has_alpha:
        opacity = to_unit(samples[..., -1])
        painted = colour[opacity > 0]
        is_one_colour = len(painted) > 0 and bool((painted == painted[0]).all())
        coverage = opacity if opacity.min() < 1 and is_one_colour else coverage * opacity
    return np.clip(coverage, 0, 1)


def _wrong_size(
    name: str, found: tuple[int, ...], wanted: tuple[int, int], orientation: int
) -> SelectionError:
    advice = "give one of the picture's size"
    if orientation >= SIDEWAYS:
        advice = "they agree only before its EXIF rotation, so save it without that rotation"
    elif found == wanted[::-1]:
        advice = (
            "width and height are swapped, as if it was drawn before the picture's EXIF rotation,"
            " so turn it by 90 degrees"
        )
    return SelectionError(
        f"The selection “{name}” is {found[1]} x {found[0]} pixels but the picture is"
        f" {wanted[1]} x {wanted[0]}; {advice}."
    )

"""Writes results to files: PNG for integers, TIFF for any depth, whole or not at all."""

import contextlib
import errno
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from smart_matte.engine.types import AnyArray
from smart_matte.errors import OutputError
from smart_matte.pictures.picture import white_level
from smart_matte.pictures.tiff import encode_tiff

Target = Path | str | BinaryIO
"""A path ending in .png, .tif or .tiff, or an open binary stream such as ``sys.stdout.buffer``."""

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_HEADER_BYTES = 33
"""PNG's signature and its first chunk, which the profile has to follow."""
PNG_LEVEL = 3
"""zlib's: 2.5 times as fast as Pillow's usual 6, for a quarter more bytes (measured)."""


def write_picture(
    target: Target,
    pixels: AnyArray,
    *,
    alpha: AnyArray | None = None,
    icc_profile: bytes | None = None,
    overwrite: bool = False,
) -> None:
    """
    Write a picture with straight alpha: colour under transparent pixels stays as it is.

    A path gets PNG or TIFF by its name, a stream PNG for integers and TIFF for floats. A file
    appears whole, or not at all.

    Args:
        target: a path, or an open binary stream.
        pixels: uint8, uint16 or float32; (H, W, 3) RGB or (H, W) gray.
        alpha: opacity (H, W), in the type of *pixels*, or float in [0, 1], which is brought to
            their depth.
        icc_profile: the RGB profile that *pixels* are coded in; gray goes without.
        overwrite: replace a file that is there.

    Raises:
        OutputError: the name, the folder, the disk or the depth forbids it.
    """
    samples = _with_alpha(pixels, alpha)
    if samples.shape[-1] < 3:  # noqa: PLR2004
        icc_profile = None
    if isinstance(target, Path | str):
        path = Path(target)
        with _told_of(f"“{path}”"):
            _check_target(path, overwrite=overwrite)
        data = _encode(samples, icc_profile, path.suffix.lower(), f"“{path}”")
        with _told_of(f"“{path}”"):
            _replace_file(path, data)
        return
    data = _encode(samples, icc_profile, _suffix_for(samples.dtype), "the output")
    with _told_of("the output"):
        target.write(data)
        target.flush()


def _suffix_for(dtype: np.dtype) -> str:
    return ".png" if dtype.kind == "u" else ".tif"


def _check_target(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"“{path}” is a folder; name a file in it.")
    if path.suffix.lower() not in (".png", *TIFF_SUFFIXES):
        raise OutputError(f"“{path}” can't be written; let its name end in .png, .tif or .tiff.")
    if not path.parent.exists():
        raise OutputError(f"There is no folder “{path.parent}”; make it or name another.")
    if not path.parent.is_dir():
        raise OutputError(f"“{path.parent}” is no folder; name another.")
    if path.exists() and not path.is_file():
        raise OutputError(f"“{path}” is no ordinary file; name another.")
    if path.exists() and not overwrite:
        raise OutputError(f"“{path}” exists; name another file, or allow it with --overwrite.")


def _with_alpha(pixels: AnyArray, alpha: AnyArray | None) -> AnyArray:
    """(H, W, 1 to 4), alpha last, one type."""
    samples = pixels if pixels.ndim == 3 else pixels[..., None]  # noqa: PLR2004
    if alpha is None:
        return samples
    if alpha.dtype != samples.dtype:
        alpha = alpha * white_level(samples.dtype)
        alpha = np.rint(alpha) if samples.dtype.kind == "u" else alpha
    return np.concatenate([samples, alpha[..., None].astype(samples.dtype)], axis=-1)


def _encode(samples: AnyArray, icc_profile: bytes | None, suffix: str, name: str) -> bytes:
    try:
        if suffix in TIFF_SUFFIXES:
            return encode_tiff(samples, icc_profile)
        if samples.dtype.kind != "u":
            raise OutputError(f"{name} can't be PNG, which holds no floats; let it end in .tif.")
        return _encode_png(samples, icc_profile)
    except (OverflowError, MemoryError, cv2.error):
        raise OutputError(f"The picture is too large for {name}; scale it down.") from None


def _encode_png(samples: AnyArray, icc_profile: bytes | None) -> bytes:
    if samples.shape[-1] == 2:  # noqa: PLR2004  (OpenCV has no gray with alpha)
        samples = samples[..., [0, 0, 0, 1]]
    order = [2, 1, 0, 3][: samples.shape[-1]] if samples.shape[-1] > 1 else [0]
    is_done, encoded = cv2.imencode(
        ".png", np.ascontiguousarray(samples[..., order]), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
    )
    if not is_done:
        raise OverflowError
    data = encoded.tobytes()
    if icc_profile is None:
        return data
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:PNG_HEADER_BYTES] + chunk + data[PNG_HEADER_BYTES:]


def _replace_file(path: Path, data: bytes) -> None:
    """Write beside the file, then put it in place in one step."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


@contextlib.contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Turn the system's errors into sentences."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "the disk is full; free some space or write elsewhere"
        elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "the folder does not allow it; write elsewhere"
        elif number == errno.EPIPE:
            advice = "nobody reads it any more"
        else:
            advice = f"{getattr(error, 'strerror', None) or error}; write elsewhere"
        raise OutputError(f"{name[0].upper()}{name[1:]} can't be written: {advice}.") from None

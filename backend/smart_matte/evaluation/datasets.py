"""
Reads pictures whose alpha is known, from a folder laid out as the project's shared data.

    alphamatting/{image,trimap_narrow,trimap_wide,alpha}/NAME.png
    fba_reference/NAME/{image,trimap,fba_alpha}.png
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from smart_matte.engine.types import FloatArray
from smart_matte.errors import OptionError, PictureError

ROUGH, LOOSE = SELECTED_SETS = ("rough", "loose")
"""The sets without trimaps: a selection is drawn, tight or loose, and the whole program runs."""

SETS = ("alphamatting-narrow", "alphamatting-wide", *SELECTED_SETS, "fba-reference")
"""Every set by name, in the order of a full run."""

_TRIMAP_FOLDERS = {"alphamatting-narrow": "trimap_narrow", "alphamatting-wide": "trimap_wide"}


@dataclass(frozen=True)
class Sample:
    """
    One picture and what is known about it.

    Attributes:
        name: of the picture, unique in its set.
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground. None in SELECTED_SETS.
        alpha: what a result is held against, float32 (H, W), [0, 1]: measured truth, or in
            "fba-reference" what the published FBA network gave.
    """

    name: str
    image: FloatArray
    trimap: FloatArray | None
    alpha: FloatArray


def list_samples(set_name: str, data: Path) -> list[str]:
    """
    Names of a set's pictures, sorted.

    Args:
        set_name: one of ``SETS``.
        data: the folder that holds ``alphamatting`` and ``fba_reference``.

    Raises:
        OptionError: there is no such set, or its folder is missing or empty.
    """
    if set_name not in SETS:
        raise OptionError(f"There is no set “{set_name}”; choose from {', '.join(SETS)}.")
    if set_name == "fba-reference":
        names = [path.parent.name for path in (data / "fba_reference").glob("*/image.png")]
    else:
        names = [path.stem for path in (data / "alphamatting" / "image").glob("*.png")]
    if not names:
        raise OptionError(
            f"No pictures of the set “{set_name}” are in “{data}”; name the folder that holds"
            " alphamatting and fba_reference with --data FOLDER or in SMART_MATTE_DATA."
        )
    return sorted(names)


def read_samples(set_name: str, data: Path, limit: int | None = None) -> Iterator[Sample]:
    """
    Read a set one picture at a time.

    Args:
        set_name: one of ``SETS``.
        data: the folder that holds ``alphamatting`` and ``fba_reference``.
        limit: stop after so many pictures.

    Raises:
        OptionError: there is no such set, or its folder is missing or empty.
        PictureError: a file of the set is missing, broken, or of another size than its picture.
    """
    for name in list_samples(set_name, data)[:limit]:
        yield _read_sample(set_name, data, name)


def _read_sample(set_name: str, data: Path, name: str) -> Sample:
    """Read one picture with its trimap and its alpha."""
    trimap_path: Path | None
    if set_name == "fba-reference":
        folder = data / "fba_reference" / name
        image_path, alpha_path = folder / "image.png", folder / "fba_alpha.png"
        trimap_path = folder / "trimap.png"
    else:
        folder = data / "alphamatting"
        image_path, alpha_path = (folder / part / f"{name}.png" for part in ("image", "alpha"))
        trimap_path = (
            folder / _TRIMAP_FOLDERS[set_name] / f"{name}.png"
            if set_name in _TRIMAP_FOLDERS
            else None
        )
    image = _read_colour(image_path)
    return Sample(
        name=name,
        image=image,
        trimap=None if trimap_path is None else _read_trimap(trimap_path, image.shape),
        alpha=_read_gray(alpha_path, image.shape),
    )


def _read_colour(path: Path) -> FloatArray:
    """Colour without its transparency, float32 (H, W, 3), [0, 1]."""
    with _open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float32) / np.float32(255)


def _read_gray(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """
    One channel of an 8- or 16-bit file, float32 (H, W), [0, 1].

    Raises:
        PictureError: it has not the height and width of *shape*.
    """
    with _open(path) as picture:
        is_16_bit = picture.mode.startswith("I")
        gray = np.asarray(picture if is_16_bit else picture.convert("L"), np.float32)
    if gray.shape != shape[:2]:
        raise PictureError(f"“{path}” has another size than its picture; fetch the set again.")
    return gray / np.float32(65535 if is_16_bit else 255)


def _read_trimap(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """A trimap file; black is background, white is foreground and all else is unknown."""
    gray = _read_gray(path, shape)
    return np.where((gray == 0) | (gray == 1), gray, np.float32(0.5))


def _open(path: Path) -> Image.Image:
    """
    Open and decode a picture file.

    Raises:
        PictureError: it is missing or broken.
    """
    try:
        picture = Image.open(path)
        picture.load()
    except OSError as error:
        raise PictureError(f"“{path}” can't be read; fetch the set again.") from error
    return picture

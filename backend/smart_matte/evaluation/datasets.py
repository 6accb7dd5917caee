"""
Reads pictures whose alpha is known, from a folder laid out as the project's shared data.

    alphamatting/{image,trimap_narrow,trimap_wide,alpha}/NAME.png
    fba_reference/NAME/{image,trimap,fba_alpha}.png, fba_foreground.png where there is one
    photos/**: what the pictures of "synthetic" are rendered from
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from smart_matte.engine.types import FloatArray
from smart_matte.errors import OptionError, PictureError
from smart_matte.evaluation.sample import Sample
from smart_matte.evaluation.synthetic import has_photos, list_synthetic, read_synthetic

ROUGH, LOOSE = SELECTED_SETS = ("rough", "loose")
"""The sets without trimaps: a selection is drawn, tight or loose, and the whole program runs."""

FILE_SETS = ("alphamatting-narrow", "alphamatting-wide", *SELECTED_SETS, "fba-reference")
"""The sets whose pictures lie in files."""

SYNTHETIC = "synthetic"
"""The set whose pictures are rendered, with their alpha and foreground, when it is read."""

SETS = (*FILE_SETS, SYNTHETIC)
"""Every set by name, in the order of a full run."""

_TRIMAP_FOLDERS = {"alphamatting-narrow": "trimap_narrow", "alphamatting-wide": "trimap_wide"}


def list_samples(set_name: str, data: Path) -> list[str]:
    """
    Names of a set's pictures, sorted.

    Args:
        set_name: one of ``SETS``.
        data: the folder that holds ``alphamatting``, ``fba_reference`` and ``photos``.

    Raises:
        OptionError: there is no such set, or its folder is missing or empty.
    """
    if set_name not in SETS:
        raise OptionError(f"There is no set “{set_name}”; choose from {', '.join(SETS)}.")
    if set_name == SYNTHETIC:
        names = list_synthetic() if has_photos(data / "photos") else []
    elif set_name == "fba-reference":
        names = [path.parent.name for path in (data / "fba_reference").glob("*/image.png")]
    else:
        names = [path.stem for path in (data / "alphamatting" / "image").glob("*.png")]
    if not names:
        raise OptionError(
            f"No pictures of the set “{set_name}” are in “{data}”; name the folder that holds"
            " alphamatting, fba_reference and photos with --data FOLDER or in SMART_MATTE_DATA."
        )
    return sorted(names)


def read_samples(
    set_name: str, data: Path, limit: int | None = None, only: Sequence[str] = ()
) -> Iterator[Sample]:
    """
    Read a set one picture at a time.

    Args:
        set_name: one of ``SETS``.
        data: the folder that holds ``alphamatting``, ``fba_reference`` and ``photos``.
        limit: stop after so many pictures.
        only: names of pictures; all others are passed over. Empty for all.

    Raises:
        OptionError: there is no such set, or its folder is missing or empty.
        PictureError: a file of the set is missing, broken, or of another size than its picture.
    """
    names = [name for name in list_samples(set_name, data) if not only or name in only][:limit]
    if set_name == SYNTHETIC:
        yield from read_synthetic(data / "photos", names)
        return
    for name in names:
        yield _read_sample(set_name, data, name)


def _read_sample(set_name: str, data: Path, name: str) -> Sample:
    """Read one picture with its trimap, its alpha and, where there is one, its foreground."""
    trimap_path: Path | None
    foreground_path: Path | None = None
    if set_name == "fba-reference":
        folder = data / "fba_reference" / name
        image_path, alpha_path = folder / "image.png", folder / "fba_alpha.png"
        trimap_path = folder / "trimap.png"
        foreground_path = folder / "fba_foreground.png"
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
        foreground=_read_foreground(foreground_path, image.shape),
    )


def _read_colour(path: Path) -> FloatArray:
    """Colour without its transparency, float32 (H, W, 3), [0, 1]."""
    with _open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float32) / np.float32(255)


def _read_foreground(path: Path | None, shape: tuple[int, ...]) -> FloatArray | None:
    """
    A foreground's straight colour, float32 (H, W, 3), [0, 1]; None where there is no such file.

    Raises:
        PictureError: it is broken, or has not the height and width of *shape*.
    """
    if path is None or not path.exists():
        return None
    foreground = _read_colour(path)
    if foreground.shape != shape:
        raise PictureError(f"“{path}” has another size than its picture; fetch the set again.")
    return foreground


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

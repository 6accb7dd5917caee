"""One picture file from reading to writing: what every command that cuts out pictures does."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from smart_matte.api import cutout
from smart_matte.cli.inputs import Job
from smart_matte.engine.cutout import Cutout
from smart_matte.engine.options import Options
from smart_matte.engine.report import Report
from smart_matte.engine.types import AnyArray, FloatArray, Progress
from smart_matte.errors import OutputError
from smart_matte.pictures.colour import foreground_to_own_space, to_srgb
from smart_matte.pictures.read import Picture, read_picture, read_selection
from smart_matte.pictures.sheets import contact_sheet, over_backdrop, tint_unselected
from smart_matte.pictures.write import write_picture

KINDS = ("alpha", "foreground", "cutout", "trimap")


@dataclass(frozen=True)
class Target:
    """Where results go: a folder, whether a preview is wanted, whether old files are replaced."""

    folder: Path
    preview: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Results:
    """What was written (by kind), what really ran, and what the user should know of the file."""

    files: Mapping[str, Path]
    report: Report
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Computed:
    """A cut-out in the picture's own depth and colour space."""

    picture: Picture
    srgb: FloatArray
    selection: FloatArray | None
    cutout: Cutout
    foreground: AnyArray
    alpha: AnyArray


def cut_out_picture(
    job: Job,
    selection: Path | None,
    target: Target,
    *,
    options: Options,
    max_megapixels: float,
    progress: Progress,
) -> Results:
    """
    Cut one picture out and write its results into a folder.

    Raises:
        PictureError, SelectionError, OptionError, WeightsError: as smart_matte.cutout.
        OutputError: a result exists already, or can't be written.
    """
    picture = _read(job, max_megapixels)
    files = _name_files(job, picture, target)
    _make_folder(target.folder)
    done = _compute(picture, selection, options, progress)
    contents = {
        "alpha": (done.alpha, None),
        "foreground": (done.foreground, None),
        "cutout": (done.foreground, done.alpha),
        "trimap": (_to_depth(done.cutout.trimap, np.dtype(np.uint8)), None),
    }
    for kind, (pixels, alpha) in contents.items():
        profile = picture.icc_profile if kind in {"foreground", "cutout"} else None
        write_picture(
            files[kind], pixels, alpha=alpha, icc_profile=profile, overwrite=target.overwrite
        )
    if target.preview:
        write_picture(files["preview"], _draw_preview(done), overwrite=target.overwrite)
    return Results(files, done.cutout.report, picture.notes)


def write_cutout_to(
    stream: BinaryIO,
    job: Job,
    selection: Path | None,
    *,
    options: Options,
    max_megapixels: float,
    progress: Progress,
) -> Results:
    """Cut one picture out and write only the cut-out, to a stream; errors as cut_out_picture."""
    picture = _read(job, max_megapixels)
    done = _compute(picture, selection, options, progress)
    write_picture(stream, done.foreground, alpha=done.alpha, icc_profile=picture.icc_profile)
    return Results({}, done.cutout.report, picture.notes)


def _read(job: Job, max_megapixels: float) -> Picture:
    if job.picture is None:
        return read_picture(sys.stdin.buffer, max_megapixels=max_megapixels, name=job.label)
    return read_picture(job.picture, max_megapixels=max_megapixels)


def _compute(
    picture: Picture, selection: Path | None, options: Options, progress: Progress
) -> _Computed:
    srgb = to_srgb(picture)
    shape = (srgb.shape[0], srgb.shape[1])
    coverage = None if selection is None else read_selection(selection, shape)
    with_alpha = srgb
    if picture.alpha is not None:
        opacity = picture.alpha.astype(np.float32) / _full_scale(picture.alpha.dtype)
        with_alpha = np.dstack([srgb, opacity])
    result = cutout(with_alpha, coverage, options, progress)
    foreground = foreground_to_own_space(picture, srgb, result.foreground, result.is_unknown)
    return _Computed(
        picture, srgb, coverage, result, foreground, _to_depth(result.alpha, foreground.dtype)
    )


def _name_files(job: Job, picture: Picture, target: Target) -> dict[str, Path]:
    """The files a job writes; refuses to start when one is there already."""
    suffix = ".tif" if picture.pixels.dtype == np.float32 else ".png"
    files = {kind: target.folder / f"{job.name}_{kind}{suffix}" for kind in KINDS}
    files["trimap"] = files["trimap"].with_suffix(".png")
    if target.preview:
        files["preview"] = target.folder / f"{job.name}_preview.png"
    for path in files.values():
        if path.exists() and not target.overwrite:
            raise OutputError(
                f"{path} is there already; add --overwrite to replace it, or choose another folder."
            )
    return files


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} can't be made ({error.strerror}); choose another with --output."
        ) from error


def _draw_preview(done: _Computed) -> AnyArray:
    srgb = np.clip(done.srgb, 0, 1)
    foreground = np.clip(done.cutout.foreground, 0, 1)
    panels = [("picture", srgb)]
    if done.selection is not None:
        panels.append(("selection", tint_unselected(srgb, done.selection)))
    panels += [
        ("trimap", done.cutout.trimap),
        ("alpha", done.cutout.alpha),
        ("on a new background", over_backdrop(foreground, done.cutout.alpha)),
    ]
    return contact_sheet(panels, columns=3)


def _to_depth(samples: FloatArray, dtype: np.dtype[Any]) -> AnyArray:
    """[0, 1] in an integer type's full scale, or as it is in float32."""
    if dtype.kind == "f":
        return samples
    scaled: AnyArray = np.rint(samples * _full_scale(dtype)).astype(dtype)
    return scaled


def _full_scale(dtype: np.dtype[Any]) -> np.float32:
    return np.float32(1 if dtype.kind == "f" else np.iinfo(dtype).max)

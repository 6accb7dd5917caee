"""One picture file from reading to writing: what every command that cuts out pictures does."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from smart_matte.cli.compute import Compute
from smart_matte.cli.inputs import Job
from smart_matte.engine.cutout import Cutout
from smart_matte.engine.options import Options
from smart_matte.engine.report import Report
from smart_matte.engine.types import AnyArray, FloatArray, Progress
from smart_matte.pictures.colour import foreground_to_own_space, to_srgb
from smart_matte.pictures.picture import from_unit, to_unit
from smart_matte.pictures.read import Picture, read_picture, read_selection
from smart_matte.pictures.sheets import contact_sheet, over_backdrop, tint_unselected
from smart_matte.pictures.write import (
    PictureFile,
    check_targets,
    make_folder,
    write_picture,
    write_pictures,
)

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
    compute: Compute,
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
    make_folder(target.folder)
    check_targets(files.values(), overwrite=target.overwrite)
    done = _compute(picture, selection, compute, options, progress)
    profile = picture.icc_profile
    pictures = [
        PictureFile(files["alpha"], done.alpha),
        PictureFile(files["foreground"], done.foreground, icc_profile=profile),
        PictureFile(files["cutout"], done.foreground, done.alpha, profile),
        PictureFile(files["trimap"], from_unit(done.cutout.trimap, np.dtype(np.uint8))),
    ]
    if target.preview:
        pictures.append(PictureFile(files["preview"], _draw_preview(done)))
    write_pictures(pictures, overwrite=target.overwrite)
    return Results(files, done.cutout.report, picture.notes)


def write_cutout_to(
    stream: BinaryIO,
    job: Job,
    selection: Path | None,
    *,
    compute: Compute,
    options: Options,
    max_megapixels: float,
    progress: Progress,
) -> Results:
    """Cut one picture out and write only the cut-out, to a stream; errors as cut_out_picture."""
    picture = _read(job, max_megapixels)
    done = _compute(picture, selection, compute, options, progress)
    write_picture(stream, done.foreground, alpha=done.alpha, icc_profile=picture.icc_profile)
    return Results({}, done.cutout.report, picture.notes)


def _read(job: Job, max_megapixels: float) -> Picture:
    if job.picture is None:
        return read_picture(sys.stdin.buffer, max_megapixels=max_megapixels, name=job.label)
    return read_picture(job.picture, max_megapixels=max_megapixels)


def _compute(
    picture: Picture,
    selection: Path | None,
    compute: Compute,
    options: Options,
    progress: Progress,
) -> _Computed:
    srgb = to_srgb(picture)
    shape = (srgb.shape[0], srgb.shape[1])
    coverage = None if selection is None else read_selection(selection, shape)
    with_alpha = srgb
    if picture.alpha is not None:
        with_alpha = np.dstack([srgb, to_unit(picture.alpha)])
    result = compute(with_alpha, coverage, options, progress)
    foreground = foreground_to_own_space(picture, srgb, result.foreground, result.is_unknown)
    return _Computed(
        picture, srgb, coverage, result, foreground, from_unit(result.alpha, foreground.dtype)
    )


def _name_files(job: Job, picture: Picture, target: Target) -> dict[str, Path]:
    """The files a job writes, by kind."""
    suffix = ".tif" if picture.pixels.dtype == np.float32 else ".png"
    files = {kind: target.folder / f"{job.name}_{kind}{suffix}" for kind in KINDS}
    files["trimap"] = target.folder / f"{job.name}_trimap.png"
    if target.preview:
        files["preview"] = target.folder / f"{job.name}_preview.png"
    return files


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

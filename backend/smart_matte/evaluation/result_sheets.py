"""A sheet for each picture: what was given, the truth, and every engine's result beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from smart_matte.engine.foreground import estimate_foreground_multilevel
from smart_matte.engine.types import AnyArray, FloatArray, U8Array
from smart_matte.errors import OutputError
from smart_matte.evaluation.colour_errors import over_green
from smart_matte.evaluation.engines import Outcome
from smart_matte.evaluation.sample import Sample
from smart_matte.pictures.sheets import (
    HEIGHT_PX,
    contact_sheet,
    over_backdrop,
    tint_trimap,
    tint_unselected,
)

SHEET_QUALITY = 90

DETAIL_SCALE = 2
"""How much larger than the picture its worst region is shown."""

Panel = tuple[str, AnyArray]


def draw_sheet(
    sample: Sample, selection: FloatArray | None, outcomes: Sequence[Outcome]
) -> U8Array:
    """
    Lay a picture's results out: a column of what was given, of the truth, of each engine.

    From top to bottom alpha, the composite on green, for selections the trimap, and both first
    again at twice the size where all engines together are most wrong.

    Args:
        sample: the picture.
        selection: what was selected, float32 (H, W), [0, 1]; None in sets with trimaps.
        outcomes: what the engines made of it, at least one.

    Returns:
        The sheet, uint8 (H, W, 3).
    """
    detail = _worst_region(sample.alpha, [outcome.alpha for outcome in outcomes])
    columns = [
        _given(sample, selection, detail),
        _truth(sample, selection, detail),
        *(_result(sample, outcome, detail) for outcome in outcomes),
    ]
    panels = [panel for row in zip(*columns, strict=True) for panel in row]
    return contact_sheet(panels, columns=len(columns))


def write_sheet(sheet: U8Array, path: Path) -> None:
    """
    Write a sheet as JPEG.

    Raises:
        OutputError: the folder or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(path, quality=SHEET_QUALITY)
    except OSError as error:
        raise OutputError(
            f"“{path}” can't be written; choose another folder with --output."
        ) from error


@dataclass(frozen=True)
class _Region:
    """A part of a picture."""

    rows: slice
    columns: slice

    def of(self, panel: Panel) -> Panel:
        """The part of a panel, with its caption."""
        caption, picture = panel
        return f"{caption}, {DETAIL_SCALE} x", picture[self.rows, self.columns]


def _given(sample: Sample, selection: FloatArray | None, detail: _Region) -> list[Panel]:
    """What an engine sees."""
    image = (sample.name, sample.image)
    if sample.trimap is not None:
        trimap = ("trimap", tint_trimap(sample.image, sample.trimap))
        return [image, trimap, detail.of(image), detail.of(trimap)]
    if selection is None:
        raise AssertionError(f"{sample.name} has neither a trimap nor a selection")
    selected = ("selection", tint_unselected(sample.image, selection))
    alone = ("selection on a new background", over_backdrop(sample.image, selection))
    return [image, selected, alone, detail.of(image), detail.of(selected)]


def _truth(sample: Sample, selection: FloatArray | None, detail: _Region) -> list[Panel]:
    """What a result is held against."""
    foreground = sample.foreground
    if foreground is None:
        foreground = estimate_foreground_multilevel(sample.image, sample.alpha)
    alpha = ("alpha to compare with", sample.alpha)
    green = ("on green", over_green(foreground, sample.alpha))
    off = [] if selection is None else [("selection, difference", np.abs(selection - sample.alpha))]
    return [alpha, green, *off, detail.of(alpha), detail.of(green)]


def _result(sample: Sample, outcome: Outcome, detail: _Region) -> list[Panel]:
    """What one engine gave."""
    row = outcome.row
    alpha = (f"{row.engine}, SAD {row.errors.sad:.2f}", outcome.alpha)
    green = ("on green", over_green(outcome.foreground, outcome.alpha))
    trimap = []
    if sample.trimap is None:
        tinted = tint_trimap(sample.image, outcome.trimap)
        trimap = [(f"trimap by {row.segmenter_used}", tinted)]
    return [alpha, green, *trimap, detail.of(alpha), detail.of(green)]


def _worst_region(true_alpha: FloatArray, alphas: Sequence[FloatArray]) -> _Region:
    """
    Where the errors of all alphas together are largest, in the picture's own shape.

    As large as a panel shows it at DETAIL_SCALE; the whole picture where that is smaller.
    """
    height, width = true_alpha.shape
    share = min(1.0, HEIGHT_PX / DETAIL_SCALE / height)
    size = max(1, round(height * share)), max(1, round(width * share))
    error = np.abs(np.stack(alphas) - true_alpha).sum(axis=0)
    integral = cv2.integral(error)
    inside = (
        integral[size[0] :, size[1] :]
        - integral[: -size[0], size[1] :]
        - integral[size[0] :, : -size[1]]
        + integral[: -size[0], : -size[1]]
    )
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return _Region(slice(int(top), int(top) + size[0]), slice(int(left), int(left) + size[1]))

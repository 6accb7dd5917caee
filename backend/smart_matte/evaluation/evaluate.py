"""Runs matting models over sets of pictures with known alpha, and measures what comes out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from smart_matte.engine.cutout import Engines, compute_cutout
from smart_matte.engine.foreground import estimate_foreground_multilevel
from smart_matte.engine.matting import Matter
from smart_matte.engine.options import Options
from smart_matte.engine.types import AnyArray, FloatArray, U8Array, ignore_progress
from smart_matte.errors import OutputError
from smart_matte.evaluation.datasets import (
    LOOSE,
    SELECTED_SETS,
    Sample,
    list_samples,
    read_samples,
)
from smart_matte.evaluation.metrics import Errors, measure
from smart_matte.evaluation.rough_selection import draw_loose_selection, draw_rough_selection
from smart_matte.loading import load_engines
from smart_matte.pictures.sheets import (
    contact_sheet,
    over_backdrop,
    tint_trimap,
    tint_unselected,
)

SHEET_QUALITY = 90
WARM_UP_PX = 64


@dataclass(frozen=True)
class Row:
    """
    One engine on one picture.

    Attributes:
        set_name: the set that the picture belongs to.
        picture: its name.
        matter: the matting model that ran.
        device: where it ran.
        segmenter: what was to help the selection; empty in sets with trimaps.
        segmenter_used: what really helped; differs from *segmenter* after a fallback.
        unknown_share: share of the picture that the trimap left to the matting model, [0, 1].
        errors: in the unknown region for sets with trimaps, over the whole picture for "rough" and
            "loose".
        seconds: wall time, models loaded and warm.
        selection_sad: how far the selection alone is off over the whole picture; None in sets
            with trimaps.
        known_sad: the part of the SAD that lies outside the trimap's unknown region, where no
            matting model could mend it; None in sets with trimaps.
    """

    set_name: str
    picture: str
    matter: str
    device: str
    segmenter: str
    segmenter_used: str
    unknown_share: float
    errors: Errors
    seconds: float
    selection_sad: float | None = None
    known_sad: float | None = None

    @property
    def is_worse(self) -> bool:
        """Whether the user would have been better off with the selection alone."""
        return self.selection_sad is not None and self.errors.sad > self.selection_sad

    def as_dict(self) -> dict[str, Any]:
        """The same facts as plain JSON types."""
        return {**asdict(self), "is_worse": self.is_worse}


@dataclass(frozen=True)
class Outcome:
    """A row and the arrays behind it; foreground is None when the engine gave none."""

    row: Row
    trimap: FloatArray
    alpha: FloatArray
    foreground: FloatArray | None


Engine = Callable[[str, Sample], Outcome]
"""Runs on one sample of the set with this name."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What to run.

    Attributes:
        data: the folder that holds the sets.
        sets: names of the sets.
        matters: matting models; each runs over each set.
        segmenters: what helps the selection; each runs with each matting model over "rough"
            and "loose".
        device: torch device for the networks.
        limit: so many pictures of each set; None for all.
        seed: of the rough selections.
        sheets: the folder for contact sheets; None for no sheets.
    """

    data: Path
    sets: Sequence[str]
    matters: Sequence[str] = ("auto",)
    segmenters: Sequence[str] = ("auto",)
    device: str = "auto"
    limit: int | None = None
    seed: int = 0
    sheets: Path | None = None


def evaluate(plan: Plan) -> Iterator[Row]:
    """
    Run every engine of a plan over every picture, one row at a time.

    Raises:
        OptionError: a set's pictures aren't in the folder, or a name is unknown.
        WeightsError: a model's weights aren't installed.
        OutputError: a sheet can't be written.
    """
    # everything that can be missing shows before the first minute is spent
    for set_name in plan.sets:
        list_samples(set_name, plan.data)
    loaded = [(set_name, _load_engines(set_name, plan)) for set_name in plan.sets]
    for set_name, engines in loaded:
        for engine in engines:
            engine(set_name, _warm_up_sample())  # the first call compiles and allocates
        for sample in read_samples(set_name, plan.data, plan.limit):
            outcomes = []
            for engine in engines:
                outcomes.append(engine(set_name, sample))
                yield outcomes[-1].row
            if plan.sheets is not None:
                sheet = _draw_sheet(set_name, sample, outcomes, plan.seed)
                _write_sheet(sheet, plan.sheets / f"{set_name}-{sample.name}.jpg")


def _load_engines(set_name: str, plan: Plan) -> list[Engine]:
    """Load every engine that runs over a set."""
    segmenters = plan.segmenters if set_name in SELECTED_SETS else ("selection",)
    runs: list[Engine] = []
    for matter in plan.matters:
        for segmenter in segmenters:
            options = Options(matter=matter, segmenter=segmenter, device=plan.device)
            engines = load_engines(options)
            if set_name in SELECTED_SETS:
                runs.append(_selection_engine(options, engines, plan.seed))
            else:
                runs.append(_trimap_engine(engines.matter))
    return runs


def _trimap_engine(matter: Matter) -> Engine:
    """A matting model alone, measured where the trimap is unknown."""

    def run(set_name: str, sample: Sample) -> Outcome:
        trimap = _trimap_of(sample)
        start_s = perf_counter()
        matte = matter.matte(sample.image, trimap, ignore_progress)
        seconds = perf_counter() - start_s
        is_unknown = trimap == 0.5  # noqa: PLR2004  (the trimap's own value)
        alpha = np.where(is_unknown, matte.alpha, trimap)
        row = Row(
            set_name=set_name,
            picture=sample.name,
            matter=matter.name,
            device=matter.device,
            segmenter="",
            segmenter_used="",
            unknown_share=float(is_unknown.mean()),
            errors=measure(alpha, sample.alpha, is_unknown),
            seconds=seconds,
        )
        return Outcome(row, trimap, alpha, matte.foreground)

    return run


def _selection_engine(options: Options, engines: Engines, seed: int) -> Engine:
    """The whole program from a drawn selection, measured over the whole picture."""

    def run(set_name: str, sample: Sample) -> Outcome:
        selection = _draw_selection(set_name, sample.alpha, seed)
        start_s = perf_counter()
        result = compute_cutout(sample.image, selection, options, engines)
        seconds = perf_counter() - start_s
        everywhere = np.ones(sample.alpha.shape, np.bool_)
        is_known = result.trimap != 0.5  # noqa: PLR2004  (the trimap's own value)
        row = Row(
            set_name=set_name,
            picture=sample.name,
            matter=result.report.matter,
            device=result.report.device,
            segmenter=engines.segmenter_name,
            segmenter_used=result.report.segmenter,
            unknown_share=float(1 - is_known.mean()),
            errors=measure(result.alpha, sample.alpha, everywhere),
            seconds=seconds,
            selection_sad=measure(selection, sample.alpha, everywhere).sad,
            known_sad=measure(result.alpha, sample.alpha, is_known).sad,
        )
        return Outcome(row, result.trimap, result.alpha, result.foreground)

    return run


def _trimap_of(sample: Sample) -> FloatArray:
    """The trimap of a sample that has one."""
    if sample.trimap is None:
        raise AssertionError(f"{sample.name} has no trimap")
    return sample.trimap


def _warm_up_sample() -> Sample:
    """A disc on a plain ground."""
    y, x = np.indices((WARM_UP_PX, WARM_UP_PX), np.float32) - WARM_UP_PX / 2
    alpha = np.clip(WARM_UP_PX / 4 - np.hypot(x, y) + 0.5, 0, 1)
    shade = np.float32(0.2) + np.float32(0.6) * alpha
    is_near_edge = np.abs(np.hypot(x, y) - WARM_UP_PX / 4) < WARM_UP_PX / 10
    return Sample(
        name="warm-up",
        image=np.repeat(shade[..., None], 3, axis=2),
        trimap=np.where(is_near_edge, np.float32(0.5), np.rint(alpha)),
        alpha=alpha,
    )


def _draw_selection(set_name: str, alpha: FloatArray, seed: int) -> FloatArray:
    """The selection that belongs to a set."""
    return draw_loose_selection(alpha) if set_name == LOOSE else draw_rough_selection(alpha, seed)


def _draw_sheet(set_name: str, sample: Sample, outcomes: Sequence[Outcome], seed: int) -> U8Array:
    """A row with what was given, then a row for each engine."""
    if sample.trimap is None:
        selection = _draw_selection(set_name, sample.alpha, seed)
        given = [
            ("selection", tint_unselected(sample.image, selection)),
            ("selection on a new background", over_backdrop(sample.image, selection)),
        ]
    else:
        given = [("trimap", tint_trimap(sample.image, sample.trimap))]
    panels: list[tuple[str, AnyArray]] = [
        (sample.name, sample.image),
        *given,
        ("alpha to compare with", sample.alpha),
    ]
    columns = len(panels)
    for outcome in outcomes:
        panels += _result_panels(sample, outcome)
    return contact_sheet(panels, columns=columns)


def _result_panels(sample: Sample, outcome: Outcome) -> list[tuple[str, AnyArray]]:
    """As many panels as the row with what was given has."""
    row, foreground = outcome.row, outcome.foreground
    if foreground is None:
        foreground = estimate_foreground_multilevel(sample.image, outcome.alpha)
    alpha = (f"{row.matter}, SAD {row.errors.sad:.2f}", outcome.alpha)
    difference = ("difference", np.abs(outcome.alpha - sample.alpha))
    result = ("on a new background", over_backdrop(foreground, outcome.alpha))
    if sample.trimap is not None:
        return [result, difference, alpha]
    trimap = (f"trimap by {row.segmenter_used}", tint_trimap(sample.image, outcome.trimap))
    return [trimap, result, difference, alpha]


def _write_sheet(sheet: U8Array, path: Path) -> None:
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

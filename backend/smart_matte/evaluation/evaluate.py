"""Runs matting models over sets of pictures with known alpha, and measures what comes out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smart_matte.engine.matting import Matter
from smart_matte.errors import OptionError
from smart_matte.evaluation.datasets import SELECTED_SETS, list_samples, read_samples
from smart_matte.evaluation.engines import (
    Engine,
    draw_selection,
    load_matters,
    selection_engine,
    trimap_engine,
)
from smart_matte.evaluation.result_sheets import draw_sheet, write_sheet
from smart_matte.evaluation.rows import Row
from smart_matte.evaluation.sample import Sample

WARM_UP_PX = 64


def tell_nobody(sentence: str) -> None:
    """Let a sentence go unheard."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What to run.

    Attributes:
        data: the folder that holds the sets.
        sets: names of the sets.
        matters: matting models, of the engine or of ``references.REFERENCES``; each runs over
            each set.
        segmenters: what helps the selection; each runs with each matting model over "rough"
            and "loose".
        device: torch device for the networks.
        limit: so many pictures of each set; None for all.
        pictures: names of pictures; only these run. Empty for all.
        seed: of the rough selections.
        sheets: the folder for contact sheets; None for no sheets.
    """

    data: Path
    sets: Sequence[str]
    matters: Sequence[str] = ("auto",)
    segmenters: Sequence[str] = ("auto",)
    device: str = "auto"
    limit: int | None = None
    pictures: Sequence[str] = ()
    seed: int = 0
    sheets: Path | None = None


def evaluate(plan: Plan, tell: Callable[[str], None] = tell_nobody) -> Iterator[Row]:
    """
    Run every engine of a plan over every picture, one row at a time.

    Args:
        plan: what to run; matting models without weights are left out.
        tell: hears a sentence for each matting model that is left out.

    Raises:
        OptionError: a set's pictures aren't in the folder, or a name is unknown.
        WeightsError: no matting model's weights are installed, or a segmenter's aren't.
        OutputError: a sheet can't be written.
    """
    # everything that can be missing shows before the first minute is spent
    _check_pictures(plan)
    matters = load_matters(plan.matters, plan.device, tell)
    loaded = [(set_name, _engines(set_name, plan, matters)) for set_name in plan.sets]
    for set_name, engines in loaded:
        for engine in engines:
            engine(set_name, _warm_up_sample())  # the first call compiles and allocates
        for sample in read_samples(set_name, plan.data, plan.limit, plan.pictures):
            outcomes = []
            for engine in engines:
                outcomes.append(engine(set_name, sample))
                yield outcomes[-1].row
            if plan.sheets is not None:
                selection = (
                    draw_selection(set_name, sample.alpha, plan.seed)
                    if sample.trimap is None
                    else None
                )
                sheet = draw_sheet(sample, selection, outcomes)
                write_sheet(sheet, plan.sheets / f"{set_name}-{sample.name}.jpg")


def _check_pictures(plan: Plan) -> None:
    """
    Make sure that there is something to run over.

    Raises:
        OptionError: a set is unknown or empty, or a picture is in none of the sets.
    """
    present = {name for set_name in plan.sets for name in list_samples(set_name, plan.data)}
    strangers = [name for name in plan.pictures if name not in present]
    if strangers:
        raise OptionError(
            f"There is no picture “{strangers[0]}” in these sets; choose from"
            f" {', '.join(sorted(present))}."
        )


def _engines(set_name: str, plan: Plan, matters: Sequence[Matter]) -> list[Engine]:
    """Every engine that runs over a set."""
    if set_name not in SELECTED_SETS:
        return [trimap_engine(matter) for matter in matters]
    return [
        selection_engine(matter, segmenter, plan.device, plan.seed)
        for matter in matters
        for segmenter in plan.segmenters
    ]


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

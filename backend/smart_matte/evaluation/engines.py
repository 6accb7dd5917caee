"""Matting models made ready to run over a set, and what one run of them gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from smart_matte.engine.cutout import Engines, compute_cutout
from smart_matte.engine.foreground import estimate_foreground_multilevel
from smart_matte.engine.matting import Matter
from smart_matte.engine.options import Options
from smart_matte.engine.types import UNKNOWN, BoolArray, FloatArray, ignore_progress
from smart_matte.errors import WeightsError
from smart_matte.evaluation.colour_errors import ColourErrors, foreground_error, green_error
from smart_matte.evaluation.datasets import LOOSE
from smart_matte.evaluation.metrics import measure
from smart_matte.evaluation.references import REFERENCES, load_reference
from smart_matte.evaluation.rough_selection import draw_loose_selection, draw_rough_selection
from smart_matte.evaluation.rows import Row
from smart_matte.evaluation.sample import Sample
from smart_matte.loading import load_engines


@dataclass(frozen=True)
class Outcome:
    """A row and the arrays behind it; foreground is what the user would get."""

    row: Row
    trimap: FloatArray
    alpha: FloatArray
    foreground: FloatArray


Engine = Callable[[str, Sample], Outcome]
"""Runs on one sample of the set with this name."""


def load_matters(names: Sequence[str], device: str, tell: Callable[[str], None]) -> list[Matter]:
    """
    Load matting models by name; those without weights are left out.

    Args:
        names: of ``options.MATTERS`` or ``REFERENCES``, or "auto".
        device: torch device, or "auto".
        tell: hears a sentence for each that is left out.

    Raises:
        WeightsError: none is left.
        OptionError: a name is unknown, or this machine has no such device.
    """
    matters: list[Matter] = []
    problem: WeightsError | None = None
    for name in names:
        try:
            matters.append(load_named(name, device))
        except WeightsError as error:
            problem = problem or error
            tell(f"{name} is left out: {error}")
    if problem is not None and not matters:
        raise problem
    return matters


def load_named(name: str, device: str) -> Matter:
    """
    Load one matting model, of the engine or of ``REFERENCES``.

    Raises:
        WeightsError: its weights aren't installed.
        OptionError: there is no such model or device.
    """
    if name in REFERENCES:
        return load_reference(name)
    return load_engines(Options(matter=name, segmenter="selection", device=device)).matter


def trimap_engine(matter: Matter) -> Engine:
    """A matting model alone, measured where the trimap is unknown."""

    def run(set_name: str, sample: Sample) -> Outcome:
        trimap = _trimap_of(sample)
        start_s = perf_counter()
        matte = matter.matte(sample.image, trimap, ignore_progress)
        seconds = perf_counter() - start_s
        is_unknown = trimap == UNKNOWN
        alpha = np.where(is_unknown, matte.alpha, trimap)
        multilevel = estimate_foreground_multilevel(sample.image, alpha)
        foreground = multilevel if matte.foreground is None else matte.foreground
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
            colours=_measure_colours(sample, alpha, foreground, multilevel, is_unknown),
        )
        return Outcome(row, trimap, alpha, foreground)

    return run


def selection_engine(matter: Matter, segmenter: str, device: str, seed: int) -> Engine:
    """
    The whole program from a drawn selection, measured over the whole picture.

    Args:
        matter: the matting model.
        segmenter: what helps the selection, one of ``options.SEGMENTERS`` or "auto".
        device: torch device for the segmentation network, or "auto".
        seed: of the rough selection.

    Raises:
        WeightsError: the segmenter's weights aren't installed.
        OptionError: there is no such segmenter or device.
    """
    # any matter will do here: closed-form is always there, and the one to measure replaces it
    options = Options(matter="closed-form", segmenter=segmenter, device=device)
    engines: Engines = replace(load_engines(options), matter=matter)

    def run(set_name: str, sample: Sample) -> Outcome:
        selection = draw_selection(set_name, sample.alpha, seed)
        start_s = perf_counter()
        result = compute_cutout(sample.image, selection, options, engines)
        seconds = perf_counter() - start_s
        everywhere = np.ones(sample.alpha.shape, np.bool_)
        is_known = result.trimap != UNKNOWN
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


def draw_selection(set_name: str, alpha: FloatArray, seed: int) -> FloatArray:
    """The selection that belongs to a set of SELECTED_SETS."""
    return draw_loose_selection(alpha) if set_name == LOOSE else draw_rough_selection(alpha, seed)


def _measure_colours(
    sample: Sample,
    alpha: FloatArray,
    foreground: FloatArray,
    multilevel: FloatArray,
    is_unknown: BoolArray,
) -> ColourErrors | None:
    """The errors of colour where its truth is known."""
    true = sample.foreground
    if true is None:
        return None
    return ColourErrors(
        foreground=foreground_error(foreground, true, sample.alpha, is_unknown),
        multilevel=foreground_error(multilevel, true, sample.alpha, is_unknown),
        green=green_error((foreground, alpha), (true, sample.alpha), is_unknown),
    )


def _trimap_of(sample: Sample) -> FloatArray:
    """The trimap of a sample that has one."""
    if sample.trimap is None:
        raise AssertionError(f"{sample.name} has no trimap")
    return sample.trimap

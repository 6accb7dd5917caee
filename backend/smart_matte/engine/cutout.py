"""The main job, in the order it happens: arrays in, arrays out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from smart_matte.engine.arrays import foreground_in_own_depth, to_coverage, to_working
from smart_matte.engine.edge_shift import shifted_edge
from smart_matte.engine.foreground import decontaminated, estimate_foreground_multilevel
from smart_matte.engine.hints import check_both_kinds, check_selection, check_visible
from smart_matte.engine.matting import Matter
from smart_matte.engine.options import NETWORK_SEGMENTERS, Options
from smart_matte.engine.report import Fallback, Report
from smart_matte.engine.segmentation import Segmenter
from smart_matte.engine.subject import subject_probability
from smart_matte.engine.trimap import build_trimap, is_trimap
from smart_matte.engine.types import (
    UNKNOWN,
    AnyArray,
    BoolArray,
    FloatArray,
    Progress,
    ignore_progress,
)
from smart_matte.errors import SelectionError

FINISHING_OPTIONS = ("decontaminate", "shift_edge", "own_alpha")
"""The options that ``finish`` looks at: changing others needs ``compute_raw`` again."""

BAND_ROWS = 128
"""Rows finished at a time: the intermediate values stay small however large the picture."""


@dataclass(frozen=True)
class Engines:
    """
    What a job computes with, loaded and ready.

    Attributes:
        matter: the matting model.
        segmenter: the segmentation network; None for "grabcut" and "selection".
        segmenter_name: what stands in the report: the network's name, "grabcut" or "selection".
        fallbacks: what was wanted instead and isn't there.
    """

    matter: Matter
    segmenter: Segmenter | None
    segmenter_name: str
    fallbacks: tuple[Fallback, ...] = ()


@dataclass(frozen=True)
class Cutout:
    """
    A subject, cut out.

    Attributes:
        alpha: opacity of the subject, times the picture's own unless the options keep that out;
            float32 (H, W), [0, 1].
        foreground: the subject's own colour, in the picture's sample type; (H, W, 3), or (H, W)
            for a gray picture. Outside the unknown region bit-exactly the picture's.
        trimap: what was decided before matting, float32 (H, W); 0, 0.5, 1.
        report: what really ran.
    """

    alpha: FloatArray
    foreground: AnyArray
    trimap: FloatArray
    report: Report

    @property
    def is_unknown(self) -> BoolArray:
        """Where alpha and foreground were computed, bool (H, W)."""
        is_unknown: BoolArray = self.trimap == UNKNOWN
        return is_unknown


@dataclass(frozen=True)
class RawCutout:
    """
    What the models found, before the options that need no model are applied.

    Attributes:
        colour: the picture as the engine sees it, sRGB-coded, float32 (H, W, 3), [0, 1].
        own_alpha: the picture's own opacity, float32 (H, W), [0, 1]; None when it is opaque.
        trimap: float32 (H, W); 0, 0.5, 1.
        alpha: opacity of the subject, float32 (H, W), [0, 1].
        foreground: the subject's colour as estimated, float32 (H, W, 3), [0, 1].
        report: what ran so far.
    """

    colour: FloatArray
    own_alpha: FloatArray | None
    trimap: FloatArray
    alpha: FloatArray
    foreground: FloatArray
    report: Report


def compute_cutout(
    image: AnyArray,
    selection: AnyArray | None,
    options: Options,
    engines: Engines,
    progress: Progress = ignore_progress,
) -> Cutout:
    """
    Cut the subject out of a picture.

    Args:
        image: sRGB-coded; uint8, uint16 or float; (H, W), (H, W, 1 to 4), alpha straight.
        selection: the user's rough coverage, (H, W) of bool, integer or float; None without one.
        options: the user's choices.
        engines: the models to compute with.
        progress: told about the stages "segmentation", "trimap", "matting", "foreground".

    Raises:
        PictureError: the picture has a type, layout or values that can't be worked on.
        SelectionError: the selection can't work with this picture.
        Cancelled: raised by *progress*.
    """
    return finish(compute_raw(image, selection, options, engines, progress), image, options)


def compute_raw(
    image: AnyArray,
    selection: AnyArray | None,
    options: Options,
    engines: Engines,
    progress: Progress = ignore_progress,
) -> RawCutout:
    """Do all that takes models and time; arguments and errors as in ``compute_cutout``."""
    working = to_working(image)
    shape = (working.colour.shape[0], working.colour.shape[1])
    coverage = None if selection is None else to_coverage(selection, shape)
    check_visible(working.alpha)
    if coverage is not None:
        check_selection(coverage, working.alpha)
    report = Report(
        device=engines.matter.device,
        matter=engines.matter.name,
        segmenter=engines.segmenter_name,
        precision=engines.matter.precision,
        fallbacks=list(engines.fallbacks),
    )

    with _stage("segmentation", report, progress):
        probability = _find_subject(working.colour, coverage, options, engines, report)
    with _stage("trimap", report, progress):
        trimap = build_trimap(
            working.colour,
            coverage,
            probability,
            options,
            use_colours=report.segmenter != "selection",
        )
        if working.alpha is not None:
            trimap[working.alpha == 0] = 0
        check_both_kinds(trimap)
        report.unknown_share = float((trimap == UNKNOWN).mean())
    with _stage("matting", report, progress):
        matte = engines.matter.matte(working.colour, trimap, progress)
        report.tiles = matte.tiles
        # a device that ran out of memory was left
        report.device, report.precision = engines.matter.device, engines.matter.precision
        if matte.note:
            report.notes.append(matte.note)
    with _stage("foreground", report, progress):
        foreground = matte.foreground
        if foreground is None:
            foreground = (
                estimate_foreground_multilevel(working.colour, matte.alpha)
                if report.unknown_share
                else working.colour
            )
    return RawCutout(working.colour, working.alpha, trimap, matte.alpha, foreground, report)


def finish(raw: RawCutout, image: AnyArray, options: Options) -> Cutout:
    """
    Apply FINISHING_OPTIONS to what ``compute_raw`` found; *raw* stays as it is.

    Args:
        raw: the raw result, which can be finished again with other options.
        image: the picture that it was computed from.
        options: the user's choices.
    """
    report = replace(raw.report, stage_ms=dict(raw.report.stage_ms))
    with _stage("foreground", report, ignore_progress):
        is_gray = image.ndim == 2 or image.shape[2] <= 2  # noqa: PLR2004
        foreground = np.empty(image.shape[:2] if is_gray else (*image.shape[:2], 3), image.dtype)
        alpha = np.empty_like(raw.alpha)
        for top in range(0, len(image), BAND_ROWS):
            rows = slice(top, top + BAND_ROWS)
            trimap = raw.trimap[rows]
            clean = decontaminated(
                raw.colour[rows], raw.foreground[rows], trimap, options.decontaminate
            )
            change = clean - raw.colour[rows]
            foreground[rows] = foreground_in_own_depth(image[rows], change, trimap == UNKNOWN)
            alpha[rows] = shifted_edge(raw.alpha[rows], trimap, options.shift_edge)
            if options.own_alpha and raw.own_alpha is not None:
                alpha[rows] *= raw.own_alpha[rows]
    return Cutout(alpha, foreground, raw.trimap, report)


def _find_subject(
    image: FloatArray,
    selection: FloatArray | None,
    options: Options,
    engines: Engines,
    report: Report,
) -> FloatArray | None:
    """The network's probability for the subject; None without one, with the reason reported."""
    if selection is not None and is_trimap(selection):
        report.segmenter = "trimap"
        _report_ignored(options, report)
        return None
    if engines.segmenter is None:
        if selection is None:
            wanted = NETWORK_SEGMENTERS[0]
            cure = f"run: smart-matte weights fetch {wanted}"
            reasons = (fall.why for fall in engines.fallbacks if fall.wanted in NETWORK_SEGMENTERS)
            raise SelectionError(
                "Without a selection a segmentation network is needed; draw a rough selection."
                f" For {wanted}: {next(reasons, cure)}"
            )
        _report_ignored(options, report)
        return None
    subject = subject_probability(
        engines.segmenter.segment(image), options.classes, selection, image.shape[:2]
    )
    if subject is not None:
        report.classes = subject.classes
        return subject.probability
    wanted = " or ".join(options.classes) or "subject"
    if selection is None:
        raise SelectionError(
            f"{engines.segmenter.name} found no {wanted} in this picture: draw a rough selection."
        )
    report.segmenter = "grabcut"
    why = f"it found no {wanted} in the selection."
    report.fallbacks.append(Fallback(engines.segmenter.name, "grabcut", why))
    return None


def _report_ignored(options: Options, report: Report) -> None:
    """Say which of the user's choices need a network that did not run."""
    why = "no segmentation network ran."
    if options.classes:
        wanted = f"class {' or '.join(options.classes)}"
        report.fallbacks.append(Fallback(wanted, report.segmenter, why))
    if options.trimap == "probability":
        report.fallbacks.append(Fallback("trimap “probability”", "“refined”", why))


@contextmanager
def _stage(name: str, report: Report, progress: Progress) -> Iterator[None]:
    progress(name, 0.0)
    started_s = time.perf_counter()
    yield
    took_ms = 1000 * (time.perf_counter() - started_s)
    report.stage_ms[name] = report.stage_ms.get(name, 0.0) + took_ms
    progress(name, 1.0)

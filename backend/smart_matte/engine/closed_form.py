"""Closed-form matting: no weights, no network, the matting Laplacian solved."""

from collections.abc import Callable

import cv2
import numpy as np

from smart_matte.engine.guided_upsampling import upsample_guided
from smart_matte.engine.matting import Matte
from smart_matte.engine.types import UNKNOWN, FloatArray, Progress
from smart_matte.engine.windows import window_around

MAX_UNKNOWN_PX = 1_500_000
"""
Above it the matte is solved at a smaller scale: 1.3 million unknown pixels took 7 s and 0.4 GB
(one shared Zen 4 core), and both grow with their number.
"""

MARGIN_PX = 3
"""Known pixels kept around the unknown region: its 3 x 3 windows reach 2."""

FindPrior = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""From an image and its trimap to what alpha is likely to be, and the weight of that."""


class ClosedFormMatter:
    """
    Alpha as the quadratic minimum under the local colour line model.

    Args:
        device: torch device that has float64, "cpu" or a "cuda".
        max_unknown_px: how many unknown pixels to solve for; more are solved smaller.
        most_scale: of the picture's size at which to solve at most, (0, 1].
        tolerance: of the solver's residual, of the right side; None takes its RELATIVE_TOLERANCE.
        find_prior: asked at the scale that is solved at; None for no prior, as in the paper.

    Source:
        Levin, Lischinski and Weiss 2008, "A Closed-Form Solution to Natural Image Matting",
        equations 11 to 13, with known pixels as hard constraints.
    """

    name = "closed-form"
    precision = "float32"

    def __init__(
        self,
        device: str = "cpu",
        max_unknown_px: int = MAX_UNKNOWN_PX,
        most_scale: float = 1.0,
        tolerance: float | None = None,
        find_prior: FindPrior | None = None,
    ) -> None:
        self.device = device
        self._max_unknown_px = max_unknown_px
        self._most_scale = most_scale
        self._tolerance = tolerance
        self._find_prior = find_prior

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        """
        Estimate alpha; see Matter.

        Raises:
            MemoryError: even the CPU has too little memory.
        """
        is_unknown = trimap == UNKNOWN
        alpha = np.where(is_unknown, np.float32(0), trimap)
        unknown_px = int(np.count_nonzero(is_unknown))
        if unknown_px == 0:
            return Matte(alpha)
        rows, columns = window_around(is_unknown, MARGIN_PX)
        region, region_trimap = image[rows, columns], trimap[rows, columns]
        scale = min(self._most_scale, float(np.sqrt(self._max_unknown_px / unknown_px)))
        if not _has_both_sides(region_trimap):  # what lies among one kind only is of that kind
            solved, note = np.full(region_trimap.shape, region_trimap.max() == 1, np.float32), ""
        elif scale == 1.0:
            solved, note = self._solve(region, region_trimap, progress)
        else:
            solved, note = self._solve_small(region, region_trimap, scale, progress)
        alpha[rows, columns] = np.where(is_unknown[rows, columns], solved, alpha[rows, columns])
        return Matte(alpha, note=note)

    def _solve_small(
        self, image: FloatArray, trimap: FloatArray, scale: float, progress: Progress
    ) -> tuple[FloatArray, str]:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        small = np.clip(
            cv2.resize(image, size, interpolation=cv2.INTER_AREA), 0, 1, dtype=np.float32
        )
        # a small pixel is known only where all it stands for is; rounded, as OpenCV's weights of an
        # area don't always add up to 1
        averaged = cv2.resize(trimap, size, interpolation=cv2.INTER_AREA).round(5)
        is_known = (averaged == 0) | (averaged == 1)
        small_trimap = np.where(is_known, averaged, UNKNOWN).astype(np.float32)
        if not _has_both_sides(small_trimap):  # a side is too thin to be seen small
            if np.count_nonzero(trimap == UNKNOWN) <= self._max_unknown_px:
                return self._solve(image, trimap, progress)
            small_trimap = _with_thin_sides(small_trimap, trimap)
        solved, note = self._solve(small, small_trimap, progress)
        if scale < self._most_scale:
            why = f"the unknown region is large, so alpha was solved at {scale:.0%} of its size."
            note = f"{why} {note}".strip()
        return upsample_guided(solved, small, image), note

    def _solve(
        self, image: FloatArray, trimap: FloatArray, progress: Progress
    ) -> tuple[FloatArray, str]:
        # torch makes this import slow: only a job that needs it pays
        from smart_matte.engine.models.closed_form_solver import (  # noqa: PLC0415
            RELATIVE_TOLERANCE,
            solve_closed_form,
        )

        def tell(fraction: float) -> None:
            progress("matting", fraction)

        tolerance = RELATIVE_TOLERANCE if self._tolerance is None else self._tolerance
        prior = None if self._find_prior is None else self._find_prior(image, trimap)
        note = ""
        try:
            solution = solve_closed_form(
                image, trimap, tell, self.device, prior=prior, tolerance=tolerance
            )
        except MemoryError:
            if self.device == "cpu":
                raise
            note = f"{self.device} ran out of memory and the CPU took over."
            self.device = "cpu"
            solution = solve_closed_form(image, trimap, tell, prior=prior, tolerance=tolerance)
        if not solution.is_converged:
            slow = "the solver did not converge, so fine detail may be off"
            note = f"{note} {slow} (residual {solution.residual:.0e}).".strip()
        return solution.alpha, note


def _with_thin_sides(small_trimap: FloatArray, trimap: FloatArray) -> FloatArray:
    """Make known what holds any known pixel, of one side alone; the rest of it is unknown."""
    size = small_trimap.shape[::-1]
    is_background, is_foreground = (
        cv2.resize((trimap == side).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        for side in (0, 1)
    )
    known: FloatArray = np.where(is_foreground, np.float32(1), np.float32(0))
    return np.where(is_foreground != is_background, known, small_trimap)


def _has_both_sides(trimap: FloatArray) -> bool:
    return bool((trimap == 0).any() and (trimap == 1).any())

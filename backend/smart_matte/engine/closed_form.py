"""Closed-form matting: no weights, no network, pymatting's solver."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from smart_matte.engine.guided_upsampling import upsample_guided
from smart_matte.engine.matting import Matte
from smart_matte.engine.types import UNKNOWN, FloatArray, Progress

MAX_UNKNOWN_PX = 500_000
"""
Above it the matte is solved at a smaller scale. Time and memory grow faster than the number of
unknown pixels: 0.36 million took 17 s, 1.3 million 118 s and 4.1 GiB (two shared Zen 3 cores).
"""

MARGIN_PX = 3
"""Known pixels kept around the unknown region: its 3 x 3 windows reach 2."""

MAX_ITERATIONS = 2000
RELATIVE_TOLERANCE = 1e-7
LOOSE_TOLERANCE = 1e-3
"""Taken when the strict one isn't met; alpha then differs by less than an 8-bit step."""
DISCARD_THRESHOLD = 1e-2
"""
Smaller entries are left out of the preconditioner. With pymatting's 1e-4, 0.41 million unknown
pixels of a 3 MP picture took 126 s, 11 of them in silence; with this 70 s, never silent for more
than 1 s, and no alpha differed by more than 0.0004 (two shared Zen 3 cores, beside other work).
"""
FACTOR_GROWTH_MAX = 4
"""Most entries of the preconditioner for each of the matrix; 0.7 was seen."""

STRIP_PX = 200_000
"""Pixels of the Laplacian that are built between two looks at whether to go on."""

LAPLACIAN_REACH_PX = 2
"""How far a pixel's equation reaches: its 3 x 3 windows hold pixels up to 2 away."""

ABSOLUTE_TOLERANCE = 1e-12
"""Ends a system whose right side is zero: an unknown region that touches no foreground."""


DoubleArray = NDArray[np.float64]


class ClosedFormMatter:
    """
    Alpha as the quadratic minimum under the local colour line model.

    Source:
        Levin, Lischinski and Weiss 2008, "A Closed-Form Solution to Natural Image Matting",
        equations 11 to 13, with known pixels as hard constraints.
    """

    name = "closed-form"
    device = "cpu"
    precision = "float64"

    def __init__(self, max_unknown_px: int = MAX_UNKNOWN_PX) -> None:
        self._max_unknown_px = max_unknown_px

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        """Estimate alpha; see Matter."""
        is_unknown = trimap == UNKNOWN
        alpha = np.where(is_unknown, np.float32(0), trimap)
        unknown_px = int(np.count_nonzero(is_unknown))
        if unknown_px == 0:
            return Matte(alpha)
        rows, columns = _bounds(is_unknown)
        region, region_trimap = image[rows, columns], trimap[rows, columns]
        scale = min(1.0, float(np.sqrt(self._max_unknown_px / unknown_px)))
        if not _has_both_sides(region_trimap):  # what lies among one kind only is of that kind
            solved, note = np.full(region_trimap.shape, region_trimap.max() == 1, np.float32), ""
        elif scale == 1.0:
            solved, note = _solve(region, region_trimap, progress)
        else:
            solved, note = _solve_small(region, region_trimap, scale, progress)
        alpha[rows, columns] = np.where(is_unknown[rows, columns], solved, alpha[rows, columns])
        return Matte(alpha, note=note)


def _solve_small(
    image: FloatArray, trimap: FloatArray, scale: float, progress: Progress
) -> tuple[FloatArray, str]:
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.clip(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 0, 1, dtype=np.float32)
    averaged = cv2.resize(trimap, size, interpolation=cv2.INTER_AREA)
    # a small pixel is known only where all it stands for is
    is_known = (averaged == 0) | (averaged == 1)
    small_trimap = np.where(is_known, averaged, 0.5).astype(np.float32)
    if not _has_both_sides(small_trimap):  # a side too thin to be seen small
        return _solve(image, trimap, progress)
    solved, note = _solve(small, small_trimap, progress)
    scaled = f"the unknown region is large, so alpha was solved at {scale:.0%} of its size."
    return upsample_guided(solved, small, image), f"{scaled} {note}".strip()


def _solve(image: FloatArray, trimap: FloatArray, progress: Progress) -> tuple[FloatArray, str]:
    # numba makes these imports slow: only a job that needs them pays
    from pymatting.preconditioner.ichol import ichol  # noqa: PLC0415
    from pymatting.solver.cg import cg  # noqa: PLC0415

    matrix, right_side = _build_system(image, trimap, progress)
    # its search for a shift prints advice on standard output, which may carry our JSON
    with redirect_stdout(io.StringIO()):
        preconditioner = ichol(matrix, DISCARD_THRESHOLD, max_nnz=FACTOR_GROWTH_MAX * matrix.nnz)
    progress("matting", 0.0)
    settings: dict[str, Any] = {
        "M": preconditioner,
        "maxiter": MAX_ITERATIONS,
        "rtol": RELATIVE_TOLERANCE,
        "atol": ABSOLUTE_TOLERANCE,
        "callback": _report_residual(progress),
    }
    note = ""
    try:
        solved = cg(matrix, right_side, **settings)
    except ValueError:  # pymatting's word for "did not converge"
        settings |= {"rtol": LOOSE_TOLERANCE, "maxiter": 10 * MAX_ITERATIONS}
        solved = cg(matrix, right_side, **settings)
        note = "the solver converged slowly, so a looser tolerance was taken."
    alpha = trimap.copy()
    alpha[trimap == UNKNOWN] = np.clip(solved, 0, 1)
    return alpha, note


def _build_system(
    image: FloatArray, trimap: FloatArray, progress: Progress
) -> tuple[csr_matrix, DoubleArray]:
    """
    Build the linear system of the unknown pixels, strip by strip.

    A pixel's row of the matting Laplacian reaches LAPLACIAN_REACH_PX rows of the picture: so much
    is seen around each strip, and the system is exactly that of the whole picture.
    """
    from pymatting.laplacian.cf_laplacian import cf_laplacian  # noqa: PLC0415

    is_unknown = trimap == UNKNOWN
    height, width = trimap.shape
    before_row = np.concatenate([[0], np.cumsum(is_unknown.sum(axis=1))])
    parts, right_sides = [], []
    step = max(1, STRIP_PX // width)
    for top in range(0, height, step):
        progress("matting", 0.0)
        first, last = max(0, top - LAPLACIAN_REACH_PX), top + step + LAPLACIAN_REACH_PX
        seen = slice(first, last)
        laplacian = cf_laplacian(image[seen].astype(np.float64), is_known=~is_unknown[seen])
        is_own = is_unknown[seen].copy()
        is_own[: top - first] = is_own[top - first + step :] = False
        rows = laplacian[is_own.ravel()]
        right_sides.append(-rows.dot((trimap[seen] == 1).ravel().astype(np.float64)))
        part = rows[:, is_unknown[seen].ravel()]
        columns = part.indices + before_row[first]
        shape = (part.shape[0], before_row[-1])
        parts.append(csr_matrix((part.data, columns, part.indptr), shape))
    return vstack(parts, format="csr"), np.concatenate(right_sides)


def _report_residual(progress: Progress) -> Callable[..., None]:
    """Progress of conjugate gradients: how far the residual has come down, in decades."""
    decades = -np.log10(RELATIVE_TOLERANCE)

    def report(
        _a: object, _x: object, _b: object, norm_b: float, _r: object, norm_r: float
    ) -> None:
        if norm_b > 0 and norm_r > 0:
            done = -np.log10(norm_r / norm_b) / decades
            progress("matting", float(np.clip(done, 0, 1)))

    return report


def _has_both_sides(trimap: FloatArray) -> bool:
    return bool((trimap == 0).any() and (trimap == 1).any())


def _bounds(is_unknown: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[slice, slice]:
    """The rows and columns that hold the unknown region and MARGIN_PX around it."""
    rows, columns = np.flatnonzero(is_unknown.any(axis=1)), np.flatnonzero(is_unknown.any(axis=0))
    return (
        slice(max(0, rows[0] - MARGIN_PX), rows[-1] + MARGIN_PX + 1),
        slice(max(0, columns[0] - MARGIN_PX), columns[-1] + MARGIN_PX + 1),
    )

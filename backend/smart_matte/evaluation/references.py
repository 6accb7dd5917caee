"""
Matting models that exist only to be measured beside: pymatting's own.

They answer to the interface of the engine's matters, with pymatting's default settings.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smart_matte.engine.matting import Matte, Matter
from smart_matte.engine.types import UNKNOWN, FloatArray, Progress

CLOSED_FORM = "pymatting-cf"
"""What ratios are taken against."""

REFERENCES = (CLOSED_FORM, "pymatting-knn")

Estimate = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
"""From an image and a trimap, float64, to an alpha."""


class PymattingMatter:
    """
    Alpha by one of pymatting's estimators, over the whole picture at its full size.

    Args:
        name: what tables call it.
        estimate: pymatting's function.
    """

    device = "cpu"
    precision = "float64"

    def __init__(self, name: str, estimate: Estimate) -> None:
        self.name = name
        self._estimate = estimate

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        """Estimate alpha; see Matter."""
        has_both_sides = bool((trimap == 0).any() and (trimap == 1).any())
        if not has_both_sides:  # pymatting refuses these; there is nothing to tell apart
            return Matte(np.full(trimap.shape, trimap.max() == 1, np.float32))
        progress("matting", 0.0)
        alpha = self._estimate(image.astype(np.float64), trimap.astype(np.float64))
        progress("matting", 1.0)
        # pymatting's KNN holds known pixels by a penalty, so nearly
        return Matte(np.where(trimap == UNKNOWN, np.asarray(alpha, np.float32), trimap))


def load_reference(name: str) -> Matter:
    """
    Make a reference ready.

    Args:
        name: one of ``REFERENCES``.

    Source:
        Germer et al. 2020, "PyMatting: A Python Library for Alpha Matting"; "pymatting-cf" is
        Levin et al. 2008, "pymatting-knn" is close to Chen et al. 2013.
    """
    # numba makes these imports slow: only a run that compares with them pays
    from pymatting.alpha.estimate_alpha_cf import estimate_alpha_cf  # noqa: PLC0415
    from pymatting.alpha.estimate_alpha_knn import estimate_alpha_knn  # noqa: PLC0415

    estimates: tuple[Estimate, ...] = (estimate_alpha_cf, estimate_alpha_knn)
    return PymattingMatter(name, dict(zip(REFERENCES, estimates, strict=True))[name])

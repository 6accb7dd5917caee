"""How far a foreground's colour is from the truth, and what that does to a composite."""

from dataclasses import dataclass

import numpy as np

from smart_matte.engine.types import BoolArray, FloatArray

GREEN = (0.0, 1.0, 0.0)
"""A background that no old one resembles: what is left of the old one shows."""


@dataclass(frozen=True)
class ColourErrors:
    """
    How far a foreground is from the truth; 0 is perfect.

    Attributes:
        foreground: ``foreground_error`` of what the user gets.
        multilevel: the same of pymatting's multi-level estimate on the same alpha. Where the
            matting model gives no foreground of its own, that is what the user gets.
        green: ``green_error`` of alpha and foreground together.
    """

    foreground: float
    multilevel: float
    green: float


def foreground_error(
    foreground: FloatArray, true_foreground: FloatArray, true_alpha: FloatArray, where: BoolArray
) -> float:
    """
    Mean absolute difference of straight colour, weighted by the true alpha.

        sum of a |F - F_true| / (3 sum of a), over the pixels of *where* and over R, G, B

    Where nothing of the foreground is seen (a = 0) its colour doesn't count.

    Args:
        foreground: what was estimated, sRGB-coded, float32 (H, W, 3), [0, 1].
        true_foreground: the truth, same layout.
        true_alpha: float32 (H, W), [0, 1].
        where: the pixels that count, bool (H, W); 0.0 is returned when all their alphas are 0.
    """
    weight = true_alpha[where].astype(np.float64)
    difference = np.abs(foreground[where].astype(np.float64) - true_foreground[where])
    total = float(weight.sum())
    return float((weight * difference.mean(axis=1)).sum()) / total if total else 0.0


def green_error(
    cutout: tuple[FloatArray, FloatArray], truth: tuple[FloatArray, FloatArray], where: BoolArray
) -> float:
    """
    Mean of squared differences between two composites over green, over *where* and R, G, B.

    Args:
        cutout: foreground (H, W, 3) and alpha (H, W) as estimated, float32, [0, 1].
        truth: both as they are.
        where: the pixels that count, bool (H, W); 0.0 is returned when there are none.
    """
    difference = (over_green(*cutout) - over_green(*truth))[where].astype(np.float64)
    return float((difference**2).mean()) if difference.size else 0.0


def over_green(foreground: FloatArray, alpha: FloatArray) -> FloatArray:
    """
    Composite over plain green, in sRGB code as editors do.

    Args:
        foreground: straight colour, float32 (H, W, 3), [0, 1].
        alpha: float32 (H, W), [0, 1].

    Returns:
        float32 (H, W, 3), [0, 1].
    """
    green = np.array(GREEN, np.float32)
    composite: FloatArray = green + alpha[..., None] * (foreground - green)
    return composite

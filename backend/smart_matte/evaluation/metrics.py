"""
The four errors that the matting literature reports, over any region of a picture.

They follow the code that Xu et al. published beside "Deep Image Matting" (CVPR 2017), which every
table of results since then uses. Predictions and truth are 8-bit there, and so here. The sums run
in float64 where that code runs in float32; the figures agree to about six digits.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from smart_matte.engine.types import BoolArray, FloatArray, U8Array

GRADIENT_SIGMA_PX = 1.4
GRADIENT_EPSILON = 1e-2
"""Where the tails of the gradient's Gaussian are cut off; with the sigma above: 9x9 filters."""

LEVELS = 10
"""Connectivity looks at the thresholds 1/10, 2/10 .. 10/10."""

CONNECTIVITY_TOLERANCE = 0.15
"""Differences between a pixel's alpha and its level that are smaller than this are forgiven."""


@dataclass(frozen=True)
class Errors:
    """
    How far an alpha is from the truth; 0 is perfect in all four.

    Attributes:
        sad: sum of absolute differences / 1000.
        mse: mean of squared differences (tables usually print it times 1000).
        gradient: gradient error / 1000.
        connectivity: connectivity error / 1000.
    """

    sad: float
    mse: float
    gradient: float
    connectivity: float


def measure(alpha: FloatArray, true_alpha: FloatArray, is_unknown: BoolArray) -> Errors:
    """
    All four errors of an alpha.

    Both alphas are rounded to 8 bits first, as they are when a program writes a PNG.

    Args:
        alpha: what was estimated, float32 (H, W), [0, 1].
        true_alpha: the truth, float32 (H, W), [0, 1].
        is_unknown: the pixels that count, bool (H, W); all True for the whole picture.
    """
    alpha_u8 = _to_u8(alpha)
    true_u8 = _to_u8(true_alpha)
    return Errors(
        sad=sad(alpha_u8, true_u8, is_unknown),
        mse=mse(alpha_u8, true_u8, is_unknown),
        gradient=gradient_error(alpha_u8, true_u8, is_unknown),
        connectivity=connectivity_error(alpha_u8, true_u8, is_unknown),
    )


def sad(alpha_u8: U8Array, true_u8: U8Array, is_unknown: BoolArray) -> float:
    """
    Sum of absolute differences.

        sum over unknown of |alpha - truth| / 1000, alphas in [0, 1]

    Args:
        alpha_u8: what was estimated, uint8 (H, W).
        true_u8: the truth, uint8 (H, W).
        is_unknown: the pixels that count, bool (H, W).
    """
    difference = np.abs(alpha_u8.astype(np.int64) - true_u8)
    return float(difference[is_unknown].sum()) / 255 / 1000


def mse(alpha_u8: U8Array, true_u8: U8Array, is_unknown: BoolArray) -> float:
    """
    Mean of squared differences over the unknown pixels, alphas in [0, 1].

    Args:
        alpha_u8: what was estimated, uint8 (H, W).
        true_u8: the truth, uint8 (H, W).
        is_unknown: the pixels that count, bool (H, W); 0.0 is returned when there are none.
    """
    difference = alpha_u8.astype(np.int64) - true_u8
    count = int(is_unknown.sum())
    return float((difference[is_unknown] ** 2).sum()) / 255**2 / count if count else 0.0


def gradient_error(alpha_u8: U8Array, true_u8: U8Array, is_unknown: BoolArray) -> float:
    """
    How differently the two alphas rise and fall.

        sum over unknown of (|grad alpha| - |grad truth|)^2 / 1000

    Each alpha is first stretched to span [0, 1]; the gradients are first derivatives of a
    Gaussian of 1.4 px.

    Args:
        alpha_u8: what was estimated, uint8 (H, W).
        true_u8: the truth, uint8 (H, W).
        is_unknown: the pixels that count, bool (H, W).

    Source:
        Rhemann et al., "A perceptually motivated online benchmark for image matting", CVPR 2009,
        with the stretching and the filters of the code by Xu et al.
    """
    difference = _gradient_magnitude(alpha_u8) - _gradient_magnitude(true_u8)
    return float((difference[is_unknown] ** 2).sum()) / 1000


def connectivity_error(alpha_u8: U8Array, true_u8: U8Array, is_unknown: BoolArray) -> float:
    """
    How much of an alpha hangs in the air compared with the truth.

        sum over unknown of |phi(alpha) - phi(truth)| / 1000
        phi(a) = 1 - d if d >= 0.15 else 1, where d = a - level

    A pixel's level is the highest threshold up to which it belongs to the main body: the largest
    4-connected part of the pixels where both alphas reach the threshold.

    Args:
        alpha_u8: what was estimated, uint8 (H, W).
        true_u8: the truth, uint8 (H, W).
        is_unknown: the pixels that count, bool (H, W).

    Source:
        Rhemann et al., CVPR 2009, as coded by Xu et al. A threshold that no pixel reaches has an
        empty main body. Alphas are compared with thresholds as whole numbers, so 153/255 reaches
        0.6 whatever the rounding.
    """
    level = _connected_level(alpha_u8, true_u8)
    difference = _phi(alpha_u8, level) - _phi(true_u8, level)
    return float(np.abs(difference[is_unknown]).sum()) / 1000


def _to_u8(alpha: FloatArray) -> U8Array:
    """Round an alpha in [0, 1] to 8 bits."""
    return np.rint(np.clip(alpha, 0.0, 1.0) * 255).astype(np.uint8)


def _gradient_magnitude(alpha_u8: U8Array) -> NDArray[np.float64]:
    """Length of the gradient of an alpha stretched to span [0, 1], float64 (H, W)."""
    low, high = int(alpha_u8.min()), int(alpha_u8.max())
    if low == high:
        return np.zeros(alpha_u8.shape)
    stretched = (alpha_u8.astype(np.float64) - low) / (high - low)
    gauss, slope = _gradient_filters()
    along_x = cv2.sepFilter2D(stretched, cv2.CV_64F, slope, gauss, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(stretched, cv2.CV_64F, gauss, slope, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(along_x, along_y)


def _gradient_filters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    A Gaussian and its slope, each of length 1, float64 (9,).

    Their outer product is the 9x9 filter of the published code: its norm is the product of
    theirs, and its sign drops out of the gradient's length.
    """
    sigma = GRADIENT_SIGMA_PX
    radius = math.ceil(
        sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * GRADIENT_EPSILON))
    )
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    gauss = np.exp(-(x**2) / (2 * sigma**2))
    slope = x * gauss
    return gauss / np.linalg.norm(gauss), slope / np.linalg.norm(slope)


def _connected_level(alpha_u8: U8Array, true_u8: U8Array) -> NDArray[np.int64]:
    """Each pixel's level in tenths, 0 .. 10, int64 (H, W)."""
    reach = np.minimum(alpha_u8, true_u8).astype(np.int64) * LEVELS
    level = np.full(reach.shape, LEVELS)
    is_open = np.ones(reach.shape, np.bool_)
    for threshold in range(1, LEVELS + 1):
        is_lost = is_open & ~_largest_part(reach >= threshold * 255)
        level[is_lost] = threshold - 1
        is_open &= ~is_lost
    return level


def _largest_part(is_inside: BoolArray) -> BoolArray:
    """
    The largest 4-connected part; of equals, the one met first column by column.

    Column by column because MATLAB counts that way and the published code takes the first.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        is_inside.astype(np.uint8), connectivity=4
    )
    if count == 1:  # only what is outside
        return np.zeros(is_inside.shape, np.bool_)
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    is_among_largest = (sizes == sizes.max())[labels]
    first = labels.T.flat[is_among_largest.T.argmax()]
    return np.asarray(labels == first)


def _phi(alpha_u8: U8Array, level: NDArray[np.int64]) -> NDArray[np.float64]:
    """Degree of connectedness, 1 for pixels that hang on the main body; float64 (H, W)."""
    beyond = alpha_u8 / 255 - level / LEVELS
    return 1 - np.where(beyond >= CONNECTIVITY_TOLERANCE, beyond, 0.0)

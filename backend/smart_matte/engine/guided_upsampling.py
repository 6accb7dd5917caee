"""A matte that was solved small, brought to full size along the full picture's own edges."""

import cv2
import numpy as np
from numpy.typing import NDArray

from smart_matte.engine.types import AnyArray, FloatArray

RADIUS_PX = 1
"""Half width of the windows in which alpha is taken as linear in colour, in small pixels."""

EPSILON = 1e-5
"""Ridge on the colour slope (image in [0, 1]): below it, contrast is taken for noise."""


def upsample_guided(
    alpha: FloatArray,
    image: FloatArray,
    full_image: FloatArray,
    radius_px: int = RADIUS_PX,
    epsilon: float = EPSILON,
) -> FloatArray:
    """
    Upsample alpha as a local linear function of colour.

        alpha(x) = mean over windows w around x of (a_w . I(x) + b_w)

    with a_w, b_w the ridge regression of the small alpha on the small image in each window.

    Args:
        alpha: float32 (h, w), [0, 1].
        image: sRGB-coded colour that alpha belongs to, float32 (h, w, 3), [0, 1].
        full_image: the same picture at full size, float32 (H, W, 3), [0, 1].
        radius_px: half width of the windows, in pixels of the small picture.
        epsilon: ridge, in squared units of colour.

    Returns:
        float32 (H, W), [0, 1].

    Source:
        He and Sun 2015, "Fast Guided Filter", Algorithm 2, with the colour guide of He, Sun and
        Tang 2013, equation 19; the small picture is also what is filtered.
    """
    slope, offset = _fit_windows(alpha, image, radius_px, epsilon)
    size = (full_image.shape[1], full_image.shape[0])
    full_slope = cv2.resize(slope, size, interpolation=cv2.INTER_LINEAR)
    full_offset = cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR)
    upsampled = np.einsum("hwc,hwc->hw", full_slope, full_image) + full_offset
    return np.asarray(np.clip(upsampled, 0, 1), np.float32)


def _fit_windows(
    alpha: FloatArray, image: FloatArray, radius_px: int, epsilon: float
) -> tuple[FloatArray, FloatArray]:
    """Slope (h, w, 3) and offset (h, w) of every window, averaged over the windows of a pixel."""
    window = (2 * radius_px + 1, 2 * radius_px + 1)

    def mean(samples: AnyArray) -> NDArray[np.float64]:
        return cv2.blur(samples, window, borderType=cv2.BORDER_REFLECT_101).astype(np.float64)

    guide, target = image.astype(np.float64), alpha.astype(np.float64)
    guide_mean, target_mean = mean(guide), mean(target)
    covariance = np.empty((*alpha.shape, 3, 3))
    for row in range(3):
        for column in range(3):
            product = mean(guide[..., row] * guide[..., column])
            covariance[..., row, column] = product - guide_mean[..., row] * guide_mean[..., column]
    covariance += epsilon * np.eye(3)
    cross = mean(guide * target[..., None]) - guide_mean * target_mean[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = target_mean - np.einsum("hwc,hwc->hw", slope, guide_mean)
    return mean(slope).astype(np.float32), mean(offset).astype(np.float32)

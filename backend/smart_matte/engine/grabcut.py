"""The selection refined by its own colours: GrabCut, without any network."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from smart_matte.engine.types import BoolArray, FloatArray, U8Array

COMPONENTS = 5
"""Gaussians in each colour model; fixed by OpenCV's grabCut (and by the paper, section 3.2)."""

ITERATIONS = 5
"""Rounds of learning and cutting; the cut hardly moves after the third on our pictures."""

MAX_PIXELS = 600_000
"""Larger pictures are cut at this size: the trimap's band is wider than the lost detail."""

VARIANCE_FLOOR = 2.0
"""Added to each colour variance (8-bit units squared), so that a flat colour has a width."""

WHOLE = (0, 0, 0, 0)
"""The rectangle that grabCut wants and, started from labels, never looks at."""

MAX_LOG_ODDS = 8.0
"""Beyond this a colour is simply certain (1 in 3000)."""


@dataclass(frozen=True)
class ColourCut:
    """
    What the colours say.

    Attributes:
        is_subject: the cut, bool (H, W).
        probability: that a pixel's own colour is the subject's, float32 (H, W), [0, 1]; no
            smoothness, so that gaps and strands show.
    """

    is_subject: BoolArray
    probability: FloatArray


def cut_by_colour(
    image: FloatArray, is_probable: BoolArray, is_certain_in: BoolArray, is_certain_out: BoolArray
) -> ColourCut:
    """
    Divide a picture by what the colours inside and outside have in common.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        is_probable: first guess of the subject, bool (H, W).
        is_certain_in: subject for sure, bool (H, W).
        is_certain_out: background for sure, bool (H, W).

    Source:
        Rother, Kolmogorov and Blake 2004, "GrabCut", as OpenCV computes it. The probability is
        the likelihood ratio of the two final colour models at even prior.
    """
    shape = image.shape[:2]
    scale = min(1.0, float(np.sqrt(MAX_PIXELS / (shape[0] * shape[1]))))
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    small = np.rint(cv2.resize(image, size, interpolation=cv2.INTER_AREA) * 255).astype(np.uint8)
    labels = np.where(is_probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[is_certain_in] = cv2.GC_FGD
    labels[is_certain_out] = cv2.GC_BGD
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    if not (_says_subject(labels).any() and (~_says_subject(labels)).any()):
        return ColourCut(is_probable, is_probable.astype(np.float32))

    background_model = np.zeros((1, 13 * COMPONENTS))
    subject_model = np.zeros((1, 13 * COMPONENTS))
    cv2.setRNGSeed(0)  # the models start from k-means: the same input has to give the same cut
    cv2.grabCut(
        small, labels, WHOLE, background_model, subject_model, ITERATIONS, cv2.GC_INIT_WITH_MASK
    )
    log_odds = np.clip(
        _log_likelihood(small, subject_model) - _log_likelihood(small, background_model),
        -MAX_LOG_ODDS,
        MAX_LOG_ODDS,
    )
    probability = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
    back = (shape[1], shape[0])
    is_subject = cv2.resize(
        _says_subject(labels).astype(np.float32), back, interpolation=cv2.INTER_LINEAR
    )
    return ColourCut(
        is_subject > 0.5,  # noqa: PLR2004  (half way between the two)
        cv2.resize(probability, back, interpolation=cv2.INTER_LINEAR).astype(np.float32),
    )


def _says_subject(labels: U8Array) -> BoolArray:
    is_subject: BoolArray = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return is_subject


def _log_likelihood(image_u8: U8Array, model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log density of each pixel's colour under OpenCV's (weights, means, covariances) row."""
    weights = model[0, :COMPONENTS]
    means = model[0, COMPONENTS : 4 * COMPONENTS].reshape(COMPONENTS, 3)
    covariances = model[0, 4 * COMPONENTS :].reshape(COMPONENTS, 3, 3)
    colours = image_u8.reshape(-1, 3).astype(np.float64)
    density = np.full(len(colours), 1e-12)
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        if weight <= 0:
            continue
        widened = covariance + VARIANCE_FLOOR * np.eye(3)
        offsets = colours - mean
        distance2 = np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(widened), offsets)
        density += weight * np.exp(-0.5 * distance2) / np.sqrt(np.linalg.det(widened))
    log_likelihood: NDArray[np.float64] = np.log(density).reshape(image_u8.shape[:2])
    return log_likelihood

"""Drawn layers, laid one over the other into one foreground with exact colour."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from smart_matte.engine.types import BoolArray, FloatArray

SMALLEST_ALPHA = 1e-4
"""Below this nothing is there: the colour of so little can't be told from rounding."""


class Layer(NamedTuple):
    """
    One thing drawn.

    Attributes:
        coverage: share of each pixel that it covers, float32 (S, S), [0, 1].
        colour: straight sRGB-coded colour, float32 (S, S, 3), [0, 1]; counts where coverage > 0.
    """

    coverage: FloatArray
    colour: FloatArray


def flatten_layers(layers: Iterable[Layer]) -> tuple[FloatArray, FloatArray]:
    """
    Lay each layer over those before it.

        C' = c F + (1 - c) C        a' = c + (1 - c) a

    so that for every background B: C + (1 - a) B is what laying them over B one by one gives.

    Args:
        layers: from back to front, one or more.

    Returns:
        Premultiplied colour C, float32 (S, S, 3), and alpha a, float32 (S, S), [0, 1].

    Source:
        Porter and Duff 1984, operator "over".
    """
    stack = iter(layers)
    coverage, colour = next(stack)
    alpha, premultiplied = coverage.copy(), colour * coverage[..., None]
    for coverage, colour in stack:
        alpha += coverage * (1 - alpha)
        premultiplied += coverage[..., None] * (colour - premultiplied)
    return premultiplied, np.minimum(alpha, np.float32(1))


def divide_by_alpha(premultiplied: FloatArray, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Turn premultiplied colour into straight colour, defined everywhere.

    Args:
        premultiplied: float32 (S, S, 3), at most *alpha*.
        alpha: float32 (S, S), [0, 1].

    Returns:
        Straight colour, float32 (S, S, 3), [0, 1], continued from nearby where alpha is 0; and
        alpha, with what is below SMALLEST_ALPHA taken away.
    """
    is_there = alpha >= SMALLEST_ALPHA
    opacity = np.maximum(alpha, np.float32(SMALLEST_ALPHA))[..., None]
    colour = extend_colour(np.clip(premultiplied / opacity, 0, 1), is_there)
    return colour, np.where(is_there, alpha, np.float32(0))


def extend_colour(colour: FloatArray, is_known: BoolArray) -> FloatArray:
    """
    Continue colour smoothly from where it is known.

    Args:
        colour: float32 (H, W, 3).
        is_known: bool (H, W); the colour there is kept.

    Returns:
        float32 (H, W, 3).

    Source:
        Gortler et al. 1996, "The Lumigraph", section 3.4, pull and push, with box filters.
    """
    weight = is_known.astype(np.float32)
    return _pull_push(colour * weight[..., None], weight)


def _pull_push(weighted: FloatArray, weight: FloatArray) -> FloatArray:
    """Fill what has no weight from the same picture at half the size."""
    height, width = weight.shape
    if height == width == 1:
        return np.asarray(weighted / np.maximum(weight, np.float32(1e-12))[..., None], np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    smaller = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
    smaller_weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    coarse = _pull_push(
        smaller.reshape(size[1], size[0], 3).astype(np.float32),
        smaller_weight.reshape(size[1], size[0]).astype(np.float32),
    )
    fill = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(weighted + (1 - weight[..., None]) * fill.reshape(height, width, 3))

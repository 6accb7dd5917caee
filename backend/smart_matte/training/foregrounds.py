"""Foregrounds without end: rendered from a seed, with exact alpha and exact colour."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from smart_matte.engine.types import FloatArray, U8Array
from smart_matte.training.body_subjects import draw_glass, draw_smoke, draw_soft, draw_solid
from smart_matte.training.chance import draw_log_uniform
from smart_matte.training.hairy_subjects import (
    draw_feathers,
    draw_fringe,
    draw_fur,
    draw_hair,
    draw_long_hair,
)
from smart_matte.training.layers import Layer, divide_by_alpha, flatten_layers
from smart_matte.training.plant_subjects import draw_foliage, draw_grass, draw_twigs
from smart_matte.training.woven_subjects import draw_cords, draw_lace, draw_net

Draw = Callable[[np.random.Generator, Sequence[U8Array], int], list[Layer]]

_DRAWN: dict[str, tuple[float, Draw]] = {
    "hair": (0.12, draw_hair),
    "long_hair": (0.09, draw_long_hair),
    "fur": (0.1, draw_fur),
    "feathers": (0.05, draw_feathers),
    "fringe": (0.05, draw_fringe),
    "foliage": (0.14, draw_foliage),
    "twigs": (0.06, draw_twigs),
    "grass": (0.04, draw_grass),
    "net": (0.08, draw_net),
    "lace": (0.06, draw_lace),
    "cords": (0.08, draw_cords),
    "glass": (0.03, draw_glass),
    "smoke": (0.03, draw_smoke),
    "soft": (0.03, draw_soft),
    "solid": (0.04, draw_solid),
}

KINDS: dict[str, float] = {kind: share for kind, (share, _) in _DRAWN.items()}
"""
What is rendered, and how often; the shares add up to 1.

Half of it is not hair, but large areas in which foreground and background take turns: there
most of the error was found.
"""

_LEAST_SEEN = 0.02  # of the picture's area: less is no subject


class Foreground(NamedTuple):
    """
    A subject, cut out.

    Attributes:
        colour: straight sRGB-coded, float32 (S, S, 3), [0, 1]; defined everywhere.
        alpha: float32 (S, S), [0, 1].
    """

    colour: FloatArray
    alpha: FloatArray


def render_foreground(
    random: np.random.Generator,
    photos: Sequence[U8Array],
    size_px: int,
    kind: str | None = None,
) -> Foreground:
    """
    Render a foreground that no other has.

    Args:
        random: where all randomness comes from.
        photos: one or more, uint8 (H, W, 3), sRGB-coded: colours and textures are taken of them.
        size_px: side S, 64 or more.
        kind: one of KINDS; by default drawn according to the shares there.
    """
    if kind is None:
        kind = str(random.choice(list(KINDS), p=list(KINDS.values())))
    _, draw = _DRAWN[kind]
    while True:
        premultiplied, alpha = flatten_layers(draw(random, photos, size_px))
        premultiplied, alpha = _blur_sometimes(random, premultiplied, alpha)
        if alpha.mean() > _LEAST_SEEN:
            return Foreground(*divide_by_alpha(premultiplied, alpha))


def _blur_sometimes(
    random: np.random.Generator, premultiplied: FloatArray, alpha: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Move a subject during the exposure, or leave it out of focus; most stay sharp."""
    choice = random.random()
    if choice < 0.08:  # noqa: PLR2004
        kernel = _motion_kernel(draw_log_uniform(random, 3, 24), random.uniform(0, np.pi))
        edge = cv2.BORDER_CONSTANT
        return (
            np.asarray(cv2.filter2D(premultiplied, -1, kernel, borderType=edge), np.float32),
            np.clip(cv2.filter2D(alpha, -1, kernel, borderType=edge), 0, 1),
        )
    if choice < 0.25:  # noqa: PLR2004
        radius_px = draw_log_uniform(random, 0.5, 3.5)
        return (
            np.asarray(cv2.GaussianBlur(premultiplied, (0, 0), radius_px), np.float32),
            np.clip(cv2.GaussianBlur(alpha, (0, 0), radius_px), 0, 1),
        )
    return premultiplied, alpha


def _motion_kernel(length_px: float, turn: float) -> FloatArray:
    """Spread a point along a line, float32 (K, K), summing to 1."""
    side = int(np.ceil(length_px)) | 1
    way = np.linspace(-length_px / 2, length_px / 2, 8 * side)[:, None]
    spots = side / 2 + way * [np.sin(turn), np.cos(turn)]
    rows, columns = np.clip(spots.astype(int), 0, side - 1).T
    kernel = np.zeros((side, side), np.float32)
    np.add.at(kernel, (rows, columns), 1)
    return np.asarray(kernel / kernel.sum())

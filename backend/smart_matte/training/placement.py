"""Places a rendered foreground in a crop: turned, scaled, cut off, its colours exact."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)

from smart_matte.engine.types import FloatArray
from smart_matte.training.foregrounds import Foreground

SMALLEST_SCALE, LARGEST_SCALE = 0.65, 1.7
"""Of the foreground. Below 2/3 a bilinear sample would miss pixels."""

SNAP = 0.006
"""Opacity that is taken for none; and from 1 - SNAP on it is taken for full."""

TOUCH = 0.004
"""A foreground is cut off by a side of its array where it is more opaque than this there."""

OFF_CENTRE = 0.3
"""Farthest that the pixel a crop is aimed at is off its centre, as a share of its side."""

TRIES = 3
"""
Crops that are looked at; the one with most of both, subject and background, is taken, and with
least from beyond the array.
"""
SIGHTS = 12
"""Pixels along a side that are looked at to tell."""
ROWS_TO_SEARCH = 64
"""Rows of a foreground in which a mixed pixel is looked for."""

SHARE_SQUEEZED = 0.3


class Layer(NamedTuple):
    """
    A cut-out.

    Attributes:
        alpha: float32 (N, 1, H, W), [0, 1].
        foreground: straight sRGB-coded colour, defined everywhere, float32 (N, 3, H, W), [0, 1].
    """

    alpha: Tensor
    foreground: Tensor


class Placement(NamedTuple):
    """
    An affine map: crop pixel p shows source pixel inverse (p - target) + origin.

    Attributes:
        inverse: float64 (2, 2), for (x, y).
        target: where in the crop, float64 (x, y) in pixels ...
        origin: ... this source pixel comes to lie, float64 (x, y).
    """

    inverse: NDArray[np.float64]
    target: NDArray[np.float64]
    origin: NDArray[np.float64]


def place(source: Foreground, placement: Placement, size_px: int, device: torch.device) -> Layer:
    """
    Look at a foreground through an affine map.

    Colours are interpolated premultiplied, hence exact. Beyond the sides of its array there is
    nothing, but beyond a side that cuts the foreground off there is its mirror image: a straight
    edge that nobody sees in a picture would be learnt.

    Args:
        source: colour (H, W, 3) and alpha (H, W).
        placement: which source pixel a pixel of the crop shows.
        size_px: height and width of the crop.
        device: to work on.

    Returns:
        One layer.
    """
    alpha = torch.as_tensor(source.alpha, device=device)
    colour = torch.as_tensor(source.colour, device=device).permute(2, 0, 1)
    x, y = _look_up(placement, size_px, device)
    height, width = alpha.shape
    edges = torch.stack([alpha[:, 0], alpha[:, -1]]), torch.stack([alpha[0], alpha[-1]])
    sides = torch.cat([edge.amax(dim=1) > TOUCH for edge in edges]).tolist()
    is_there = _is_within(x, width, sides[:2]) & _is_within(y, height, sides[2:])

    planes = torch.cat([colour * alpha, alpha[None], colour])[None]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)[None]
    planes = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=True)
    opacity, premultiplied = planes[:, 3:4], planes[:, :3]
    straight = premultiplied / opacity.clamp(min=SNAP)
    foreground = torch.where(opacity > SNAP, straight, planes[:, 4:])
    return Layer(snap(opacity * is_there), foreground.clamp(0, 1))


def draw_placed(
    source: Foreground, size_px: int, random: np.random.Generator, device: torch.device
) -> Layer:
    """
    Turn, mirror, scale and shift a foreground at random, so that an edge of it is in the crop.

    Args:
        source: colour (H, W, 3) and alpha (H, W).
        size_px: height and width of the crop.
        random: for the parameters.
        device: to work on.

    Returns:
        One layer.
    """
    angle = random.uniform(0, 2 * math.pi)
    scale = math.exp(random.uniform(math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE)))
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([random.choice([-1, 1]), 1])
    if random.random() < SHARE_SQUEEZED:
        squeeze = math.exp(random.uniform(-0.2, 0.2))
        matrix = matrix @ np.array([[squeeze, random.normal(0, 0.15)], [0, 1 / squeeze]])
    inverse = np.linalg.inv(scale * matrix).astype(np.float64)
    target = size_px * (0.5 + random.uniform(-OFF_CENTRE, OFF_CENTRE, 2))
    tries = [
        Placement(inverse, target, _find_edge(np.asarray(source.alpha), random))
        for _ in range(TRIES)
    ]
    balances = [_balance(np.asarray(source.alpha), placement, size_px) for placement in tries]
    return place(source, tries[int(np.argmax(balances))], size_px, device)


def snap(alpha: Tensor) -> Tensor:
    """Make what is nearly 0 or 1 just that: no picture shows the difference."""
    alpha = torch.where(alpha < SNAP, 0.0, alpha)
    return torch.where(alpha > 1 - SNAP, 1.0, alpha)


def _find_edge(alpha: FloatArray, random: np.random.Generator) -> NDArray[np.float64]:
    """Position (x, y) of any pixel that is neither empty nor full; any at all if there is none."""
    rows = random.permutation(len(alpha))
    for row in rows[:ROWS_TO_SEARCH]:
        found = np.flatnonzero((alpha[row] > SNAP) & (alpha[row] < 1 - SNAP))
        if len(found):
            return np.array([random.choice(found), row], np.float64)
    return np.array([random.integers(alpha.shape[1]), rows[0]], np.float64)


def _balance(alpha: FloatArray, placement: Placement, size_px: int) -> float:
    """How evenly subject and background share a crop, at most 0.5; less, the more is beyond."""
    steps = np.linspace(0, size_px - 1, SIGHTS) - placement.target[:, None]
    x, y = np.tensordot(placement.inverse, np.stack(np.meshgrid(*steps)), 1)
    columns = np.rint(x + placement.origin[0]).astype(np.intp)
    rows = np.rint(y + placement.origin[1]).astype(np.intp)
    inner_rows, inner_columns = (
        found.clip(0, size - 1) for found, size in zip((rows, columns), alpha.shape, strict=True)
    )
    beyond = ((rows != inner_rows) | (columns != inner_columns)).mean()
    return 0.5 - abs(0.5 - float(alpha[inner_rows, inner_columns].mean())) - float(beyond)


def _look_up(placement: Placement, size_px: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Source positions x and y of a crop's pixels, (size_px, size_px)."""
    steps = torch.arange(size_px, device=device, dtype=torch.float32)
    across = steps - float(placement.target[0])
    down = steps[:, None] - float(placement.target[1])
    (xx, xy), (yx, yy) = placement.inverse.tolist()
    origin_x, origin_y = placement.origin.tolist()
    return across * xx + down * xy + origin_x, across * yx + down * yy + origin_y


def _is_within(position: Tensor, size: int, goes_on: Sequence[bool]) -> Tensor:
    """Whether a position lies within the array, or beyond a side at which the array goes on."""
    before, beyond = goes_on
    is_within = torch.ones_like(position, dtype=torch.bool)
    if not before:
        is_within &= position >= 0
    if not beyond:
        is_within &= position <= size - 1
    return is_within

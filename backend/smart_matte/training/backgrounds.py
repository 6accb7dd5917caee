"""What lies behind the foregrounds: pieces of photos, and procedural pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)

from smart_matte.engine.types import U8Array
from smart_matte.training.blurring import blur_wide
from smart_matte.training.draws import change_some, choose, column, draw_waves, log_uniform

SMALLEST_CROP, LARGEST_CROP = 0.6, 2.7
"""Sides of a photo's piece, as shares of the side that it's brought to."""

SHARE_PROCEDURAL = 0.15
SHARE_PLAIN = 0.4
"""Of the procedural ones: one colour and the light's falling off; the others have texture."""

SHARE_FAINT = 0.1
"""Photos with little contrast: haze, walls, paper."""

SHARE_RECOLOURED = 0.4
SHARE_OUT_OF_FOCUS = 0.5
SHARE_DISC = 0.6
"""Of those out of focus: blurred as by an open lens, not by a Gaussian."""

SMALLEST_BLUR_PX, LARGEST_BLUR_PX = 1.0, 12.0


def draw_backgrounds(
    photos: Sequence[U8Array],
    count: int,
    size_px: int,
    random: np.random.Generator,
    noise: torch.Generator,
) -> Tensor:
    """
    Draw opaque pictures.

    Args:
        photos: sRGB-coded colour (H, W, 3), of any sizes.
        count: of backgrounds.
        size_px: height and width of the backgrounds.
        random: for the parameters.
        noise: for textures; its device is the backgrounds'.

    Returns:
        sRGB-coded colour, float32 (count, 3, size_px, size_px), [0, 1].
    """
    is_procedural = random.random(count) < SHARE_PROCEDURAL
    pieces = [
        torch.zeros((1, 3, size_px, size_px), device=noise.device)
        if is_procedural[k]
        else _cut_piece(photos[int(random.integers(len(photos)))], size_px, random, noise.device)
        for k in range(count)
    ]
    backgrounds = torch.cat(pieces)
    painted = np.flatnonzero(is_procedural)
    backgrounds = change_some(
        backgrounds, painted, lambda some: _paint(len(some), size_px, random, noise)
    )
    backgrounds = _recolour(_make_faint(backgrounds, random), random)
    return _defocus(backgrounds, random)


def _cut_piece(
    photo: U8Array, size_px: int, random: np.random.Generator, device: torch.device
) -> Tensor:
    height, width = photo.shape[:2]
    side_px = size_px * float(log_uniform(random, SMALLEST_CROP, LARGEST_CROP, 1)[0])
    side_px = min(height, width, max(1, round(side_px)))
    top = int(random.integers(height - side_px + 1))
    left = int(random.integers(width - side_px + 1))
    piece_u8 = photo[top : top + side_px, left : left + side_px]
    piece = torch.as_tensor(np.ascontiguousarray(piece_u8), device=device)
    channels = piece.permute(2, 0, 1)[None].float() / 255
    channels = F.interpolate(channels, size=(size_px, size_px), mode="bilinear", antialias=True)
    flips = [axis for axis in (2, 3) if random.random() < 0.5]  # noqa: PLR2004  (a coin)
    return channels.flip(flips).clamp(0, 1)


def _paint(count: int, size_px: int, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """Plain colours under uneven light, gradients, and noise of many sizes."""
    is_plain = random.random(count) < SHARE_PLAIN
    base = random.uniform(0.02, 0.98, (count, 1)) + random.normal(0, 0.12, (count, 3))
    gradient = draw_waves((count, 3), size_px, 2, noise)
    gradient = gradient.mean(dim=1, keepdim=True) + 0.25 * gradient
    strength = column(random.uniform(0.02, 0.25, count), gradient)
    painted = column(base, gradient) + strength * gradient
    roughness = random.uniform(0.35, 0.8, count)
    depth = np.where(is_plain, 0.0, random.uniform(0.05, 0.25, count))
    cells, octave = 4, 0
    while cells <= size_px // 2:
        waves = draw_waves((count, 3), size_px, cells, noise)
        waves = waves.mean(dim=1, keepdim=True) + 0.12 * waves
        painted = painted + column(depth * roughness**octave, waves) * waves
        cells, octave = cells * 2, octave + 1
    return painted.clamp(0, 1)


def _make_faint(backgrounds: Tensor, random: np.random.Generator) -> Tensor:
    indices = choose(random, len(backgrounds), SHARE_FAINT)
    contrast = column(random.uniform(0.1, 0.4, len(indices)), backgrounds)

    def change(some: Tensor) -> Tensor:
        mean = some.mean(dim=(2, 3), keepdim=True)
        return mean + contrast * (some - mean)

    return change_some(backgrounds, indices, change)


def _recolour(backgrounds: Tensor, random: np.random.Generator) -> Tensor:
    indices = choose(random, len(backgrounds), SHARE_RECOLOURED)
    gamma = np.exp(random.normal(0, 0.3, len(indices)))
    gain = np.exp(random.normal(0, 0.15, (len(indices), 3)))

    def change(some: Tensor) -> Tensor:
        toned = some.clamp(min=1e-4) ** column(gamma, some)
        return (toned * column(gain, some)).clamp(0, 1)

    return change_some(backgrounds, indices, change)


def _defocus(backgrounds: Tensor, random: np.random.Generator) -> Tensor:
    indices = choose(random, len(backgrounds), SHARE_OUT_OF_FOCUS)
    sigma_px = log_uniform(random, SMALLEST_BLUR_PX, LARGEST_BLUR_PX, len(indices))
    is_disc = random.random(len(indices)) < SHARE_DISC

    def change(some: Tensor) -> Tensor:
        # light adds up, not its coding: a square is near enough to sRGB's curve
        blurred = blur_wide(some.square(), column(sigma_px, some), column(is_disc, some))
        return blurred.clamp(0, 1).sqrt()

    return change_some(backgrounds, indices, change)

"""
Puts rendered foregrounds in front of backgrounds, with their truth exact.

    image = alpha F + (1 - alpha) B

holds in every pixel, whatever was done to alpha, F and B before: all of it, the lens's blur too,
happens to them and never to the composite. What happens to that is in ``camera.py``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smart_matte.engine.types import U8Array
from smart_matte.training.backgrounds import draw_backgrounds
from smart_matte.training.blurring import blur_gaussian, blur_wide
from smart_matte.training.draws import (
    change_some,
    choose,
    column,
    draw_waves,
    log_uniform,
    pick,
    put,
)
from smart_matte.training.foregrounds import Foreground
from smart_matte.training.placement import SNAP, Layer, draw_placed, snap

SHARE_TWO = 0.2
SHARE_RECOLOURED = 0.6
SHARE_SHADED = 0.4
SHARE_SPILL = 0.15
SHARE_LENS_BLUR = 0.4
SHARE_SHADOW = 0.15
SHARE_TOWARDS_FOREGROUND = 0.2
SHARE_DEVELOPED = 0.5


class Scene(NamedTuple):
    """
    A cut-out and what lies behind it.

    Attributes:
        alpha: float32 (N, 1, H, W), [0, 1].
        foreground: straight sRGB-coded colour, float32 (N, 3, H, W), [0, 1].
        background: the same.
    """

    alpha: Tensor
    foreground: Tensor
    background: Tensor


def composite(scene: Scene) -> Tensor:
    """I = alpha F + (1 - alpha) B, (N, 3, H, W)."""
    return scene.alpha * scene.foreground + (1 - scene.alpha) * scene.background


def draw_scenes(
    foregrounds: Sequence[Foreground],
    photos: Sequence[U8Array],
    count: int,
    size_px: int,
    random: np.random.Generator,
    *,
    noise: torch.Generator,
) -> Scene:
    """
    Compose foregrounds and backgrounds picked at random.

    Args:
        foregrounds: what to put in front, each (H, W, 3) and (H, W), of any sizes.
        photos: sRGB-coded colour (H, W, 3), of any sizes; what lies behind.
        count: of scenes.
        size_px: height and width of the scenes.
        random: for the parameters.
        noise: for fields; its device is the scenes'.
    """
    layer = _draw_layer(foregrounds, count, size_px, random, noise)
    doubled = choose(random, count, SHARE_TWO)
    if len(doubled):
        behind = _draw_layer(foregrounds, len(doubled), size_px, random, noise)
        layer = _put_layer(layer, doubled, lay_over(_pick_layer(layer, doubled), behind))
    background = draw_backgrounds(photos, count, size_px, random, noise)
    background = _pull_towards(background, layer, random)
    scene = Scene(*_see_through_lens(layer, random), background)
    return develop(_relate(scene, random), random)


def lay_over(front: Layer, behind: Layer) -> Layer:
    """
    Porter and Duff's "over" of straight colours.

        a = a1 + (1 - a1) a2        F = (a1 F1 + (1 - a1) a2 F2) / a, and F1 where a = 0
    """
    hidden = (1 - front.alpha) * behind.alpha
    alpha = front.alpha + hidden
    mixed = front.alpha * front.foreground + hidden * behind.foreground
    foreground = torch.where(alpha > 0, mixed / alpha.clamp(min=1e-6), front.foreground)
    return Layer(snap(alpha), foreground.clamp(0, 1))


def blur_layer(layer: Layer, sigma_px: Tensor) -> Layer:
    """
    Blur a cut-out as a lens does: opacity and premultiplied colour alike.

    Args:
        layer: N cut-outs.
        sigma_px: standard deviations, (N, 1, 1, 1).

    Returns:
        N cut-outs. Where nothing is left, the colours are the sharp ones.
    """
    premultiplied = torch.cat([layer.alpha * layer.foreground, layer.alpha], dim=1)
    blurred = blur_gaussian(premultiplied, sigma_px)
    alpha = blurred[:, 3:]
    straight = blurred[:, :3] / alpha.clamp(min=SNAP)
    foreground = torch.where(alpha > SNAP, straight, layer.foreground)
    return Layer(snap(alpha), foreground.clamp(0, 1))


def develop(scene: Scene, random: np.random.Generator) -> Scene:
    """Change exposure, white balance and contrast of F and B alike, in SHARE_DEVELOPED of them."""
    indices = choose(random, len(scene.alpha), SHARE_DEVELOPED)
    gamma = np.exp(random.normal(0, 0.15, len(indices)))
    gain = np.exp(random.normal(0, 0.12, (len(indices), 1)))
    balance = np.exp(random.normal(0, 0.06, (len(indices), 3)))

    def change(colour: Tensor) -> Tensor:
        toned = colour.clamp(min=1e-4) ** column(gamma, colour)
        return (toned * column(gain * balance, colour)).clamp(0, 1)

    foreground = change_some(scene.foreground, indices, change)
    return Scene(scene.alpha, foreground, change_some(scene.background, indices, change))


def _draw_layer(
    foregrounds: Sequence[Foreground],
    count: int,
    size_px: int,
    random: np.random.Generator,
    noise: torch.Generator,
) -> Layer:
    layers = [
        draw_placed(foregrounds[int(index)], size_px, random, noise.device)
        for index in random.integers(len(foregrounds), size=count)
    ]
    layer = Layer(*(torch.cat(planes) for planes in zip(*layers, strict=True)))
    return Layer(layer.alpha, _recolour(_shade(layer.foreground, random, noise), random))


def _shade(colour: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """Light and shade over bodies, wide and soft."""
    count, _, size_px, _ = colour.shape
    indices = choose(random, count, SHARE_SHADED)
    strength = random.uniform(0.05, 0.35, len(indices))

    def change(some: Tensor) -> Tensor:
        light = draw_waves((len(some), 1), size_px, 3, noise)
        return (some * torch.exp(column(strength, some) * light)).clamp(0, 1)

    return change_some(colour, indices, change)


def _recolour(colour: Tensor, random: np.random.Generator) -> Tensor:
    indices = choose(random, len(colour), SHARE_RECOLOURED)
    gamma = np.exp(random.normal(0, 0.3, len(indices)))
    gain = np.exp(random.normal(0, 0.15, (len(indices), 3)))
    offset = random.normal(0, 0.05, len(indices))

    def change(some: Tensor) -> Tensor:
        toned = some.clamp(min=1e-4) ** column(gamma, some)
        return (toned * column(gain, some) + column(offset, some)).clamp(0, 1)

    return change_some(colour, indices, change)


def _see_through_lens(layer: Layer, random: np.random.Generator) -> Layer:
    indices = choose(random, len(layer.alpha), SHARE_LENS_BLUR)
    if len(indices) == 0:
        return layer
    sigma_px = column(random.uniform(0.4, 1.1, len(indices)), layer.alpha)
    return _put_layer(layer, indices, blur_layer(_pick_layer(layer, indices), sigma_px))


def _pick_layer(layer: Layer, indices: NDArray[np.intp]) -> Layer:
    return Layer(pick(layer.alpha, indices), pick(layer.foreground, indices))


def _put_layer(layer: Layer, indices: NDArray[np.intp], some: Layer) -> Layer:
    return Layer(
        put(layer.alpha, indices, some.alpha), put(layer.foreground, indices, some.foreground)
    )


def _pull_towards(background: Tensor, layer: Layer, random: np.random.Generator) -> Tensor:
    """Make some backgrounds like the foreground in colour: nothing is harder to tell apart."""
    indices = choose(random, len(background), SHARE_TOWARDS_FOREGROUND)
    pull = column(random.uniform(0.3, 1, len(indices)), background)
    opacity, colour = _pick_layer(layer, indices)
    weight = opacity.sum(dim=(2, 3), keepdim=True) + 1
    wanted = (opacity * colour).sum(dim=(2, 3), keepdim=True) / weight

    def change(some: Tensor) -> Tensor:
        mean = some.mean(dim=(2, 3), keepdim=True)
        return (some + pull * (wanted - mean)).clamp(0, 1)

    return change_some(background, indices, change)


def _relate(scene: Scene, random: np.random.Generator) -> Scene:
    """Let some subjects cast a soft shadow, and some backgrounds light the subject's edge."""
    return _spill(_cast_shadow(scene, random), random)


def _cast_shadow(scene: Scene, random: np.random.Generator) -> Scene:
    indices = choose(random, len(scene.alpha), SHARE_SHADOW)
    size_px = scene.alpha.shape[-1]
    sigma_px = log_uniform(random, 0.01, 0.06, len(indices)) * size_px
    shift_px = np.rint(random.normal(0, 0.05, (len(indices), 2)) * size_px).astype(int)
    darkness = random.uniform(0.15, 0.6, len(indices))

    def change(some: Tensor) -> Tensor:
        sigma = column(sigma_px, some)
        shadow = blur_wide(pick(scene.alpha, indices), sigma, torch.zeros_like(sigma)).clamp(0, 1)
        shifted = [_shift(*pair) for pair in zip(shadow, shift_px.tolist(), strict=True)]
        return some * (1 - column(darkness, some) * torch.stack(shifted))

    return scene._replace(background=change_some(scene.background, indices, change))


def _shift(plane: Tensor, shift_px: tuple[int, int]) -> Tensor:
    """Move a plane (1, H, W) to the right and down; what comes in repeats the border."""
    across, down = shift_px
    rows = torch.arange(plane.shape[1], device=plane.device) - down
    columns = torch.arange(plane.shape[2], device=plane.device) - across
    rows, columns = rows.clamp(0, plane.shape[1] - 1), columns.clamp(0, plane.shape[2] - 1)
    return plane[:, rows][:, :, columns]


def _spill(scene: Scene, random: np.random.Generator) -> Scene:
    """Mix the surroundings' colour into F, the more the thinner the subject is there."""
    indices = choose(random, len(scene.alpha), SHARE_SPILL)
    amount = random.uniform(0.05, 0.3, len(indices))

    def change(some: Tensor) -> Tensor:
        around = pick(scene.background, indices).mean(dim=(2, 3), keepdim=True)
        thinness = 1 - pick(scene.alpha, indices) ** 2
        return some + column(amount, some) * thinness * (around - some)

    return scene._replace(foreground=change_some(scene.foreground, indices, change))

"""Bodies: large solid ones with holes, soft ones, glass and smoke."""

from collections.abc import Sequence

import cv2
import numpy as np

from smart_matte.engine.types import FloatArray, U8Array
from smart_matte.training.chance import draw_log_uniform, happens
from smart_matte.training.layers import Layer
from smart_matte.training.outlines import cut_holes, draw_body_shape, draw_shape
from smart_matte.training.textures import (
    make_noise,
    make_texture,
    pick_colour,
    shade_body,
    vary_with_noise,
)


def draw_solid(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw large bodies with strong texture and shading, and holes in some of them."""
    layers = []
    for number in range(random.integers(1, 4)):
        body = draw_body_shape(random, size_px, (0.6, 0.94) if number == 0 else (0.15, 0.5))
        if happens(random, 0.5):
            body = cut_holes(random, body, int(random.integers(1, 30)))
        texture = make_texture(random, photos, size_px)
        layers.append(Layer(body, shade_body(random, texture, body)))
    return layers


def draw_soft(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw a body whose edge is sharp in some places and out of focus in others."""
    body = draw_body_shape(random, size_px, (0.5, 0.85))
    if happens(random, 0.3):
        body = cut_holes(random, body, int(random.integers(1, 8)))
    colour = shade_body(random, make_texture(random, photos, size_px), body)
    radii_px = sorted(draw_log_uniform(random, 0.6, 0.04 * size_px) for _ in range(2))
    sharp, soft = (cv2.GaussianBlur(body, (0, 0), radius) for radius in radii_px)
    mix = 1 / (1 + np.exp(-4 * make_noise(random, size_px, 2, 2)))
    coverage = sharp + mix * (soft - sharp)
    return [Layer((coverage * _fade_at_border(size_px)).astype(np.float32), colour)]


def draw_glass(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw glass or film: clear in the middle, denser towards its rim, with reflections."""
    layers = []
    for _ in range(random.integers(1, 5)):
        body = draw_shape(random, size_px, (0.25, 0.94), (0.02, 0.25), corner_share=0.2)
        inside = np.pad((body > 0.5).astype(np.uint8), 1)  # noqa: PLR2004
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        rim = np.exp(-depth / (random.uniform(0.01, 0.08) * size_px))
        clear, edge = random.uniform(0.03, 0.45), random.uniform(0.2, 0.6)
        density = clear + edge * rim + 0.15 * make_noise(random, size_px, 2, 3)
        tint = np.broadcast_to(pick_colour(random, photos), (size_px, size_px, 3))
        tint = vary_with_noise(random, (0.5 + 0.5 * tint).astype(np.float32), 0.3)
        layers.append(Layer((body * np.clip(density, 0.01, 1)).astype(np.float32), tint))
        streaks = make_noise(random, size_px, random.uniform(2, 5), 3)
        shine = np.clip((streaks - random.uniform(0.2, 0.6)) * random.uniform(3, 9), 0, 1)
        room = make_texture(random, photos, size_px)
        reflection = np.clip(room + random.uniform(0, 0.5), 0, 1).astype(np.float32)
        strength = random.uniform(0.2, 0.95)
        layers.append(Layer((strength * body * shine).astype(np.float32), reflection))
    return layers


def draw_smoke(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw smoke, steam, flame or cloth so thin that it is seen through."""
    layers = []
    if happens(random, 0.5):
        body = draw_body_shape(random, size_px, (0.2, 0.6))
        layers.append(Layer(body, shade_body(random, make_texture(random, photos, size_px), body)))
    grey = np.full(3, random.uniform(0.3, 1), np.float32)
    tint = random.uniform(0, 1) * happens(random, 0.5)
    colour = (1 - tint) * grey + tint * pick_colour(random, photos)
    for _ in range(random.integers(1, 4)):
        shape = draw_shape(random, size_px, (0.6, 0.94), (0.1, 0.5))
        extent = cv2.GaussianBlur(shape, (0, 0), random.uniform(0.015, 0.05) * size_px)
        swirl_px = random.uniform(0.02, 0.15) * size_px
        rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
        rows = rows + swirl_px * make_noise(random, size_px, 3, 4)
        columns = columns + swirl_px * make_noise(random, size_px, 3, 4)
        noise = make_noise(random, size_px, random.uniform(2, 5), 6, random.uniform(0.45, 0.7))
        wisps = cv2.remap(noise, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        if happens(random, 0.5):  # in sheets
            wisps = 1 - 2.5 * np.abs(wisps)
        density = np.clip(random.uniform(0.8, 2.2) * wisps + random.uniform(-0.2, 0.6), 0, 1)
        lit = np.broadcast_to(colour, (size_px, size_px, 3)).astype(np.float32)
        lit = vary_with_noise(random, lit, random.uniform(0.05, 0.4))
        coverage = extent * density * _fade_at_border(size_px)
        layers.append(Layer(coverage.astype(np.float32), lit))
    return layers


def _fade_at_border(size_px: int) -> FloatArray:
    """1 in the picture, and down to 0 over the last pixels, so that nothing soft is cut off."""
    from_border = np.minimum(np.arange(size_px), np.arange(size_px)[::-1])
    ramp = np.clip(from_border / (0.06 * size_px), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(ramp[:, None] * ramp, np.float32)

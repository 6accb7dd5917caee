"""Nets, lace and cords: thin things that let a background through everywhere."""

from collections.abc import Sequence

import cv2
import numpy as np

from smart_matte.engine.types import AnyArray, FloatArray, U8Array
from smart_matte.training.chance import draw_log_uniform, happens
from smart_matte.training.layers import Layer
from smart_matte.training.outlines import draw_body_shape, draw_shape
from smart_matte.training.strands import (
    Relief,
    Strands,
    direction_of,
    draw_each,
    draw_strands,
    end_inside,
    keep_width,
    shade_strands,
)
from smart_matte.training.textures import (
    make_noise,
    make_texture,
    pick_colour,
    shade_body,
    vary_colours,
)


def draw_net(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw a net, fence or screen: two or three families of threads, hanging unevenly."""
    spacing_px = draw_log_uniform(random, 5, 50)
    width_px = random.uniform(0.4, min(7.0, 0.35 * spacing_px))
    torn = draw_body_shape(random, size_px, (0.7, 0.94))
    sag_px = random.uniform(0, 0.5) * spacing_px + random.uniform(0, 0.04) * size_px
    sag = [sag_px * make_noise(random, size_px, random.uniform(1, 4), 2) for _ in range(2)]
    turn, skew = random.uniform(0, np.pi), random.uniform(1, 2.1)
    colour = pick_colour(random, photos)
    shadow = 1 + random.uniform(0, 0.5) * make_noise(random, size_px, 3, 4)
    zigzag_px = random.uniform(0.3, 0.5) * spacing_px * happens(random, 0.3)
    layers = []
    for family in range(3 if happens(random, 0.2) else 2):
        threads = _lay_threads(size_px, spacing_px, turn + family * skew, zigzag_px, sag)
        base = vary_colours(random, np.repeat(colour[None], len(threads.along), axis=0), 0.1)
        lit = shade_strands(random, threads, base, random.uniform(0, 0.4))
        uneven = width_px * np.exp(random.normal(0, 0.1, len(base)))
        widths = keep_width(threads.along, uneven)
        layers += draw_strands(
            threads, widths, lit, size_px, layer_count=1, relief=_make_yarn(random, width_px)
        )
    layers = [_within(layer, torn, shadow) for layer in layers]
    return layers + _draw_held(random, photos, size_px)


def draw_lace(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw lace or a perforated sheet: a repeated motif of holes, folded over itself."""
    layers = []
    texture = make_texture(random, photos, size_px)
    plain = np.broadcast_to(pick_colour(random, photos), texture.shape)
    mix = random.uniform(0, 0.6)
    colour = (mix * texture + (1 - mix) * plain).astype(np.float32)
    for _ in range(random.integers(1, 4)):
        cloth = draw_body_shape(random, size_px, (0.5, 0.94))
        coverage = cloth * _punch_motif(random, size_px)
        folds = 1 + random.uniform(0.1, 0.5) * make_noise(random, size_px, random.uniform(2, 8), 4)
        lit = shade_body(random, np.clip(colour * folds[..., None], 0, 1), cloth)
        layers.append(Layer(coverage.astype(np.float32), lit))
    return layers + _draw_held(random, photos, size_px)


def draw_cords(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw cords, cables, ropes and curled ribbons that wind over each other."""
    count = int(random.integers(4, 26))
    median_px = draw_log_uniform(random, 1.5, 16)
    width_px = median_px * np.exp(random.normal(0, random.uniform(0, 0.5), count))
    width_px = np.minimum(width_px, 0.06 * size_px)
    cords = _wind_cords(random, count, size_px, margin_px=3 + width_px.max() / 2)
    palette = np.stack([pick_colour(random, photos) for _ in range(random.integers(1, 4))])
    base = vary_colours(random, palette[random.integers(0, len(palette), count)], 0.2)
    colours = shade_strands(random, cords, base, random.uniform(0, 0.5))
    texture = make_texture(random, photos, size_px)
    rows, columns = np.clip(cords.points_px.astype(int).transpose(2, 0, 1)[::-1], 0, size_px - 1)
    mix = random.uniform(0, 0.7) * happens(random, 0.4)
    colours = ((1 - mix) * colours + mix * texture[rows, columns]).astype(np.float32)
    widths = keep_width(cords.along, width_px)
    if happens(random, 0.25):  # ribbons turn their edge to us
        twist = random.uniform(2, 12) * np.pi * cords.along + random.uniform(0, 6, (count, 1))
        widths = widths * np.maximum(np.abs(np.cos(twist)), 0.15).astype(np.float32)
        colours = np.clip(colours * (0.75 + 0.4 * np.cos(twist))[..., None], 0, 1)
        colours = colours.astype(np.float32)
    layers = draw_each(cords, widths, colours, size_px, _make_yarn(random, median_px))
    return _draw_held(random, photos, size_px) + layers


def _lay_threads(
    size_px: int, spacing_px: float, turn: float, zigzag_px: float, sag: list[FloatArray]
) -> Strands:
    """Lay parallel threads over the whole picture, moved by *sag*."""
    reach = 0.72 * size_px
    offsets = np.arange(-reach, reach, spacing_px)
    way = np.arange(-reach, reach, 0.5)
    signs = np.where(np.arange(len(offsets)) % 2, -1, 1)[:, None]
    wave = zigzag_px * signs * np.sin(np.pi * way / spacing_px)
    across = offsets[:, None] + wave
    columns = size_px / 2 + way * np.cos(turn) - across * np.sin(turn)
    rows = size_px / 2 + way * np.sin(turn) + across * np.cos(turn)
    points = np.stack([columns, rows], axis=2).astype(np.float32)
    x, y = (np.ascontiguousarray(points[..., axis] - np.float32(0.5)) for axis in (0, 1))
    moved = [
        cv2.remap(move, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for move in sag
    ]
    points += np.stack(moved, axis=2)
    along = np.zeros(points.shape[:2], np.float32)
    return Strands(points, along, direction_of(points))


def _wind_cords(random: np.random.Generator, count: int, size_px: int, margin_px: float) -> Strands:
    """Wind smooth curves through the picture: sums of a few waves, some of them closed loops."""
    steps = 5 * size_px
    time = np.linspace(0, 2 * np.pi, steps) * random.uniform(0.3, 1, (count, 1, 1))
    points: AnyArray = size_px * random.uniform(0.3, 0.7, (count, 2, 1)) * np.ones(steps)
    liveliness = random.uniform(0.8, 2)
    for harmonic in range(1, int(random.integers(3, 7))):
        swing = random.normal(0, 0.25 * size_px / harmonic**liveliness, (count, 2, 1))
        points = points + swing * np.sin(harmonic * time + random.uniform(0, 7, (count, 2, 1)))
    points = points.transpose(0, 2, 1).astype(np.float32)
    along = np.broadcast_to(np.linspace(0, 1, steps, dtype=np.float32), (count, steps))
    return end_inside(random, Strands(points, along, direction_of(points)), size_px, margin_px)


def _make_yarn(random: np.random.Generator, width_px: float) -> Relief:
    """Make up how a cord looks across: round, and smooth, twisted or ringed."""
    light, roundness = random.uniform(-0.4, 0.4), random.uniform(0.2, 0.7)
    pitch_px = max(2.0, width_px * random.uniform(0.6, 2.5))
    strength = random.uniform(0.1, 0.5) * happens(random, 0.6)
    slant = random.choice([-1, 0, 1]) * random.uniform(0.2, 0.6)

    def relief(arc_px: AnyArray, across: AnyArray) -> AnyArray:
        twist: AnyArray = np.sin(2 * np.pi * (arc_px / pitch_px + slant * across))
        brightness: AnyArray = 1.1 - roundness * across**2 + light * across
        return np.asarray(brightness * (1 + strength * twist))

    return relief


def _punch_motif(random: np.random.Generator, size_px: int) -> FloatArray:
    """Punch holes where a repeated wave is high: coverage, float32 (S, S)."""
    scale = 2
    side = scale * size_px
    period_px = scale * draw_log_uniform(random, 7, 70)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    warp_px = random.uniform(0, 0.06) * side
    rows += warp_px * make_noise(random, side, 2, 2)
    columns += warp_px * make_noise(random, side, 2, 2)
    turn, lattice = random.uniform(0, np.pi), int(random.choice([2, 3]))
    wave = np.zeros((side, side), np.float32)
    for overtone in (1, int(random.choice([1, 2, 3]))):
        strength = random.uniform(0.3, 1)
        for direction in turn + np.pi * np.arange(lattice) / lattice:
            across = columns * np.cos(direction) + rows * np.sin(direction)
            wave += strength * np.cos(np.float32(2 * np.pi * overtone / period_px) * across)
    level = np.quantile(wave[::7, ::7], random.uniform(0.25, 0.8))
    is_cloth = ((wave < level) | (np.abs(wave - wave.min()) < 0.15 * np.ptp(wave))) * np.float32(1)
    return np.asarray(cv2.resize(is_cloth, (size_px, size_px), interpolation=cv2.INTER_AREA))


def _draw_held(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw what a net holds or a cord hangs on: up to two solid bodies."""
    layers = []
    for _ in range(random.integers(0, 3)):
        body = draw_shape(random, size_px, (0.1, 0.5), corner_share=0.3)
        texture = make_texture(random, photos, size_px)
        layers.append(Layer(body, shade_body(random, texture, body)))
    return layers


def _within(layer: Layer, coverage: FloatArray, brightness: FloatArray) -> Layer:
    colour = np.clip(layer.colour * brightness[..., None], 0, 1)
    return Layer(layer.coverage * coverage, colour.astype(np.float32))

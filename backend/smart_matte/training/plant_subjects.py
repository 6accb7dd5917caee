"""Plants: foliage, bare twigs, grass; large areas of many small islands."""

from collections.abc import Sequence

import numpy as np

from smart_matte.engine.types import AnyArray, FloatArray, U8Array
from smart_matte.training.chance import draw_log_uniform, happens
from smart_matte.training.layers import Layer
from smart_matte.training.outlines import draw_shape
from smart_matte.training.strands import (
    Growth,
    Relief,
    Strands,
    draw_strands,
    grow_strands,
    shade_strands,
    taper,
)
from smart_matte.training.textures import (
    make_noise,
    make_texture,
    pick_colour,
    shade_body,
    vary_colours,
)

LEAF_COLOURS: FloatArray = np.array(
    [(0.25, 0.42, 0.12), (0.45, 0.58, 0.2), (0.15, 0.28, 0.14), (0.75, 0.62, 0.2), (0.7, 0.3, 0.1)],
    np.float32,
)


def draw_foliage(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int
) -> list[Layer]:
    """Draw leaves on twigs, many of them in front of each other."""
    branches, layers = _draw_branches(random, photos, size_px, int(random.integers(1, 4)))
    length_px = draw_log_uniform(random, 0.018, 0.12) * size_px
    breadth = random.uniform(0.15, 0.6)
    fill = draw_log_uniform(random, 0.3, 2)  # leaves' area over the picture's
    count = int(np.clip(fill * size_px**2 / (0.6 * breadth * length_px**2), 60, 1500))
    roots, angles = _pick_on(random, branches, count)
    if happens(random, 0.5):  # twigs too thin to be seen
        roots = roots + random.normal(0, random.uniform(0.3, 1.5) * length_px, roots.shape)
    growth = Growth(length_px, 0.5, 0.3, 0.1, 1, 0.7, 2, 0, random.uniform(0, 1), 0.25)
    leaves = grow_strands(random, roots, angles + random.normal(0, 0.7, count), growth, size_px)
    wide_px = breadth * length_px * np.exp(random.normal(0, 0.2, count))
    along_leaf = np.clip(leaves.along, 0, 1)
    bulge = np.maximum(np.sin(np.pi * along_leaf ** random.uniform(0.6, 1.2)), 0)
    shape = bulge ** random.uniform(0.6, 1.2)
    widths = (wide_px[:, None] * shape).astype(np.float32)
    colours = _shade_leaves(random, photos, leaves, size_px)
    vein = random.uniform(0, 0.3)
    two_tone = random.uniform(0, 0.2)

    def relief(_: AnyArray, across: AnyArray) -> AnyArray:
        return 1 + two_tone * np.sign(across) + vein * np.exp(-((across / 0.12) ** 2))

    return layers + draw_strands(leaves, widths, colours, size_px, layer_count=10, relief=relief)


def draw_twigs(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw bare branches that fork down to the thinnest twigs."""
    layers = []
    if happens(random, 0.3):
        trunk = draw_shape(random, size_px, (0.2, 0.5), corner_share=0.3)
        layers.append(
            Layer(trunk, shade_body(random, make_texture(random, photos, size_px), trunk))
        )
    for _ in range(random.integers(1, 3)):
        layers += _draw_branches(random, photos, size_px, int(random.integers(3, 5)))[1]
    return layers


def draw_grass(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw a tuft of blades, with seeds on some of them."""
    count = int(random.integers(80, 500))
    middle = size_px * np.array([random.uniform(0.35, 0.65), random.uniform(0.7, 0.92)])
    roots = middle + random.normal(0, 1, (count, 2)) * size_px * (random.uniform(0.03, 0.2), 0.02)
    growth = Growth(
        length_px=random.uniform(0.25, 0.7) * size_px,
        spread=random.uniform(0.15, 0.6),
        bend=random.uniform(0.1, 0.9),
        clump_size=int(random.integers(1, 6)),
        variation=0.4,
    )
    blades = grow_strands(random, roots, np.full(count, -np.pi / 2), growth, size_px)
    base = vary_colours(random, _pick_leaf_colours(random, photos, count), 0.15)
    colours = shade_strands(random, blades, base, random.uniform(0, 0.3))
    colours *= np.linspace(random.uniform(0.4, 0.8), 1, count, dtype=np.float32)[:, None, None]
    median_px = draw_log_uniform(random, 0.8, 6)
    widths = taper(blades.along, median_px * np.exp(random.normal(0, 0.3, count)), 0.1)
    return draw_strands(blades, widths, colours, size_px, layer_count=10)


def _draw_branches(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int, levels: int
) -> tuple[Strands, list[Layer]]:
    """Draw branches on branches; returns the last level, for leaves to grow on, and layers."""
    bark = vary_colours(random, pick_colour(random, photos)[None], 0.2)
    length_px, width_px = random.uniform(0.3, 0.7) * size_px, random.uniform(2, 14)
    count = int(random.integers(2, 9))
    roots = size_px * random.uniform(0.12, 0.88, (count, 2))
    toward = size_px / 2 - roots + random.normal(0, 0.15 * size_px, (count, 2))
    angles = np.arctan2(toward[:, 1], toward[:, 0])
    layers: list[Layer] = []
    for _ in range(levels + 1):
        growth = Growth(length_px, 0.15, 0.5, random.uniform(0, 0.5), 3, 0.5, 1, 0, 0, 0.35)
        branches = grow_strands(random, roots, angles, growth, size_px)
        base = vary_colours(random, np.repeat(bark, len(roots), axis=0), 0.12)
        colours = shade_strands(random, branches, base, random.uniform(0, 0.15))
        widths = taper(branches.along, width_px, 0)
        round_light = random.uniform(-0.5, 0.5)
        layers += draw_strands(
            branches,
            np.maximum(widths, 0.4 * (branches.along <= 1)).astype(np.float32),
            colours,
            size_px,
            layer_count=3,
            relief=_round_relief(round_light),
        )
        count = int(min(len(roots) * int(random.integers(3, 8)), 260))
        roots, angles = _pick_on(random, branches, count)
        angles = angles + random.choice([-1, 1], count) * random.uniform(0.3, 1.1, count)
        length_px, width_px = length_px * random.uniform(0.35, 0.6), width_px * 0.5
    return branches, layers


def _pick_on(
    random: np.random.Generator, strands: Strands, count: int
) -> tuple[AnyArray, AnyArray]:
    """Points and directions on strands, where there are any."""
    there = np.argwhere((strands.along > 0.15) & (strands.along <= 1))  # noqa: PLR2004
    if not len(there):
        there = np.argwhere(strands.along == strands.along.min())
    strand, step = there[random.integers(0, len(there), count)].T
    return strands.points_px[strand, step], strands.angle[strand, step]


def _round_relief(light: float) -> Relief:
    def relief(_: AnyArray, across: AnyArray) -> AnyArray:
        return np.asarray(1.05 - 0.35 * across**2 + light * across)

    return relief


def _pick_leaf_colours(
    random: np.random.Generator, photos: Sequence[U8Array], count: int
) -> FloatArray:
    if happens(random, 0.6):
        ends = LEAF_COLOURS[random.integers(0, len(LEAF_COLOURS), 2)]
    else:
        ends = np.stack([pick_colour(random, photos), pick_colour(random, photos)])
    mix = np.clip(random.normal(0.5, 0.3, (count, 1)), 0, 1)
    return np.asarray(ends[0] * (1 - mix) + ends[1] * mix, np.float32)


def _shade_leaves(
    random: np.random.Generator, photos: Sequence[U8Array], leaves: Strands, size_px: int
) -> FloatArray:
    """Light leaves by how each is turned, by depth, and by patches of sun."""
    count, steps = leaves.along.shape
    base = vary_colours(random, _pick_leaf_colours(random, photos, count), 0.2)
    turned = np.clip(random.normal(0.85, random.uniform(0.1, 0.35), (count, 1)), 0.3, 1.6)
    depth = np.linspace(random.uniform(0.35, 0.8), 1, count)[:, None]
    rows, columns = np.clip(leaves.points_px[:, 0].astype(int).T[::-1], 0, size_px - 1)
    sun = 1 + random.uniform(0, 0.5) * make_noise(random, size_px, 3, 3)[rows, columns][:, None]
    lit = np.clip(base * turned * depth * sun, 0, 1).astype(np.float32)
    gloss = random.uniform(0, 0.6) * random.binomial(1, 0.15, (count, 1))
    along = np.linspace(0.85, 1.1, steps)[:, None]
    return np.asarray(np.clip((lit + gloss)[:, None] * along, 0, 1), np.float32)

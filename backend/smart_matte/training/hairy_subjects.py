"""Subjects with hair: short and long hair, fur, feathers, fringes."""

from collections.abc import Sequence

import numpy as np

from smart_matte.engine.types import AnyArray, FloatArray, U8Array
from smart_matte.training.chance import happens
from smart_matte.training.layers import Layer
from smart_matte.training.outlines import (
    draw_body_shape,
    draw_shape,
    find_boundary,
    find_inside,
    make_flow,
)
from smart_matte.training.strands import (
    Growth,
    Strands,
    direction_of,
    draw_strands,
    end_inside,
    grow_strands,
    keep_width,
    shade_strands,
    taper,
)
from smart_matte.training.textures import (
    make_noise,
    make_texture,
    pick_colour,
    pick_hair_colour,
    shade_body,
    vary_colours,
)


def draw_hair(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw a head or body with hair standing off it, in locks and in single strands."""
    body, skin = _draw_skin(random, photos, size_px, (0.45, 0.85))
    colour = _pick_strand_colour(random, photos)
    rim, outward = find_boundary(body)
    inside, flow = find_inside(body)
    toward = random.uniform(0, 2 * np.pi)  # hair grows on this side, and may be combed
    angles = outward + random.normal(0, 0.5)
    is_hairy = np.cos(outward - toward) > random.uniform(-1.4, 0.5)
    rim, angles = (rim[is_hairy], angles[is_hairy]) if is_hairy.sum() > 20 else (rim, angles)  # noqa: PLR2004
    count = int(random.integers(400, 1800))
    chosen = random.integers(0, len(rim), count)
    sunk = np.abs(random.normal(0, random.uniform(0.01, 0.08) * size_px, (count, 1)))
    back = np.stack([np.cos(angles[chosen]), np.sin(angles[chosen])], axis=1)
    roots = rim[chosen] - sunk * back
    growth = _grow_like_hair(random, random.uniform(0.08, 0.35) * size_px)
    layers = [Layer(body, skin)]
    if happens(random, 0.6):  # hair on the body, too
        own = random.integers(0, len(inside), 700)
        lie = flow[own] + make_flow(random, size_px, 2)[tuple(inside[own].astype(int).T[::-1])]
        layers += _draw_lock(random, (inside[own], lie), growth, colour, size_px)
    layers += _draw_lock(random, (roots, angles[chosen]), growth, colour, size_px)
    return layers + _draw_strays(random, rim, angles, colour, size_px)


def draw_long_hair(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int
) -> list[Layer]:
    """Draw long locks that flow from one place, waved or blown about."""
    layers = []
    if happens(random, 0.7):
        body, skin = _draw_skin(random, photos, size_px, (0.25, 0.65))
        layers.append(Layer(body, skin))
        ground, _ = find_inside(body)
    else:
        ground = np.asarray(size_px * random.uniform(0.3, 0.7, (1, 2)), np.float32)
    colour = _pick_strand_colour(random, photos)
    count = int(random.integers(400, 1500))
    scatter_px = random.uniform(0.02, 0.08) * size_px
    near = ground[random.integers(0, len(ground), count)]
    roots = near + random.normal(0, scatter_px, near.shape)
    toward = random.uniform(0, 2 * np.pi)
    side = (roots - roots.mean(axis=0)) @ [-np.sin(toward), np.cos(toward)] / size_px
    angles = toward + random.uniform(0, 5) * side
    growth = _grow_like_hair(random, random.uniform(0.3, 0.6) * size_px)
    layers += _draw_lock(random, (roots, angles), growth, colour, size_px)
    return layers + _draw_strays(random, roots, angles, colour, size_px)


def draw_fur(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> list[Layer]:
    """Draw an animal: fur all over, with the pattern of its skin in it."""
    body, skin = _draw_skin(random, photos, size_px, (0.6, 0.9))
    if happens(random, 0.6):  # most animals have a colour
        coat = pick_hair_colour(random)
        skin = np.clip(coat + random.uniform(0.2, 0.8) * (skin - skin.mean(axis=(0, 1))), 0, 1)
        skin = skin.astype(np.float32)
    inside, outward = find_inside(body)
    rim, rim_outward = find_boundary(body)
    count, rim_count = int(random.integers(1000, 2200)), int(random.integers(700, 1600))
    own = random.integers(0, len(inside), count)
    edge = random.integers(0, len(rim), rim_count)
    roots = np.concatenate([inside[own], rim[edge]])
    roots += random.normal(0, 1.5, roots.shape)
    combed = np.where(happens(random, 0.5), random.uniform(0, 2 * np.pi), outward[own])
    angles = np.concatenate([combed, rim_outward[edge]])
    rows, columns = np.clip(roots.astype(int).T[::-1], 0, size_px - 1)
    angles = angles + make_flow(random, size_px, random.uniform(0.3, 1.5))[rows, columns]
    order = random.permutation(count + rim_count)
    roots, angles, rows, columns = roots[order], angles[order], rows[order], columns[order]
    growth = Growth(
        length_px=random.uniform(0.03, 0.12) * size_px,
        spread=random.uniform(0.05, 0.3),
        bend=random.uniform(0, 0.7),
        curl=random.uniform(0, 1) * happens(random, 0.3),
        clump_size=int(random.integers(4, 25)),
        clumping=random.uniform(0, 0.8),
    )
    strands = grow_strands(random, roots, angles, growth, size_px)
    base = vary_colours(random, skin[rows, columns], random.uniform(0.08, 0.25))
    colours = shade_strands(random, strands, base, random.uniform(0, 0.35))
    colours *= _depth_light(random, len(roots))
    widths = taper(strands.along, _spread_widths(random, len(roots), (0.4, 1.8)))
    return [Layer(body, skin), *draw_strands(strands, widths, colours, size_px, layer_count=8)]


def draw_feathers(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int
) -> list[Layer]:
    """Draw feathers: barbs to both sides of a bent shaft, in vanes that split, with down."""
    layers = []
    if happens(random, 0.4):
        layers.append(Layer(*_draw_skin(random, photos, size_px, (0.3, 0.6))))
    texture = make_texture(random, photos, size_px)
    colour = _pick_strand_colour(random, photos)
    for _ in range(random.integers(1, 7)):
        layers += _draw_feather(random, texture, colour, size_px)
    return layers


def draw_fringe(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int
) -> list[Layer]:
    """Draw a cloth from whose edge threads hang in tassels."""
    cloth = draw_shape(random, size_px, (0.5, 0.85), (0.03, 0.2), corner_share=0.6)
    texture = make_texture(random, photos, size_px)
    weave = 1 + 0.12 * make_noise(random, size_px, size_px / 2.5, 1)
    layers = [Layer(cloth, shade_body(random, np.clip(texture * weave[..., None], 0, 1), cloth))]
    rim, outward = find_boundary(cloth)
    down = random.uniform(0, 2 * np.pi)
    hangs = np.cos(outward - down) > random.uniform(-0.3, 0.6)
    rim, outward = (rim[hangs], outward[hangs]) if hangs.sum() > 20 else (rim, outward)  # noqa: PLR2004
    tassels = rim[random.permutation(len(rim))[: int(random.integers(12, 80))]]
    per_tassel = int(random.integers(2, 16))
    roots = np.repeat(tassels, per_tassel, axis=0)
    roots = roots + random.normal(0, random.uniform(0.5, 3), roots.shape)
    rows, columns = np.clip(tassels.astype(int).T[::-1], 0, size_px - 1)
    growth = Growth(
        length_px=random.uniform(0.06, 0.28) * size_px,
        spread=random.uniform(0.03, 0.3),
        bend=random.uniform(0, 0.6),
        curl=random.uniform(0, 0.8),
        turns=random.uniform(1, 6),
        clump_size=per_tassel,
        clumping=random.uniform(0, 0.9),
        variation=0.12,
    )
    strands = grow_strands(random, roots, np.full(len(roots), down), growth, size_px)
    thread = pick_colour(random, photos) if happens(random, 0.4) else None
    base = np.repeat(texture[rows, columns], per_tassel, axis=0) if thread is None else thread
    base = vary_colours(random, np.broadcast_to(base, (len(roots), 3)), 0.15)
    colours = shade_strands(random, strands, base, random.uniform(0, 0.4))
    colours *= _depth_light(random, len(roots))
    widths = keep_width(strands.along, _spread_widths(random, len(roots), (0.5, 2.5)))
    return layers + draw_strands(strands, widths, colours, size_px, layer_count=6)


def _draw_skin(
    random: np.random.Generator,
    photos: Sequence[U8Array],
    size_px: int,
    extent: tuple[float, float],
) -> tuple[FloatArray, FloatArray]:
    """Coverage and shaded colour of the body that hair grows on."""
    body = draw_body_shape(random, size_px, extent)
    return body, shade_body(random, make_texture(random, photos, size_px), body)


def _pick_strand_colour(random: np.random.Generator, photos: Sequence[U8Array]) -> FloatArray:
    return pick_hair_colour(random) if happens(random, 0.7) else pick_colour(random, photos)


def _grow_like_hair(random: np.random.Generator, length_px: float) -> Growth:
    is_curly = happens(random, 0.4)
    return Growth(
        length_px=length_px,
        spread=random.uniform(0.05, 0.5),
        bend=random.uniform(0.1, 1.5),
        curl=random.uniform(0.3, 1.6) if is_curly else random.uniform(0, 0.2),
        turns=random.uniform(1, 6),
        frizz=random.uniform(0.1, 0.6),
        clump_size=int(random.integers(4, 60)),
        clumping=random.uniform(0, 0.9),
        gravity=random.uniform(-0.5, 1.5) * happens(random, 0.5),
        variation=random.uniform(0.1, 0.5),
    )


def _draw_lock(
    random: np.random.Generator,
    roots: tuple[AnyArray, AnyArray],
    growth: Growth,
    colour: FloatArray,
    size_px: int,
) -> list[Layer]:
    """Draw hair of one kind and colour from *roots*: where (N, 2), and which way (N,)."""
    strands = grow_strands(random, *roots, growth, size_px)
    count = len(strands.points_px)
    colours = vary_colours(random, np.broadcast_to(colour, (count, 3)), random.uniform(0.05, 0.3))
    lit = shade_strands(random, strands, colours, random.uniform(0, 0.6))
    lit *= _depth_light(random, count)
    widths = taper(strands.along, _spread_widths(random, count, (0.3, 1.6)), random.random() * 0.9)
    return draw_strands(strands, widths, lit, size_px, layer_count=int(random.integers(5, 10)))


def _draw_strays(
    random: np.random.Generator,
    ground_px: AnyArray,
    angles: AnyArray,
    colour: FloatArray,
    size_px: int,
) -> list[Layer]:
    """Draw the few fine hairs that go their own way."""
    count = int(random.integers(5, 80))
    own = random.integers(0, len(ground_px), count)
    growth = Growth(
        length_px=random.uniform(0.1, 0.4) * size_px,
        spread=0.7,
        bend=random.uniform(0.3, 2.5),
        curl=random.uniform(0, 0.4),
        clump_size=1,
    )
    strands = grow_strands(random, ground_px[own], angles[own], growth, size_px)
    colours = vary_colours(random, np.broadcast_to(colour, (count, 3)), 0.2)
    lit = shade_strands(random, strands, colours, random.uniform(0.1, 0.7))
    widths = taper(strands.along, _spread_widths(random, count, (0.2, 0.7)), 0.6)
    return draw_strands(strands, widths, lit, size_px, layer_count=2)


def _draw_feather(
    random: np.random.Generator, texture: FloatArray, colour: FloatArray, size_px: int
) -> list[Layer]:
    """Draw one feather: barbs under its shaft."""
    shaft = _draw_shaft(random, size_px)
    points, angle = shaft.points_px[0], shaft.angle[0]
    length_px = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    count = int(length_px * random.uniform(2.5, 5))
    where = np.sort(random.random(count))
    at = (where * (len(points) - 1)).astype(int)
    side = np.where(random.random(count) < 0.5, -1, 1)  # noqa: PLR2004
    splits = make_noise(random, 64, random.uniform(2, 12), 2)[0][(where * 63).astype(int)]
    lean = random.uniform(0.3, 0.8) + 0.15 * np.round(2 * splits) * side
    vane = np.maximum(np.sin(np.pi * (0.06 + 0.94 * where)), 0) ** random.uniform(0.3, 0.9)
    reach_px = random.uniform(0.1, 0.32) * length_px
    is_down = where < random.uniform(0, 0.3)
    growth = Growth(reach_px, 0.05, 0.1, random.uniform(0, 0.2), 2, 0.5, 12, 0.2, 0, 0.08)
    barbs = grow_strands(random, points[at], angle[at] + side * lean, growth, size_px)
    # A strand beyond its own share of the vane is cut, so that the vane gets its outline.
    shorter = np.maximum(vane * np.where(is_down, random.uniform(0.4, 1, count), 1), 0.05)
    barbs = barbs._replace(along=(barbs.along / shorter[:, None]).astype(np.float32))
    rows, columns = np.clip(points[at].astype(int).T[::-1], 0, size_px - 1)
    mix = random.uniform(0, 1)
    base = vary_colours(random, (1 - mix) * colour + mix * texture[rows, columns], 0.1)
    bands = 1 + random.uniform(0, 0.6) * np.sin(
        random.uniform(5, 60) * (where[:, None] + random.uniform(-0.4, 0.4) * barbs.along)
    )
    lit = shade_strands(random, barbs, base, random.uniform(0, 0.3))
    lit = np.clip(lit * bands[..., None], 0, 1).astype(np.float32)
    widths = taper(barbs.along, np.where(is_down, 0.5, random.uniform(0.5, 1.3)), 0.2)
    order = random.permutation(count)
    picked = Strands(*(array[order] for array in barbs))
    layers = draw_strands(picked, widths[order], lit[order], size_px, layer_count=4)
    stem = shade_strands(random, shaft, vary_colours(random, colour[None], 0.4), 0.3)
    return layers + draw_strands(
        shaft, taper(shaft.along, random.uniform(1, 4), 0), stem, size_px, layer_count=1
    )


def _draw_shaft(random: np.random.Generator, size_px: int) -> Strands:
    """Bend a shaft through the middle of the picture."""
    steps = int(size_px * 1.6)
    along = np.linspace(0, 1, steps, dtype=np.float32)[None]
    turn = random.uniform(0, 2 * np.pi) + random.normal(0, 0.8) * along
    length_px = random.uniform(0.5, 0.95) * size_px
    points = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=2), axis=1)
    points = points * (length_px / steps)
    middle = size_px * random.uniform(0.4, 0.6, 2)
    points = (points - points.mean(axis=1, keepdims=True) + middle).astype(np.float32)
    return end_inside(random, Strands(points, along, direction_of(points)), size_px)


def _spread_widths(
    random: np.random.Generator, count: int, medians_px: tuple[float, float]
) -> AnyArray:
    """Widths of strands, (count,), around a median that is drawn between the two given."""
    median = np.exp(random.uniform(*np.log(medians_px)))
    return np.asarray(median * np.exp(np.minimum(random.normal(0, 0.3, count), 0.9)))


def _depth_light(random: np.random.Generator, count: int) -> FloatArray:
    """Brightness (count, 1, 1) of strands from back to front: what lies behind is in shadow."""
    dark = random.uniform(0.3, 0.9)
    return np.linspace(dark, 1, count, dtype=np.float32)[:, None, None]

"""
Strands: thin bands along curves, drawn with true coverage however thin they are.

A band is cut into small squares, and each gives its area to the pixels that it touches: a hair
0.3 pixels wide covers 0.3 pixels for each pixel of its length, and width and colour may change
along it. Hair is this, and so are barbs, threads, cords, twigs, and leaves, which are short and
wide.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smart_matte.engine.types import AnyArray, FloatArray
from smart_matte.training.chance import draw_log_uniform
from smart_matte.training.layers import Layer

STEP_PX = 0.5
"""Side of the small squares: below it the pixels' own size hides what they are."""

FULL_ABOVE = 1.06
"""
What coverage of bands many squares wide is multiplied with before it ends at 1.

Squares along a curve overlap and gape by a few percent: solid cords would be full of holes that
hardly let anything through.
"""

Relief = Callable[[AnyArray, AnyArray], AnyArray]
"""Brightness (L, K) over the way along a strand in pixels (K,), and across it, (L, 1), [-1, 1]."""


class Strands(NamedTuple):
    """
    N curves of M points each.

    Attributes:
        points_px: (x, y), float32 (N, M, 2); a pixel's centre lies at its index plus 0.5.
        along: share of the strand's length, float32 (N, M), from 0 at the root to 1 at the tip;
            beyond 1 there is no strand any more.
        angle: direction, float32 (N, M), radians.
    """

    points_px: FloatArray
    along: FloatArray
    angle: FloatArray


class Squares(NamedTuple):
    """Small squares that bands are cut into: centres and areas (K,), colours (K, 3)."""

    x_px: FloatArray
    y_px: FloatArray
    area: FloatArray
    colours: FloatArray


class Growth(NamedTuple):
    """
    How strands grow.

    Attributes:
        length_px: median length.
        spread: difference in direction between clumps, radians.
        bend: turn from root to tip, radians; its standard deviation over clumps.
        curl: swing of the curls, radians.
        turns: number of curls from root to tip.
        frizz: how far strands differ from their clump in all this, as a share.
        clump_size: strands in a clump.
        clumping: share by which tips close up to the tip of their clump's first strand.
        gravity: pull downwards, radians at the tip for a strand that is level.
        variation: standard deviation of the logarithm of length.
    """

    length_px: float
    spread: float = 0.2
    bend: float = 0.3
    curl: float = 0.0
    turns: float = 2.0
    frizz: float = 0.3
    clump_size: int = 10
    clumping: float = 0.0
    gravity: float = 0.0
    variation: float = 0.3


def grow_strands(
    random: np.random.Generator,
    roots_px: AnyArray,
    angles: AnyArray,
    growth: Growth,
    size_px: int,
) -> Strands:
    """
    Grow a strand from each root.

    Strands end before the border, each at another place, so that no drawing is cut off straight.

    Args:
        random: where the randomness comes from.
        roots_px: (x, y), (N, 2).
        angles: initial direction of each, (N,), radians.
        growth: how.
        size_px: side S of the picture.
    """
    count = len(roots_px)
    clump, leader = _gather_clumps(random, roots_px, growth.clump_size)
    clump_count = len(leader)

    def vary(amount: float) -> AnyArray:  # alike in a clump, a little different in each strand
        common = random.normal(0, 1, clump_count)[clump]
        return amount * (common + growth.frizz * random.normal(0, 1, count))[:, None]

    deviation = np.clip(random.normal(0, growth.variation, count), -2, 0.7)
    length_px = growth.length_px * np.exp(deviation)
    point_count = max(4, int(np.ceil(length_px.max() / STEP_PX)))
    along = np.linspace(0, 1, point_count, dtype=np.float32)
    phase, turns = vary(np.pi), growth.turns * np.exp(vary(0.3))
    course = angles[:, None] + vary(growth.spread) + vary(growth.bend) * along
    course += growth.curl * np.sin(2 * np.pi * turns * along + phase) * np.sqrt(along)
    angle: FloatArray = (course + growth.gravity * along * np.cos(course)).astype(np.float32)
    step = (length_px / point_count)[:, None, None].astype(np.float32)
    steps_px = np.stack([np.cos(angle), np.sin(angle)], axis=2) * step
    roots = np.asarray(roots_px, np.float32)[:, None]
    points = np.asarray(roots + np.cumsum(steps_px, axis=1) - steps_px, np.float32)
    if growth.clumping:
        closing = (growth.clumping * along**1.3)[None, :, None]
        closing = closing * random.uniform(0.5, 1, (count, 1, 1)).astype(np.float32)
        points += closing * (points[leader][clump] - points)
        angle = direction_of(points)
    return end_inside(random, Strands(points, np.broadcast_to(along, angle.shape), angle), size_px)


def direction_of(points_px: FloatArray) -> FloatArray:
    """Direction of curves (N, M, 2), float32 (N, M), radians."""
    change = np.gradient(points_px, axis=1)
    return np.arctan2(change[..., 1], change[..., 0])


def end_inside(
    random: np.random.Generator, strands: Strands, size_px: int, margin_px: float = 3
) -> Strands:
    """Shorten strands that would come within *margin_px* of the border; some end well before."""
    squared = (strands.points_px / np.float32(size_px / 2) - 1) ** 2
    reach = squared[..., 0] ** 3 + squared[..., 1] ** 3
    nearest = 1 - 2 * margin_px / size_px
    limit = (nearest * (1 - np.minimum(0.3, random.exponential(0.06, (len(reach), 1))))) ** 6
    is_out = reach > limit
    first = np.where(is_out.any(axis=1), is_out.argmax(axis=1), is_out.shape[1] - 1)
    end = np.take_along_axis(strands.along, first[:, None], axis=1)
    along = strands.along / np.maximum(end, np.float32(1e-6))
    is_lost = (first == 0)[:, None]
    return strands._replace(along=np.where(is_lost, np.float32(2), along))


def taper(along: FloatArray, width_px: AnyArray | float, thin_from: float = 0.3) -> FloatArray:
    """Widths (N, M) of strands that thin out towards the tip; *width_px* is (N,) or a number."""
    thinning = np.clip((1 - along) / (1 - thin_from), 0, 1) ** 0.8
    return np.asarray(np.atleast_1d(width_px)[:, None] * thinning, np.float32)


def keep_width(along: FloatArray, width_px: AnyArray | float) -> FloatArray:
    """Widths (N, M) of strands as wide at the tip as at the root."""
    return np.asarray(np.atleast_1d(width_px)[:, None] * (along <= 1), np.float32)


def shade_strands(
    random: np.random.Generator, strands: Strands, colours: FloatArray, gloss: float
) -> FloatArray:
    """
    Light strands as thin cylinders: brightest where they lie across the light, with a sheen.

        diffuse = sqrt(1 - (t·l)^2)        specular = sqrt(1 - (t·h)^2)^p

    Args:
        random: where the randomness comes from.
        strands: for their directions t.
        colours: of each, float32 (N, 3), [0, 1].
        gloss: strength of the sheen, [0, 1].

    Returns:
        float32 (N, M, 3), [0, 1].

    Source:
        Kajiya and Kay 1989, "Rendering fur with three dimensional textures", equations 13 and
        16; h is the half-way direction instead of their reflected ray.
    """
    count = len(colours)
    turn, tilt = random.uniform(0, 2 * np.pi), random.uniform(0.5, 1)
    lean = random.normal(0, 0.12, (count, 1)).astype(np.float32)
    cosine = np.float32(tilt) * np.cos(strands.angle - np.float32(turn))
    diffuse = np.sqrt(1 - cosine**2)
    shift = np.float32(random.uniform(-0.4, 0.4))
    specular = np.maximum(1 - np.clip(cosine + shift + lean, -1, 1) ** 2, 0)
    specular **= np.float32(draw_log_uniform(random, 3, 25))
    root_shadow = 1 - np.float32(random.uniform(0, 0.5)) * np.exp(-6 * strands.along)
    tip_light = 1 + np.float32(random.uniform(-0.1, 0.35)) * np.minimum(strands.along, 1)
    ambient = np.float32(random.uniform(0.35, 0.7))
    lit = (ambient + (1.1 - ambient) * diffuse) * root_shadow * tip_light
    sheen = np.float32(gloss) * (0.25 + 0.75 * colours) ** np.float32(0.5)
    shaded = colours[:, None] * lit[..., None] + sheen[:, None] * specular[..., None]
    return np.asarray(np.clip(shaded, 0, 1), np.float32)


def draw_strands(
    strands: Strands,
    widths_px: FloatArray,
    colours: FloatArray,
    size_px: int,
    *,
    layer_count: int,
    relief: Relief | None = None,
) -> list[Layer]:
    """
    Draw strands into layers: the first of them in the backmost, the last in the frontmost.

    Strands of one layer lie beside each other: where they meet, coverage adds up to at most 1
    and colours mix. Layers lie over each other.

    Args:
        strands: N curves.
        widths_px: float32 (N, M); 0 draws nothing.
        colours: float32 (N, M, 3), [0, 1].
        size_px: side S of the layers.
        layer_count: how many.
        relief: brightness across and along; None for flat.
    """
    layers = []
    for part in np.array_split(np.arange(len(widths_px)), min(layer_count, len(widths_px))):
        chosen = Strands(*(array[part] for array in strands))
        squares = list(_cut_bands(chosen, widths_px[part], colours[part], relief))
        layers.append(_add_squares(squares, size_px))
    return layers


def draw_each(
    strands: Strands,
    widths_px: FloatArray,
    colours: FloatArray,
    size_px: int,
    relief: Relief | None = None,
) -> list[Layer]:
    """Draw strands as draw_strands does, each over those before it."""
    count = len(widths_px)
    return draw_strands(strands, widths_px, colours, size_px, layer_count=count, relief=relief)


def _cut_bands(
    strands: Strands, widths_px: FloatArray, colours: FloatArray, relief: Relief | None
) -> Iterator[Squares]:
    """Cut bands into lanes, and lanes into squares; bands of about the same width together."""
    widest = widths_px.max(axis=1, initial=0)
    powers = np.ceil(2 * np.log2(np.maximum(widest / STEP_PX, 1)))
    for power in np.unique(powers[widest > 0]):
        own = (powers == power) & (widest > 0)
        lanes_per_band = int(np.ceil(2 ** (power / 2)))
        gain = 1.0 if lanes_per_band <= 2 else FULL_ABOVE  # noqa: PLR2004  (no gaps in a pixel)
        points, angle, width_px = strands.points_px[own], strands.angle[own], widths_px[own]
        steps_px = _step_lengths(points)
        drawn = np.flatnonzero(width_px)
        x, y = points.reshape(-1, 2)[drawn].T
        width_px = width_px.ravel()[drawn]
        lane = ((np.arange(lanes_per_band) + 0.5) / lanes_per_band * 2 - 1).astype(np.float32)
        lane = lane[:, None]
        offset_px = lane / 2 * width_px
        # In a bend the outer lanes are longer than the curve, the inner ones shorter.
        length_px = steps_px.ravel()[drawn] - offset_px * _turns(angle).ravel()[drawn]
        area = np.maximum(length_px, 0) * (width_px * np.float32(gain / lanes_per_band))
        angle = angle.ravel()[drawn]
        lit = np.broadcast_to(colours[own].reshape(-1, 3)[drawn], (*area.shape, 3))
        if relief is not None:
            lit = lit * relief(np.cumsum(steps_px, axis=1).ravel()[drawn], lane)[..., None]
        x, y = x - np.sin(angle) * offset_px, y + np.cos(angle) * offset_px
        yield Squares(x.ravel(), y.ravel(), area.ravel(), lit.reshape(-1, 3))


def _add_squares(squares: list[Squares], size_px: int) -> Layer:
    """Share each square's area out among the four pixels that it may touch."""
    if not squares:
        empty = np.zeros((size_px, size_px), np.float32)
        return Layer(empty, np.zeros((size_px, size_px, 3), np.float32))
    x, y, area, colours = (np.concatenate(arrays) for arrays in zip(*squares, strict=True))
    left, right = _split_axis(x)
    top, down = _split_axis(y)
    is_inside = (left >= 0) & (left < size_px - 1) & (top >= 0) & (top < size_px - 1)
    if not is_inside.all():
        left, right, top, down = left[is_inside], right[is_inside], top[is_inside], down[is_inside]
        area, colours = area[is_inside], colours[is_inside]
    shares = ((1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down)
    weights = np.stack(shares) * area
    places = (top * size_px + left) + np.array([[0], [1], [size_px], [size_px + 1]])
    sums = np.stack(
        [
            np.bincount(places.ravel(), (weights * value).ravel(), size_px * size_px)
            for value in (1, *colours.T)
        ]
    )
    colour = sums[1:] / np.maximum(sums[0], 1e-12)
    shape = (size_px, size_px)
    return Layer(
        np.minimum(sums[0], 1).reshape(shape).astype(np.float32),
        np.clip(colour.T, 0, 1).reshape(*shape, 3).astype(np.float32),
    )


def _split_axis(centre_px: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """First pixel that squares touch along one axis, and their share in the one after it."""
    start = centre_px - np.float32(STEP_PX / 2)
    first = np.floor(start)
    beyond = np.clip((start - first - 1) / np.float32(STEP_PX) + 1, 0, 1)
    return first.astype(np.intp), np.asarray(beyond, np.float32)


def _step_lengths(points_px: FloatArray) -> FloatArray:
    """Length that each point of curves (N, M, 2) stands for, so that they add up to the whole."""
    steps = np.diff(points_px, axis=1)
    return _halve_between(np.hypot(steps[..., 0], steps[..., 1]))


def _turns(angle: FloatArray) -> FloatArray:
    """Change of direction that each point of curves (N, M) stands for, radians."""
    change = np.diff(angle, axis=1)
    return _halve_between(change - np.float32(2 * np.pi) * np.rint(change / np.float32(2 * np.pi)))


def _halve_between(steps: AnyArray) -> FloatArray:
    """Give half of each step (N, M - 1) to the points at its ends, (N, M)."""
    shares = np.zeros((len(steps), steps.shape[1] + 1), np.float32)
    shares[:, :-1] += steps / 2
    shares[:, 1:] += steps / 2
    return shares


def _gather_clumps(
    random: np.random.Generator, roots_px: AnyArray, clump_size: int
) -> tuple[AnyArray, AnyArray]:
    """Clump of each strand, (N,), and the index of each clump's first strand."""
    count = len(roots_px)
    leaders = random.permutation(count)[: max(1, count // clump_size)]
    x, y = np.asarray(roots_px, np.float32).T
    distances = (x[:, None] - x[leaders]) ** 2 + (y[:, None] - y[leaders]) ** 2
    return distances.argmin(axis=1), leaders

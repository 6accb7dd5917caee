"""Draws the trimaps that users, data sets and our own builder would make for a known alpha."""

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)

from smart_matte.engine.types import UNKNOWN
from smart_matte.training.distances import squared_distance_to
from smart_matte.training.draws import change_some, choose, column, draw_waves

SMALLEST_RADIUS_PX, USUAL_RADIUS_PX, LARGEST_RADIUS_PX = 2.0, 25.0, 40.0
SHARE_WIDE = 0.3
"""How often radii reach up to the largest, not only to the usual."""

RADIUS_SHARE = 1 / 6
"""Of the picture's side: radii stay below it, or small crops would know nothing."""

THIN, SHARE_THIN = 0.005, 0.8
THICK = 0.05
"""Opacity up to which a pixel may pass for empty: what a data set's or a user's eye overlooks."""

SHARE_LASSO, SHARE_COARSE = 0.2, 0.25
"""How often trimaps are drawn by hand, or built from a coarse segmentation; else by dilation."""

WRONG_SHARE = 0.03
"""Of a lasso's pixels: the most that it may call known and be mistaken."""

MARGIN_PX = (1.5, 6.0)
"""Around every mixed pixel in coarse trimaps."""

SHARE_ISLANDS, SHARE_ISLANDS_OUTSIDE = 0.4, 0.1
"""How often trimaps leave islands unknown where the subject is full, and where it is not at all."""

ISLAND_CELLS = (5, 40)
"""Hills of the waves that the islands stand out of, along a side: islands of 3 to 30 px."""

ISLAND_HEIGHT = (0.7, 1.6)
"""Of those waves, from which on there is an island: a fifth to a fiftieth of the area."""

DAB_DEPTH = 0.7
"""Share of the greatest depth from which on a dab of the brush is known, where nothing else is."""


def draw_trimaps(alpha: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """
    Draw one trimap for each alpha.

    Mixed pixels are unknown, and so is a band on both sides of them, whose radii differ. Of the
    trimaps, SHARE_LASSO wobble as if drawn by hand and are mistaken here and there, and
    SHARE_COARSE follow a coarse segmentation instead of the alpha, with all holes filled. Some
    have unknown islands that hold nothing mixed: holes that people suspected and there are none.
    Where full or empty pixels exist, some are known.

    Args:
        alpha: float32 (N, 1, S, S), [0, 1].
        random: for the parameters.
        noise: for the wobble, on the device of *alpha*.

    Returns:
        float32 (N, 1, S, S); 0 background, 0.5 unknown, 1 foreground.
    """
    count, _, side_px, _ = alpha.shape
    threshold = column(np.where(random.random(count) < SHARE_THIN, THIN, THICK), alpha)
    is_foreground, is_background = alpha >= 1 - threshold, alpha <= threshold
    kind = random.random(count)
    lassos = np.flatnonzero(kind < SHARE_LASSO)
    coarse = np.flatnonzero((kind >= SHARE_LASSO) & (kind < SHARE_LASSO + SHARE_COARSE))
    inner_px, outer_px = (_draw_radii(count, side_px, random) for _ in range(2))
    for radii in (inner_px, outer_px):
        radii[coarse] = random.uniform(*MARGIN_PX, len(coarse))
    reach_px = math.ceil(max(inner_px.max(), outer_px.max()))

    trimap = torch.full_like(alpha, UNKNOWN)
    for known, region, radii in ((1, is_foreground, inner_px), (0, is_background, outer_px)):
        depth = squared_distance_to(~region, reach_px)
        trimap = trimap.masked_fill(depth > column(radii, alpha) ** 2, known)
    if len(lassos):
        places = torch.from_numpy(lassos).to(alpha.device)
        regions = is_foreground[places], is_background[places]
        radii_px = column(inner_px[lassos], alpha), column(outer_px[lassos], alpha)
        trimap[places] = _lasso(regions, radii_px, reach_px, random, noise)
    if len(coarse):
        places = torch.from_numpy(coarse).to(alpha.device)
        trimap[places] = _coarsen(trimap[places], alpha[places], random)
    for known, share in ((1, SHARE_ISLANDS), (0, SHARE_ISLANDS_OUTSIDE)):
        islands = choose(random, count, share)
        add = partial(_with_islands, known=known, random=random, noise=noise)
        trimap = change_some(trimap, islands, add)
    for known, region in ((1, is_foreground), (0, is_background)):
        trimap = _dab_where_nothing_is_known(trimap, region, known, random)
    return trimap


def is_mistaken(trimap: Tensor, alpha: Tensor, threshold: float = THICK) -> Tensor:
    """Whether a pixel is called known and isn't, bool of the trimap's shape."""
    return ((trimap == 1) & (alpha < 1 - threshold)) | ((trimap == 0) & (alpha > threshold))


def _draw_radii(count: int, side_px: int, random: np.random.Generator) -> NDArray[np.float64]:
    largest_px = np.where(random.random(count) < SHARE_WIDE, LARGEST_RADIUS_PX, USUAL_RADIUS_PX)
    largest_px = np.minimum(largest_px, max(SMALLEST_RADIUS_PX, RADIUS_SHARE * side_px))
    return SMALLEST_RADIUS_PX * (largest_px / SMALLEST_RADIUS_PX) ** random.random(count)


def _lasso(
    regions: tuple[Tensor, Tensor],
    radii_px: tuple[Tensor, Tensor],
    reach_px: int,
    random: np.random.Generator,
    noise: torch.Generator,
) -> Tensor:
    """
    Bands between two lines drawn by a hand that wavers.

    Both lines stray from the outline by a smooth offset and keep a distance from each other that
    varies; where the hand strays farther than that, it cuts into the subject or takes some of
    the background along. Where more than WRONG_SHARE of the picture would be mistaken, those
    pixels are unknown instead.
    """
    is_foreground, is_background = regions
    count, _, size_px, _ = is_foreground.shape
    cells = int(random.integers(4, 9))
    stray, width = draw_waves((2 * count, 1), size_px, cells, noise).chunk(2)
    mean_px = (radii_px[0] + radii_px[1]) / 2
    stray = stray * mean_px * column(random.uniform(0.1, 0.7, count), mean_px)
    widening = torch.exp(column(random.uniform(0.1, 0.5, count), mean_px) * width)
    trimap = torch.full_like(stray, UNKNOWN)
    for known, region, radius_px, offset in (
        (1, is_foreground, radii_px[0], stray),
        (0, is_background, radii_px[1], -stray),
    ):
        inside, outside = (
            squared_distance_to(side, reach_px).float().sqrt() for side in (~region, region)
        )
        line = (radius_px * widening + offset).clamp(-reach_px, reach_px)
        trimap = trimap.masked_fill(inside - outside > line, known)
    is_wrong = ((trimap == 1) & ~is_foreground) | ((trimap == 0) & ~is_background)
    is_too_much = is_wrong.float().mean(dim=(1, 2, 3), keepdim=True) > WRONG_SHARE
    return trimap.masked_fill(is_wrong & is_too_much, UNKNOWN)


def _coarsen(trimap: Tensor, alpha: Tensor, random: np.random.Generator) -> Tensor:
    """
    Keep what is known only where a segmentation in blocks, with its holes filled, agrees.

    As ``engine.trimap`` does with a network's opinion: its outline is off by up to half a block,
    and has a band on either side.
    """
    size = alpha.shape[-2:]
    block_px = int(random.integers(8, 25))
    cells = max(2, size[0] // block_px), max(2, size[1] // block_px)
    blocks = F.adaptive_avg_pool2d(alpha, cells) > 0.5  # noqa: PLR2004  (half covered)
    blocks = fill_holes(blocks)
    smooth = F.interpolate(blocks.to(alpha.dtype), size=size, mode="bilinear")
    is_subject = smooth > 0.5  # noqa: PLR2004  (halfway between blocks)
    for known, region, radii_px in (
        (1, is_subject, random.uniform(4, 12, len(alpha))),
        (0, ~is_subject, random.uniform(7, 20, len(alpha))),
    ):
        reach_px = math.ceil(radii_px.max())
        is_near = squared_distance_to(~region, reach_px) <= column(radii_px, alpha) ** 2
        trimap = trimap.masked_fill((trimap == known) & is_near, UNKNOWN)
    return trimap


def _with_islands(
    trimap: Tensor, known: float, random: np.random.Generator, noise: torch.Generator
) -> Tensor:
    """Leave round patches of what is *known* unknown, alike in number and size in all of a call."""
    cells = round(math.exp(random.uniform(*np.log(ISLAND_CELLS))))
    waves = draw_waves((len(trimap), 1), trimap.shape[-1], cells, noise)
    heights = column(random.uniform(*ISLAND_HEIGHT, len(trimap)), trimap)
    return trimap.masked_fill((trimap == known) & (waves > heights), UNKNOWN)


def fill_holes(region: Tensor) -> Tensor:
    """
    Add what no path outside of a region connects to the border; paths go up, down and sideways.

    Args:
        region: bool (N, 1, H, W), of a few hundred pixels: the time grows with the longest path.
    """
    free = F.pad(~region, (1, 1, 1, 1), value=True)
    outside = torch.zeros_like(free)
    outside[..., 0, 0] = True
    while True:
        reached = outside.clone()
        reached[..., 1:, :] |= outside[..., :-1, :]
        reached[..., :-1, :] |= outside[..., 1:, :]
        reached[..., :, 1:] |= outside[..., :, :-1]
        reached[..., :, :-1] |= outside[..., :, 1:]
        reached &= free
        if torch.equal(reached, outside):
            return ~outside[..., 1:-1, 1:-1]
        outside = reached


def _dab_where_nothing_is_known(
    trimap: Tensor, region: Tensor, known: float, random: np.random.Generator
) -> Tensor:
    """Dab the brush where a region is deepest, in pictures whose trimap knows none of it."""
    dab_px = column(random.uniform(6, 30, len(trimap)), trimap)
    is_missing = region.any(dim=(1, 2, 3)) & ~(trimap == known).any(dim=(1, 2, 3))
    missing = torch.nonzero(is_missing)[:, 0]
    if len(missing) == 0:
        return trimap
    some = region[missing]
    reach_px = math.ceil(LARGEST_RADIUS_PX)
    depth = squared_distance_to(~some, reach_px).float() * some
    deepest, place = depth.flatten(1).max(dim=1)
    y, x = place // some.shape[-1], place % some.shape[-1]
    rows = torch.arange(some.shape[-2], device=some.device)[:, None]
    columns = torch.arange(some.shape[-1], device=some.device)
    across, down = columns - x.view(-1, 1, 1, 1), rows - y.view(-1, 1, 1, 1)
    is_dabbed = across**2 + down**2 <= dab_px[missing] ** 2
    is_dabbed &= depth >= DAB_DEPTH**2 * deepest.view(-1, 1, 1, 1)
    return trimap.index_copy(0, missing, trimap[missing].masked_fill(is_dabbed & some, known))

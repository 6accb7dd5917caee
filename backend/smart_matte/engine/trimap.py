"""From a rough selection, a network's opinion, or both, to foreground, background and unknown."""

import cv2
import numpy as np

from smart_matte.engine.grabcut import ColourCut, cut_by_colour
from smart_matte.engine.options import Options
from smart_matte.engine.types import UNKNOWN, BoolArray, FloatArray, U8Array
from smart_matte.errors import SelectionError

# Shares of the picture's diagonal, and the pixels below which they never fall: an edge is a few
# pixels soft however small the picture. Chosen on the 14 shared alphamatting pictures with lassos
# drawn from their true alpha (docs/decisions/0004-trimap-from-a-rough-selection.md has the table).
OUTER_RADIUS, MIN_OUTER_RADIUS_PX = 0.012, 7
INNER_RADIUS, MIN_INNER_RADIUS_PX = 0.008, 4
TRUST_DEPTH, MIN_TRUST_DEPTH_PX = 0.03, 12
"""Deeper than this on either side of the drawn line a selection that isn't loose is believed."""
LOOSE_SHARE, STILL_LOOSE_SHARE = 0.06, 0.5
"""
Share of the believed inside's border that the cut calls background from which the line counts as
loose (same table: lassos reach 0.01, selections 2.5 % too tight 0.05, most loose ones 0.1 to 0.9),
and from which it still does once it was moved inwards: most of it.
"""
CORE_DEPTH = 0.75
"""Deeper than this share of the greatest depth even a loose selection is believed (same table)."""
DROPPED_SHARE = 0.055
"""
Share of the selection that has to be dropped at least, for the line to be loose rather than to
cross the subject: heads and halves of the same pictures reach 0.05, loose lines 0.06 to 0.3.
"""
BORDER_WIDTH_PX = 2
"""Of the believed inside's border: wide enough to have no gaps on a slant."""
LINE_WIDTH, MIN_LINE_WIDTH_PX = 0.01, 4
"""Nearer than this to the drawn line nothing is certain: the hand shook."""
HOLE_DEPTH = 0.08
"""Gaps between hairs and leaves are looked for this deep, and only where they go on outside."""
HOLE_PROBABILITY = 0.35
"""A place whose colours are this unlikely to be the subject's may be a gap."""
HOLE_BLUR = 0.001
HOLE_MARGIN = 0.004

SELECTED = 0.5
"""More than half covered is inside."""

SOLID = 0.99
"""A feathered selection's grey begins below this (8-bit 253), and ends above 1 - SOLID."""

LEVEL_OFF = 0.05
"""How far a trimap's levels may be off: 12 of 255."""

GREY_SHARE = 0.5
"""Of what is between in a trimap; of a feathered selection a tenth is as near to the middle."""

TRIMAP_LEVELS = (64 / 255, 192 / 255)
"""Below the first is background, from the second on foreground, as in the editors."""


def build_trimap(
    image: FloatArray,
    selection: FloatArray | None,
    probability: FloatArray | None,
    options: Options,
    *,
    use_colours: bool = True,
) -> FloatArray:
    """
    Decide for each pixel: foreground, background, or unknown.

    The selection is the prior. Deep inside and far outside it is believed; near its line the
    network's probability and the picture's colours decide, and what they can't decide is unknown.
    Where these show that the line runs well outside of the subject, it is redrawn along their cut.
    A selection that holds a trimap's three values is taken as a trimap. Without a selection the
    network's subject takes its place.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        selection: the user's coverage, float32 (H, W), [0, 1]; None when there is none.
        probability: the network's for the subject, float32 (H, W), [0, 1]; None without one.
        options: radii, thresholds and kind of trimap.
        use_colours: whether GrabCut may move the edge; without it the line itself gets the band.

    Returns:
        float32 (H, W); 0 background, 0.5 unknown, 1 foreground; either of the certain ones may be
        missing.

    Raises:
        SelectionError: no selection and no probability.
    """
    if selection is not None and is_trimap(selection):
        trimap = np.full(selection.shape, UNKNOWN, np.float32)
        trimap[selection < TRIMAP_LEVELS[0]] = 0
        trimap[selection >= TRIMAP_LEVELS[1]] = 1
        return trimap
    if options.trimap == "probability" and probability is not None:
        trimap = trimap_from_probability(probability, selection, options)
    elif selection is not None:
        trimap = _trimap_from_selection(image, selection, probability, options, use_colours)
    elif probability is not None:
        drawn = (probability > SELECTED).astype(np.float32)
        trimap = _trimap_from_selection(image, drawn, probability, options, use_colours)
    else:
        raise SelectionError("There is neither a selection nor a segmentation to start from.")
    return trimap


def is_trimap(selection: FloatArray) -> bool:
    """
    Whether a selection is a trimap: none, all, and of what is between most is middle grey.

    Between those three a soft brush leaves a rim, and JPEG moves all of them a little. A feathered
    selection has every level between, as many of one as of another, and the edge of a smaller
    copy is grey, but no area. None and grey alone may as well be a selection at half strength.

    Args:
        selection: float32 (H, W), [0, 1].
    """
    is_zero, is_one = selection <= LEVEL_OFF, selection >= 1 - LEVEL_OFF
    is_grey = np.abs(selection - UNKNOWN) <= LEVEL_OFF
    if not (is_zero.any() and is_one.any() and is_grey.any()):
        return False
    grey_px, between_px = (np.count_nonzero(part) for part in (is_grey, ~(is_zero | is_one)))
    if grey_px == between_px:
        return True
    has_area = cv2.erode(is_grey.astype(np.uint8), np.ones((3, 3), np.uint8)).any()
    return bool(has_area and grey_px >= GREY_SHARE * between_px)


def trimap_from_probability(
    probability: FloatArray, selection: FloatArray | None, options: Options
) -> FloatArray:
    """
    Thresholds and square dilations, as the published recipes do it.

        unknown = dilate([p > low], outer) minus erode([p > high], inner)

    Args:
        probability: for the subject, float32 (H, W), [0, 1].
        selection: coverage, float32 (H, W); what lies far outside it is background. Or None.
        options: low_probability, high_probability, outer_radius_px, inner_radius_px.

    Returns:
        float32 (H, W); 0, 0.5, 1.
    """
    outer_px, inner_px = radii_px(probability.shape, options)
    possible, certain = (
        probability > options.low_probability,
        probability > options.high_probability,
    )
    if selection is not None:
        reach = ~_is_deeper(selection <= SELECTED, TRUST_DEPTH * _diagonal(selection.shape))
        possible, certain = possible & reach, certain & reach
    trimap = np.zeros(probability.shape, np.float32)
    trimap[_distance_to(possible, cv2.DIST_C) <= outer_px] = UNKNOWN
    trimap[_distance_to(~certain, cv2.DIST_C) > inner_px] = 1
    return trimap


def radii_px(shape: tuple[int, ...], options: Options) -> tuple[float, float]:
    """Outer and inner radius of the unknown band in pixels, as chosen or by the diagonal."""
    diagonal = _diagonal(shape)
    outer_px, inner_px = options.outer_radius_px, options.inner_radius_px
    return (
        max(OUTER_RADIUS * diagonal, MIN_OUTER_RADIUS_PX) if outer_px is None else outer_px,
        max(INNER_RADIUS * diagonal, MIN_INNER_RADIUS_PX) if inner_px is None else inner_px,
    )


def _trimap_from_selection(
    image: FloatArray,
    selection: FloatArray,
    probability: FloatArray | None,
    options: Options,
    use_colours: bool,  # noqa: FBT001
) -> FloatArray:
    coverage = selection / max(float(selection.max()), 1e-6)
    is_selected = coverage > SELECTED
    depth, height = _distance_to(~is_selected), _distance_to(is_selected)
    diagonal = _diagonal(selection.shape)
    # A thin or small subject has no deep inside: believe at least its inner half.
    # A radius that the user chose moves these limits along.
    chosen_in_px, chosen_out_px = options.inner_radius_px, options.outer_radius_px
    trust_px = max(TRUST_DEPTH * diagonal, MIN_TRUST_DEPTH_PX)
    trust_in_px = min(max(trust_px, chosen_in_px or 0), 0.5 * float(depth.max()))
    trust_out_px = min(max(trust_px, chosen_out_px or 0), 0.5 * float(height.max()))
    line_px = max(LINE_WIDTH * diagonal, MIN_LINE_WIDTH_PX)
    line_px = min(line_px, 0.5 * trust_in_px, 0.5 * trust_out_px)
    line_in_px = line_px if chosen_in_px is None else min(line_px, chosen_in_px)
    line_out_px = line_px if chosen_out_px is None else min(line_px, chosen_out_px)
    is_inside, is_outside = depth > trust_in_px, height > trust_out_px

    if use_colours:
        guess = is_selected if probability is None else probability > SELECTED
        cut = cut_by_colour(image, guess, is_inside, is_outside)
        if _background_share(cut, depth, trust_in_px) > LOOSE_SHARE:
            within = _cut_within_loose(image, guess, depth, is_outside, trust_in_px)
            is_dropped = (depth > trust_in_px) & ~within.is_subject
            if _is_background(image, is_dropped, is_selected & within.is_subject, is_outside):
                cut = within
                is_inside = depth > CORE_DEPTH * float(depth.max())
                depth, height = _distance_to(~cut.is_subject), _distance_to(cut.is_subject)
    else:
        cut = ColourCut(is_selected, is_selected.astype(np.float32))
        line_in_px = line_out_px = 0.0
        is_inside = is_outside = np.zeros_like(is_selected)
    outer_px, inner_px = radii_px(selection.shape, options)
    cut_depth, cut_height = _distance_to(~cut.is_subject), _distance_to(cut.is_subject)
    # nor has a thin subject, or a thin background, room for both radii
    inner_px = min(inner_px, 0.5 * float(cut_depth.max()))
    outer_px = min(outer_px, 0.5 * float(cut_height.max()))

    trimap = np.full(selection.shape, UNKNOWN, np.float32)
    trimap[is_inside | ((depth > line_in_px) & (cut_depth > inner_px))] = 1
    trimap[is_outside | ((height > line_out_px) & (cut_height > outer_px))] = 0
    if use_colours and options.holes:
        is_gap = _find_gaps(cut.probability, depth, diagonal) & (trimap == 1)
        trimap[_reached(is_gap, trimap < 1)] = UNKNOWN
    trimap[(coverage > 1 - SOLID) & (coverage < SOLID) & (trimap != UNKNOWN)] = UNKNOWN
    return trimap


def _cut_within_loose(
    image: FloatArray,
    guess: BoolArray,
    depth: FloatArray,
    is_outside: BoolArray,
    start_px: float,
) -> ColourCut:
    """
    Cut a subject out of a selection that was drawn well outside of it.

    Only the core is believed. What is shallower than *start_px* starts as background, so that the
    subject's colours aren't learnt from what was included by mistake; the depth doubles for as
    long as the cut calls most of the border at that depth background.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        guess: first guess of the subject, bool (H, W).
        depth: distance inwards from the drawn line in pixels, float32 (H, W).
        is_outside: background for sure, bool (H, W).
        start_px: the depth to start from.

    Source:
        The start from a box in Rother, Kolmogorov and Blake 2004, "GrabCut", section 3.3. There
        nothing inside is certain and all of it starts as subject.
    """
    is_core = depth > CORE_DEPTH * float(depth.max())
    last_px, depth_px = 0.5 * float(depth.max()), start_px
    while True:
        cut = cut_by_colour(image, guess & (depth > depth_px), is_core, is_outside)
        if depth_px >= last_px:
            return cut
        depth_px = min(2 * depth_px, last_px)
        if _background_share(cut, depth, depth_px) <= STILL_LOOSE_SHARE:
            return cut


def _is_background(
    image: FloatArray, is_dropped: BoolArray, is_kept: BoolArray, is_outside: BoolArray
) -> bool:
    """
    Whether what a tighter cut drops from a selection really was included by mistake.

    It has to be a good part of the selection, and has to look more like what lies outside than
    like what is kept. Else the line crosses the subject, as around a head without its body.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        is_dropped: what was believed and is to go, bool (H, W).
        is_kept: the rest of the selection, bool (H, W).
        is_outside: background for sure, bool (H, W).
    """
    if is_dropped.sum() < DROPPED_SHARE * (is_dropped.sum() + is_kept.sum()):
        return False
    levels = np.rint(image * 255).astype(np.uint8)
    dropped, kept, outside = (
        _colours_of(levels, region) for region in (is_dropped, is_kept, is_outside)
    )
    to_kept = cv2.compareHist(dropped, kept, cv2.HISTCMP_BHATTACHARYYA)
    return cv2.compareHist(dropped, outside, cv2.HISTCMP_BHATTACHARYYA) < to_kept


def _colours_of(levels: U8Array, region: BoolArray) -> FloatArray:
    """How often each colour occurs in a region, in 8 steps a channel."""
    steps, span = [8, 8, 8], [0, 256, 0, 256, 0, 256]
    counts = cv2.calcHist([levels], [0, 1, 2], region.astype(np.uint8), steps, span)
    return counts.astype(np.float32)


def _background_share(cut: ColourCut, depth: FloatArray, depth_px: float) -> float:
    """How much of the border at a depth the cut calls background, [0, 1]."""
    is_border = (depth > max(0.0, depth_px - BORDER_WIDTH_PX)) & (depth <= depth_px)
    return 1 - float(cut.is_subject[is_border].mean()) if is_border.any() else 0.0


def _find_gaps(probability: FloatArray, depth: FloatArray, diagonal: float) -> BoolArray:
    """Background-coloured places inside, not deeper than HOLE_DEPTH, with a margin around."""
    smooth = cv2.GaussianBlur(probability, (0, 0), max(0.5, HOLE_BLUR * diagonal))
    is_gap = (smooth < HOLE_PROBABILITY) & (depth > 0) & (depth < HOLE_DEPTH * diagonal)
    return _distance_to(is_gap) <= HOLE_MARGIN * diagonal


def _reached(region: BoolArray, start: BoolArray) -> BoolArray:
    """
    What of a region is reached from *start* without leaving the two.

    Most gaps between hairs or leaves go on to the outside. What the subject encloses has the
    background's colours by chance too often: an eye, a button, the lining of a collar.
    """
    count, labels = cv2.connectedComponents((region | start).astype(np.uint8))
    is_reached = np.zeros(count, np.bool_)
    is_reached[labels[start]] = True
    within: BoolArray = region & is_reached[labels]
    return within


def _is_deeper(region: BoolArray, depth_px: float) -> BoolArray:
    is_deeper: BoolArray = _distance_to(~region) > depth_px
    return is_deeper


def _distance_to(region: BoolArray, metric: int = cv2.DIST_L2) -> FloatArray:
    """
    Distance of each pixel to the nearest pixel of *region*, in pixels; large where there is none.

    The picture's border is no edge: a subject cut off by it continues there.
    """
    if not region.any():
        return np.full(region.shape, np.float32(sum(region.shape)))
    elsewhere = (~region).astype(np.uint8)
    if metric != cv2.DIST_L2:
        return cv2.distanceTransform(elsewhere, metric, cv2.DIST_MASK_3).astype(np.float32)
    distance = cv2.distanceTransform(elsewhere, metric, cv2.DIST_MASK_PRECISE).astype(np.float32)
    # Squares between pixels are whole numbers; OpenCV's last bit differs from call to call, and
    # would decide at radii that are whole as well.
    np.square(distance, out=distance)
    np.rint(distance, out=distance)
    np.sqrt(distance, out=distance)
    return distance


def _diagonal(shape: tuple[int, ...]) -> float:
    return float(np.hypot(shape[0], shape[1]))

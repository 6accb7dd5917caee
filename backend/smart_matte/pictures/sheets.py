"""Puts pictures of one job side by side, with captions, so that a person can judge them."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smart_matte.engine.types import AnyArray, FloatArray, U8Array

HEIGHT_PX = 480
"""Height that every panel of a sheet is brought to."""

FIT_WIDTH_PX = 2000
"""A row takes as many panels as fit in this width, unless told how many."""

GAP_PX = 12
CAPTION_PX = 34
FONT_PX = 19
SHEET_COLOUR = (32, 33, 36)
CAPTION_COLOUR = (232, 234, 237)

Colour = tuple[float, float, float]
"""An sRGB-coded colour, each part in [0, 1]."""

BACKDROP_TOP: Colour = (1.00, 0.70, 0.78)
BACKDROP_BOTTOM: Colour = (0.28, 0.14, 0.68)
"""
Ends of the backdrop's gradient. From light to dark, in hues that neither subjects (hair, fur, skin)
nor their old backgrounds (leaves, sky, walls) often have: dark, bright and coloured remains of the
old background show somewhere along it.
"""

FOREGROUND_TINT: Colour = (0.20, 0.80, 0.30)
UNKNOWN_TINT: Colour = (1.00, 0.75, 0.00)
BACKGROUND_TINT: Colour = (0.10, 0.10, 0.60)
QUICK_MASK_TINT: Colour = (1.00, 0.00, 0.00)
TINT_STRENGTH = 0.5

CHECK_PX = 16
CHECK_LIGHT = 0.80
CHECK_DARK = 0.60


def contact_sheet(
    panels: Sequence[tuple[str, AnyArray]],
    *,
    height_px: int = HEIGHT_PX,
    columns: int | None = None,
) -> U8Array:
    """
    Lay captioned panels out in rows.

    Args:
        panels: (caption, picture) in reading order, at least one. A picture is gray (H, W) or
            colour (H, W, 3); float or bool in [0, 1], or uint8. Captions wider than their panel
            are cut off.
        height_px: every panel is scaled to this height.
        columns: panels in a row; as many as fit in 2000 px when None.

    Returns:
        The sheet, uint8 (H, W, 3).
    """
    tiles = [_captioned(caption, picture, height_px) for caption, picture in panels]
    widest_px = max(tile.width for tile in tiles)
    columns = columns or max(1, (FIT_WIDTH_PX - GAP_PX) // (widest_px + GAP_PX))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width_px = max(sum(tile.width + GAP_PX for tile in row) for row in rows) + GAP_PX
    row_px = height_px + CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (width_px, len(rows) * row_px + GAP_PX), SHEET_COLOUR)
    for index, row in enumerate(rows):
        left_px = GAP_PX
        for tile in row:
            sheet.paste(tile, (left_px, GAP_PX + index * row_px))
            left_px += tile.width + GAP_PX
    return np.asarray(sheet, np.uint8)


def tint_trimap(image: FloatArray, trimap: FloatArray) -> FloatArray:
    """
    Show a trimap over its picture: foreground green, unknown yellow, background dark blue.

    Args:
        image: float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.
    """
    tints = np.array([BACKGROUND_TINT, UNKNOWN_TINT, FOREGROUND_TINT], np.float32)
    tint = tints[np.rint(trimap * 2).astype(np.intp)]
    return image + np.float32(TINT_STRENGTH) * (tint - image)


def tint_unselected(image: FloatArray, selection: FloatArray) -> FloatArray:
    """
    Show a selection over its picture as a quick mask: what is not selected is red.

    Args:
        image: float32 (H, W, 3), [0, 1].
        selection: float32 (H, W), [0, 1].
    """
    strength = np.float32(TINT_STRENGTH) * (1 - selection[..., None])
    return image + strength * (np.array(QUICK_MASK_TINT, np.float32) - image)


def over_backdrop(foreground: FloatArray, alpha: FloatArray) -> FloatArray:
    """
    Composite over a gradient that runs from pink at the top to violet at the bottom.

    Args:
        foreground: straight colour, float32 (H, W, 3), [0, 1].
        alpha: float32 (H, W), [0, 1].
    """
    share = np.linspace(0, 1, alpha.shape[0], dtype=np.float32)[:, None, None]
    top, bottom = np.array([BACKDROP_TOP, BACKDROP_BOTTOM], np.float32)
    return _over(foreground, alpha, top + share * (bottom - top))


def over_colour(foreground: FloatArray, alpha: FloatArray, colour: Colour) -> FloatArray:
    """
    Composite over one colour.

    Args:
        foreground: straight colour, float32 (H, W, 3), [0, 1].
        alpha: float32 (H, W), [0, 1].
        colour: sRGB-coded, each part in [0, 1].
    """
    return _over(foreground, alpha, np.array(colour, np.float32))


def over_checkerboard(foreground: FloatArray, alpha: FloatArray) -> FloatArray:
    """
    Composite over the gray checks that editors show behind transparent layers.

    Args:
        foreground: straight colour, float32 (H, W, 3), [0, 1].
        alpha: float32 (H, W), [0, 1].
    """
    rows, columns = np.indices(alpha.shape) // CHECK_PX
    is_light = (rows + columns) % 2 == 0
    checks = np.where(is_light, np.float32(CHECK_LIGHT), np.float32(CHECK_DARK))
    return _over(foreground, alpha, checks[..., None])


def _over(foreground: FloatArray, alpha: FloatArray, background: FloatArray) -> FloatArray:
    """Porter and Duff's over, straight colours; *background* broadcasts to (H, W, 3)."""
    return background + alpha[..., None] * (foreground - background)


def _captioned(caption: str, picture: AnyArray, height_px: int) -> Image.Image:
    """One panel: the caption above the picture scaled to a height."""
    panel = Image.fromarray(_to_u8(picture)).convert("RGB")
    width_px = max(1, math.ceil(panel.width * height_px / panel.height))
    panel = panel.resize((width_px, height_px), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (width_px, CAPTION_PX + height_px), SHEET_COLOUR)
    font = ImageFont.load_default(FONT_PX)
    ImageDraw.Draw(tile).text((2, CAPTION_PX // 2), caption, CAPTION_COLOUR, font, anchor="lm")
    tile.paste(panel, (0, CAPTION_PX))
    return tile


def _to_u8(picture: AnyArray) -> U8Array:
    """A picture in [0, 1] as 8 bits; uint8 stays as it is."""
    if picture.dtype == np.uint8:
        return picture
    return np.rint(np.clip(picture.astype(np.float32), 0, 1) * 255).astype(np.uint8)

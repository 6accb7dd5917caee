"""Puts pictures of one job side by side, with captions, so that a person can judge them."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smart_matte.engine.types import AnyArray, FloatArray, U8Array

HEIGHT_PX = 480
"""Height that panels of a sheet are brought to."""

WIDEST_PX = 1000
"""Panels that would be wider at that height stay lower."""

FIT_WIDTH_PX = 2000
"""A row takes as many panels as fit in this width, unless told how many."""

GAP_PX = 12
CAPTION_PX = 34
CAPTION_LEFT_PX = 2
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
            colour (H, W, 3); float or bool in [0, 1], or uint8. Captions wider than 1000 px are
            cut off.
        height_px: every panel is scaled to this height, or to 1000 px of width where it would
            be wider.
        columns: panels in a row; as many as fit in 2000 px when None.

    Returns:
        The sheet, uint8 (H, W, 3).
    """
    tiles = [_captioned(caption, picture, height_px) for caption, picture in panels]
    widest_px = max(tile.width for tile in tiles)
    columns = columns or max(1, (FIT_WIDTH_PX - GAP_PX) // (widest_px + GAP_PX))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width_px = max(sum(tile.width + GAP_PX for tile in row) for row in rows) + GAP_PX
    row_heights_px = [max(tile.height for tile in row) + GAP_PX for row in rows]
    sheet = Image.new("RGB", (width_px, sum(row_heights_px) + GAP_PX), SHEET_COLOUR)
    top_px = GAP_PX
    for row, row_height_px in zip(rows, row_heights_px, strict=True):
        left_px = GAP_PX
        for tile in row:
            sheet.paste(tile, (left_px, top_px))
            left_px += tile.width + GAP_PX
        top_px += row_height_px
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
    backdrop = top + share * (bottom - top)
    composite: FloatArray = backdrop + alpha[..., None] * (foreground - backdrop)
    return composite


def _captioned(caption: str, picture: AnyArray, height_px: int) -> Image.Image:
    """One panel: the caption above the picture, which is scaled to fit."""
    panel = Image.fromarray(_to_u8(picture)).convert("RGB")
    scale = min(height_px / panel.height, WIDEST_PX / panel.width)
    size_px = max(1, round(panel.width * scale)), max(1, round(panel.height * scale))
    panel = panel.resize(size_px, Image.Resampling.LANCZOS)
    font = ImageFont.load_default(FONT_PX)
    width_px = max(
        panel.width, min(WIDEST_PX, math.ceil(font.getlength(caption)) + 2 * CAPTION_LEFT_PX)
    )
    tile = Image.new("RGB", (width_px, CAPTION_PX + panel.height), SHEET_COLOUR)
    ImageDraw.Draw(tile).text(
        (CAPTION_LEFT_PX, CAPTION_PX // 2), caption, CAPTION_COLOUR, font, anchor="lm"
    )
    tile.paste(panel, (0, CAPTION_PX))
    return tile


def _to_u8(picture: AnyArray) -> U8Array:
    """A picture in [0, 1] as 8 bits; uint8 stays as it is."""
    if picture.dtype == np.uint8:
        return picture
    return np.rint(np.clip(picture.astype(np.float32), 0, 1) * 255).astype(np.uint8)

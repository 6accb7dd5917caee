"""Which part of a layer matters for a rough selection."""

from __future__ import annotations

from typing import NamedTuple

MARGIN_SHARE = 0.35
"""Background to look at around a selection, as a share of the selection's longer side."""

MARGIN_MIN_PX = 64


class Rect(NamedTuple):
    """A rectangle of pixels; x to the right, y down."""

    x: int
    y: int
    width: int
    height: int

    @property
    def is_empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.width <= 0 or self.height <= 0

    def shifted(self, x: int, y: int) -> Rect:
        """The same rectangle, seen from where the origin was at (-x, -y)."""
        return self._replace(x=self.x + x, y=self.y + y)

    def grown(self, margin: int) -> Rect:
        """With a margin on every side."""
        return Rect(
            self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin
        )

    def within(self, other: Rect) -> Rect:
        """What both share; empty where they don't meet."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.width, other.x + other.width)
        bottom = min(self.y + self.height, other.y + other.height)
        return Rect(left, top, max(right - left, 0), max(bottom - top, 0))


def region_that_matters(layer: Rect, selected: Rect | None) -> Rect:
    """
    Choose what is read and sent.

    A subject is told from its background by both, so a margin around the selection comes along.

    Args:
        layer: the whole layer.
        selected: the bounds of the selection in the layer's coordinates; None without one.

    Returns:
        The region in the layer's coordinates; empty where the selection misses the layer.
    """
    if selected is None:
        return layer
    inside = selected.within(layer)
    if inside.is_empty:
        return inside
    margin = max(MARGIN_MIN_PX, round(MARGIN_SHARE * max(inside.width, inside.height)))
    return inside.grown(margin).within(layer)

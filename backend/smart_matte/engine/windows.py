"""Rectangular parts of a picture."""

import numpy as np

from smart_matte.engine.types import BoolArray

Window = tuple[slice, slice]
"""Rows and columns of the picture."""


def window_around(is_wanted: BoolArray, margin_px: int = 0) -> Window:
    """
    Find the smallest window that holds what is wanted, and a margin as far as the picture goes.

    Args:
        is_wanted: bool (H, W), true in at least one pixel.
        margin_px: on each side.
    """
    rows, columns = (
        slice(max(0, int(held[0]) - margin_px), min(side, int(held[-1]) + margin_px + 1))
        for side, held in zip(
            is_wanted.shape,
            (np.flatnonzero(is_wanted.any(axis=1)), np.flatnonzero(is_wanted.any(axis=0))),
            strict=True,
        )
    )
    return rows, columns

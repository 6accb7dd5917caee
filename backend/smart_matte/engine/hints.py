"""Plain words for selections that can't work, before anything runs."""

import numpy as np

from smart_matte.engine.types import FloatArray
from smart_matte.errors import PictureError, SelectionError

MIN_SELECTED_PX = 16
"""Fewer pixels than this hold no colours to learn from."""


def check_selection(selection: FloatArray, own_alpha: FloatArray | None = None) -> None:
    """
    Refuse a selection from which no trimap can be made.

    Args:
        selection: coverage, float32 (H, W), [0, 1].
        own_alpha: the picture's own opacity, float32 (H, W), [0, 1]; transparent pixels are
            background whatever the selection says.

    Raises:
        SelectionError: nothing is selected, next to nothing, everything, or only what is
            transparent.
    """
    is_selected = selection > 0
    if not is_selected.any():
        raise SelectionError(
            "The selection is empty: draw a rough outline around the subject, or run without one."
        )
    if np.count_nonzero(is_selected) < MIN_SELECTED_PX:
        raise SelectionError(
            "The selection holds only a few pixels: draw a rough outline around the whole subject."
        )
    has_background = own_alpha is not None and bool((own_alpha == 0).any())
    if bool((selection > 0.5 * selection.max()).all()) and not has_background:
        raise SelectionError(
            "The selection covers the whole picture: nothing is left for the background;"
            " select only the subject."
        )
    if own_alpha is not None and not (is_selected & (own_alpha > 0)).any():
        raise SelectionError(
            "The selection holds only transparent pixels: select something that can be seen."
        )


def check_visible(own_alpha: FloatArray | None) -> None:
    """
    Refuse a picture of which nothing can be seen.

    Args:
        own_alpha: the picture's own opacity, float32 (H, W); None when it is opaque.

    Raises:
        PictureError: it is fully transparent.
    """
    if own_alpha is not None and not own_alpha.any():
        raise PictureError("The picture is fully transparent: there is nothing to cut out.")


def check_both_kinds(trimap: FloatArray) -> None:
    """
    Refuse a trimap that leaves a matting model nothing to compare with.

    Args:
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground; made from a selection.

    Raises:
        SelectionError: nothing is certainly foreground, or nothing background.
    """
    if not trimap.any():
        raise SelectionError(
            "Nothing of the subject lies where the picture can be seen: select something that does."
        )
    if not (trimap == 1).any():
        raise SelectionError(
            "No part of the subject is certain: select more of its inside, or paint a trimap."
        )
    if not (trimap == 0).any():
        raise SelectionError(
            "No part of the background is certain: leave more of it outside of the selection."
        )


def check_trimap(trimap: FloatArray) -> None:
    """
    Refuse a user's own trimap that leaves nothing to compare with.

    Args:
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.

    Raises:
        SelectionError: foreground or background is missing.
    """
    for value, name, colour in ((1.0, "foreground", "white"), (0.0, "background", "black")):
        if not (trimap == value).any():
            raise SelectionError(
                f"The trimap has no {name}: paint some of the {name} {colour} and try again."
            )

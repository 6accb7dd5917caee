import numpy as np
import pytest

from smart_matte.engine.hints import (
    check_both_kinds,
    check_selection,
    check_trimap,
    check_visible,
)
from smart_matte.errors import PictureError, SelectionError

SELECTION = np.zeros((20, 20), np.float32)
SELECTION[5:15, 5:15] = 1


def test_a_rough_selection_passes() -> None:
    check_selection(SELECTION)


def test_an_empty_selection_is_named() -> None:
    with pytest.raises(SelectionError, match="empty"):
        check_selection(np.zeros((20, 20), np.float32))


def test_a_few_pixels_are_named() -> None:
    few = np.zeros((20, 20), np.float32)
    few[3, 3:6] = 1
    with pytest.raises(SelectionError, match="only a few pixels"):
        check_selection(few)


@pytest.mark.parametrize("value", [1.0, 254 / 255, 0.5, 0.1])
def test_everything_selected_leaves_no_background(value: float) -> None:
    with pytest.raises(SelectionError, match="nothing is left for the background"):
        check_selection(np.full((20, 20), value, np.float32))


def test_a_fully_transparent_picture_is_named() -> None:
    check_visible(None)
    check_visible(SELECTION)
    with pytest.raises(PictureError, match="fully transparent"):
        check_visible(np.zeros((4, 4), np.float32))


def test_a_trimap_of_background_alone_is_named() -> None:
    check_both_kinds(SELECTION)
    with pytest.raises(SelectionError, match="Nothing of the subject"):
        check_both_kinds(np.zeros((4, 4), np.float32))


@pytest.mark.parametrize(("certain", "missing"), [(0, "subject"), (1, "background")])
def test_a_trimap_with_one_certain_kind_is_named(certain: float, missing: str) -> None:
    trimap = np.full((4, 4), 0.5, np.float32)
    trimap[0] = certain
    with pytest.raises(SelectionError, match=f"No part of the {missing} is certain"):
        check_both_kinds(trimap)


def test_everything_selected_is_fine_where_transparency_is_the_background() -> None:
    check_selection(np.ones((20, 20), np.float32), own_alpha=SELECTION)


def test_selecting_only_transparency_is_named() -> None:
    with pytest.raises(SelectionError, match="transparent"):
        check_selection(SELECTION, own_alpha=1 - SELECTION)


@pytest.mark.parametrize(("value", "missing"), [(0.0, "foreground"), (1.0, "background")])
def test_a_trimap_that_lacks_a_kind_is_named(value: float, missing: str) -> None:
    trimap = np.full((4, 4), 0.5, np.float32)
    trimap[0] = value
    with pytest.raises(SelectionError, match=f"no {missing}"):
        check_trimap(trimap)

import numpy as np
import pytest

from smart_matte.engine.hints import check_selection, check_trimap
from smart_matte.errors import SelectionError

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


def test_everything_selected_leaves_no_background() -> None:
    with pytest.raises(SelectionError, match="nothing is left for the background"):
        check_selection(np.ones((20, 20), np.float32))


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

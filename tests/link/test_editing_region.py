"""Which part of a layer is read and sent."""

from hypothesis import given
from hypothesis import strategies as st

from smart_matte_link.editing.region import (
    MARGIN_MIN_PX,
    MARGIN_SHARE,
    Rect,
    region_that_matters,
)

LAYER = Rect(0, 0, 300, 200)

coordinates = st.integers(-1000, 1000)
sides = st.integers(0, 1000)
rects = st.builds(Rect, coordinates, coordinates, sides, sides)


def holds(outer: Rect, inner: Rect) -> bool:
    return inner.within(outer) == inner


def test_without_a_selection_all_of_the_layer_matters():
    assert region_that_matters(LAYER, None) == LAYER


def test_a_small_selection_gets_the_least_margin_cut_at_the_layers_edge():
    assert region_that_matters(LAYER, Rect(70, 60, 60, 40)) == Rect(6, 0, 188, 164)


def test_a_large_selection_gets_a_margin_by_its_longer_side():
    large = Rect(0, 0, 4000, 3000)
    assert region_that_matters(large, Rect(1500, 1200, 400, 200)) == Rect(1360, 1060, 680, 480)


def test_a_selection_beside_the_layer_leaves_nothing():
    assert region_that_matters(LAYER, Rect(300, 0, 50, 50)).is_empty
    assert region_that_matters(LAYER, Rect(-50, -50, 50, 50)).is_empty


@given(rects, rects)
def test_the_region_lies_in_the_layer_and_holds_what_of_it_is_selected(layer, selected):
    region = region_that_matters(layer, selected)
    inside = selected.within(layer)
    if inside.is_empty:
        assert region.is_empty
    else:
        assert holds(layer, region)
        assert holds(region, inside)


@given(rects, rects)
def test_what_of_a_selection_lies_off_the_layer_adds_no_margin(layer, selected):
    assert region_that_matters(layer, selected) == region_that_matters(
        layer, selected.within(layer)
    )


@given(rects, rects)
def test_the_margin_is_no_larger_than_promised(layer, selected):
    inside = selected.within(layer)
    region = region_that_matters(layer, selected)
    limit = max(MARGIN_MIN_PX, MARGIN_SHARE * max(inside.width, inside.height) + 1)
    assert region.width <= inside.width + 2 * limit
    assert region.height <= inside.height + 2 * limit


@given(rects, rects)
def test_what_two_share_doesnt_depend_on_their_order(one, other):
    shared = one.within(other)
    assert shared.is_empty or shared == other.within(one)
    assert shared.is_empty == other.within(one).is_empty


@given(rects, coordinates, coordinates)
def test_shifting_back_undoes_shifting(rect, x, y):
    assert rect.shifted(x, y).shifted(-x, -y) == rect

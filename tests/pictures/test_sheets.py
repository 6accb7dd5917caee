"""Sheets put panels where they belong, and the panels show what they claim to show."""

import numpy as np
import pytest

from smart_matte.pictures.sheets import (
    CAPTION_PX,
    GAP_PX,
    SHEET_COLOUR,
    WIDEST_PX,
    contact_sheet,
    over_backdrop,
    tint_trimap,
    tint_unselected,
)

RED = np.broadcast_to(np.float32([1, 0, 0]), (20, 30, 3))
OPAQUE = np.ones((20, 30), np.float32)
CLEAR = np.zeros((20, 30), np.float32)


def test_panels_stand_side_by_side_scaled_to_the_height() -> None:
    sheet = contact_sheet([("a", RED), ("b", OPAQUE)], height_px=40)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (40 + CAPTION_PX + 2 * GAP_PX, 2 * 60 + 3 * GAP_PX, 3)
    top = GAP_PX + CAPTION_PX
    assert np.all(sheet[top : top + 40, GAP_PX : GAP_PX + 60] == (255, 0, 0))
    assert np.all(sheet[top : top + 40, 2 * GAP_PX + 60 : -GAP_PX] == 255)
    assert tuple(sheet[0, 0]) == SHEET_COLOUR


def test_captions_are_drawn_above_their_panels() -> None:
    blank = contact_sheet([("", RED)], height_px=80)
    captioned = contact_sheet([("picture", RED)], height_px=80)
    rows = np.nonzero((blank != captioned).any(axis=(1, 2)))[0]
    assert rows.size > 0
    assert rows.min() >= GAP_PX
    assert rows.max() < GAP_PX + CAPTION_PX


def test_panels_wrap_after_the_number_of_columns() -> None:
    sheet = contact_sheet([("", RED)] * 5, height_px=40, columns=2)
    assert sheet.shape[0] == 3 * (40 + CAPTION_PX + GAP_PX) + GAP_PX
    assert sheet.shape[1] == 2 * 60 + 3 * GAP_PX
    assert tuple(sheet[-GAP_PX - 1, -GAP_PX - 1]) == SHEET_COLOUR  # the sixth place is empty


def test_panels_wrap_by_themselves_before_the_sheet_gets_too_wide() -> None:
    sheet = contact_sheet([("", RED)] * 4, height_px=480)
    assert sheet.shape[1] == 2 * 720 + 3 * GAP_PX
    assert sheet.shape[0] == 2 * (480 + CAPTION_PX + GAP_PX) + GAP_PX


@pytest.mark.parametrize(
    ("shape", "panel"),
    [
        ((8, 2000), (4, 1000)),
        ((1, 60000), (1, 1000)),
        ((10, 100), (100, 1000)),
        ((8, 16), (480, 960)),
    ],
)
def test_a_long_panel_is_scaled_to_fit_the_width(
    shape: tuple[int, int], panel: tuple[int, int]
) -> None:
    sheet = contact_sheet([("", np.ones(shape, np.float32))] * 2, columns=1)
    assert sheet.shape[1] == panel[1] + 2 * GAP_PX
    assert sheet.shape[0] == 2 * (CAPTION_PX + panel[0] + GAP_PX) + GAP_PX
    for top in (GAP_PX + CAPTION_PX, 2 * (GAP_PX + CAPTION_PX) + panel[0]):
        assert np.all(sheet[top : top + panel[0], GAP_PX:-GAP_PX] == 255)


def test_a_row_is_as_high_as_its_highest_panel() -> None:
    low, high = np.ones((8, 2000), np.float32), np.ones((50, 50), np.float32)
    sheet = contact_sheet([("", low), ("", high), ("", low)], columns=2)
    assert sheet.shape[0] == (480 + CAPTION_PX) + (4 + CAPTION_PX) + 3 * GAP_PX


def drawn_px(sheet: np.ndarray) -> int:
    """Width of what is drawn in the first row of captions."""
    is_drawn = (sheet[GAP_PX : GAP_PX + CAPTION_PX] != SHEET_COLOUR).any(axis=(0, 2))
    columns = np.nonzero(is_drawn)[0]
    return int(columns[-1] - columns[0])


def test_a_narrow_panel_keeps_its_whole_caption() -> None:
    narrow = np.ones((2000, 8), np.float32)
    caption = "on a new background"
    whole = contact_sheet([(caption, np.ones((480, 900), np.float32))])
    sheet = contact_sheet([(caption, narrow), ("", narrow)], columns=1)
    assert drawn_px(sheet) == drawn_px(whole) > 100
    assert sheet.shape[1] < drawn_px(whole) + 2 * GAP_PX + 8


def test_a_caption_never_widens_a_sheet_without_end() -> None:
    sheet = contact_sheet([("w" * 5000, RED)])
    assert sheet.shape[1] == WIDEST_PX + 2 * GAP_PX


@pytest.mark.parametrize(
    "picture",
    [
        np.full((20, 20), 128, np.uint8),
        np.full((20, 20), 128 / 255, np.float64),
        np.full((20, 20, 3), 128, np.uint8),
    ],
)
def test_gray_and_colour_of_any_sample_type_look_the_same(picture: np.ndarray) -> None:
    sheet = contact_sheet([("", picture)], height_px=20)
    assert np.all(sheet[GAP_PX + CAPTION_PX : -GAP_PX, GAP_PX:-GAP_PX] == 128)


def test_bool_panels_are_black_and_white() -> None:
    sheet = contact_sheet([("", np.ones((20, 20), np.bool_))], height_px=20)
    assert np.all(sheet[GAP_PX + CAPTION_PX : -GAP_PX, GAP_PX:-GAP_PX] == 255)


def test_values_outside_the_range_are_clipped_in_a_sheet() -> None:
    sheet = contact_sheet([("", np.full((20, 20), 1.5, np.float32))], height_px=20)
    assert sheet.max() == 255


def test_a_composite_shows_the_foreground_where_opaque_and_mixes_between() -> None:
    picture = over_backdrop(RED, OPAQUE)
    assert picture.dtype == np.float32
    assert np.allclose(picture, RED)
    quarter = 0.25 * RED + 0.75 * over_backdrop(RED, CLEAR)
    assert np.allclose(over_backdrop(RED, OPAQUE / 4), quarter, atol=1e-6)


def test_the_backdrop_runs_from_light_to_dark() -> None:
    brightness = over_backdrop(RED, CLEAR).mean(axis=(1, 2))
    assert np.all(np.diff(brightness) < 0)


def test_each_trimap_value_has_its_own_tint_and_the_picture_shows_through() -> None:
    trimap = np.zeros((20, 30), np.float32)
    trimap[:, 10:] = 0.5
    trimap[:, 20:] = 1
    image = np.random.default_rng(0).random((20, 30, 3), np.float32)
    tinted = tint_trimap(image, trimap)
    offsets = tinted - image / 2
    for left in (0, 10, 20):
        part = offsets[:, left : left + 10]
        assert np.allclose(part, part[0, 0], atol=1e-6)
    assert len({tuple(offsets[0, x].round(3)) for x in (0, 10, 20)}) == 3


def test_what_is_selected_keeps_its_colour_and_the_rest_turns_red() -> None:
    image = np.full((20, 30, 3), 0.5, np.float32)
    selection = CLEAR.copy()
    selection[:, 15:] = 1
    tinted = tint_unselected(image, selection)
    assert np.array_equal(tinted[:, 15:], image[:, 15:])
    assert np.allclose(tinted[:, :15], [0.75, 0.25, 0.25])

import cv2
import numpy as np
import pytest
from scenes import composite, soft_disc
from skimage import data

from smart_matte.engine.options import Options
from smart_matte.engine.trimap import (
    build_trimap,
    is_trimap,
    radii_px,
    trimap_from_probability,
)
from smart_matte.engine.types import FloatArray
from smart_matte.errors import SelectionError

SCALE = 4
SMALL_ALPHA = soft_disc(softness_px=0.75)
ALPHA = cv2.resize(SMALL_ALPHA, None, fx=SCALE, fy=SCALE)
IMAGE = cv2.resize(composite(SMALL_ALPHA), None, fx=SCALE, fy=SCALE)
SHAPE = ALPHA.shape  # (480, 640), the disc's centre at (320, 240)
OPTIONS = Options()


def ring_radii(trimap: np.ndarray) -> tuple[float, float]:
    """Inner and outer radius of the unknown ring around the disc's centre, along its row."""
    row = trimap[240, 320:]
    return float(np.flatnonzero(row != 1)[0]), float(np.flatnonzero(row == 0)[0])


def shifted(alpha: np.ndarray, columns: int) -> np.ndarray:
    return np.roll((alpha > 0.5).astype(np.float32), columns, axis=1)


def test_a_shaky_selection_is_moved_to_the_pictures_edge() -> None:
    selection = shifted(ALPHA, 12)
    trimap = build_trimap(IMAGE, selection, None, OPTIONS)
    mistakes = np.abs(trimap - ALPHA)[trimap != 0.5].sum()
    assert mistakes < 0.005 * np.abs(selection - ALPHA).sum()
    assert set(np.unique(trimap)) == {0, 0.5, 1}


def test_without_colours_the_line_itself_gets_both_radii() -> None:
    selection = (ALPHA > 0.5).astype(np.float32)
    options = Options(inner_radius_px=4, outer_radius_px=9)
    trimap = build_trimap(IMAGE, selection, None, options, use_colours=False)
    inner_px, outer_px = ring_radii(trimap)
    edge_px = float(np.flatnonzero(selection[240, 320:] == 0)[0])
    assert edge_px - inner_px == pytest.approx(4, abs=1)
    assert outer_px - edge_px == pytest.approx(9, abs=1)


def test_radii_default_to_shares_of_the_diagonal() -> None:
    assert radii_px((600, 800), OPTIONS) == pytest.approx((12.0, 8.0))
    assert radii_px((30, 40), OPTIONS) == (7, 4)
    assert radii_px((300, 400), Options(outer_radius_px=1, inner_radius_px=2)) == (1, 2)


def test_deep_inside_and_far_outside_the_selection_is_believed() -> None:
    # A background-coloured hole right in the middle, deeper than gaps are looked for.
    image = IMAGE.copy()
    image[230:250, 310:330] = image[10:30, 10:30]
    trimap = build_trimap(image, (ALPHA > 0.5).astype(np.float32), None, OPTIONS)
    assert (trimap[230:250, 310:330] == 1).all()
    assert (trimap[:80, :160] == 0).all()


def with_a_slot(columns: slice) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The picture with a slot through which the background is seen; the disc ends at 460."""
    slot = (slice(230, 246), columns)
    image, count = IMAGE.copy(), columns.stop - columns.start
    rows, seen = np.random.default_rng(0).integers(0, 80, (2, 16, count))
    image[slot] = image[rows, seen]
    return image, slot


def test_a_gap_that_goes_on_outside_becomes_unknown_unless_holes_are_off() -> None:
    image, slot = with_a_slot(slice(400, 470))
    selection = (ALPHA > 0.5).astype(np.float32)
    with_holes = build_trimap(image, selection, None, OPTIONS)
    without = build_trimap(image, selection, None, Options(holes=False))
    deep = (slot[0], slice(400, 420))
    assert (with_holes[deep] == 0.5).all()
    assert (without[deep] == 1).all()


def test_an_eye_of_the_backgrounds_colour_stays_foreground() -> None:
    image, slot = with_a_slot(slice(400, 415))
    trimap = build_trimap(image, (ALPHA > 0.5).astype(np.float32), None, OPTIONS)
    assert (trimap[slot] == 1).all()


def test_a_feathered_selections_grey_is_unknown() -> None:
    feathered = cv2.GaussianBlur((ALPHA > 0.5).astype(np.float32), (0, 0), 20)
    trimap = build_trimap(IMAGE, feathered, None, OPTIONS)
    assert (trimap[(feathered > 0.05) & (feathered < 0.95)] == 0.5).all()
    assert (trimap == 1).any()


def test_a_half_opaque_selection_counts_as_a_selection() -> None:
    selection = np.where(ALPHA > 0.5, np.float32(0.4), np.float32(0))
    trimap = build_trimap(IMAGE, selection, None, OPTIONS)
    assert (trimap == 1).any()
    assert (trimap == 0).any()


def disc_around(radius_px: float, squeeze: float = 1.0) -> np.ndarray:
    """A hard disc, or an ellipse lying on its side, around the picture's centre."""
    y, x = np.indices(SHAPE)
    return (np.hypot(x - 320, (y - 240) * squeeze) <= radius_px).astype(np.float32)


@pytest.mark.parametrize(("radius_px", "squeeze"), [(180, 1), (220, 1), (260, 1.2), (300, 1.3)])
def test_no_background_in_a_loose_selection_is_called_foreground(
    radius_px: float, squeeze: float
) -> None:
    # The disc's radius is 140 px: the line is 40 to 160 px off; 24 px are usually believed.
    trimap = build_trimap(IMAGE, disc_around(radius_px, squeeze), None, OPTIONS)
    assert ALPHA[trimap == 1].min() > 0.5
    assert ALPHA[trimap == 0].max() < 0.5
    assert (trimap == 0.5).mean() < 0.1


def test_a_loose_selection_without_colours_is_taken_as_it_is_drawn() -> None:
    trimap = build_trimap(IMAGE, disc_around(220), None, OPTIONS, use_colours=False)
    assert (trimap[disc_around(200) == 1] == 1).all()


def test_a_subject_of_two_colours_stays_whole_in_a_loose_selection() -> None:
    image = IMAGE.copy()
    upper = (ALPHA > 0) & (np.indices(SHAPE)[0] < 200)
    image[upper] = image[upper][:, [1, 0, 2]]  # red and green change places: a green head
    trimap = build_trimap(image, disc_around(200), None, OPTIONS)
    assert ALPHA[trimap == 0].max() < 0.5
    assert ALPHA[trimap == 1].min() > 0.5


def test_a_loose_selections_network_still_says_where_the_subject_is() -> None:
    probability = cv2.GaussianBlur(ALPHA, (0, 0), 3)
    trimap = build_trimap(IMAGE, disc_around(220), probability, OPTIONS)
    assert ALPHA[trimap == 1].min() > 0.5
    assert ALPHA[trimap == 0].max() < 0.5


def test_a_line_that_crosses_the_subject_is_believed() -> None:
    """A box around the middle of a cat that fills the picture: outside of it is cat as well."""
    cat = data.cat().astype(np.float32) / 255
    selection = np.zeros(cat.shape[:2], np.float32)
    selection[20:, 90:380] = 1
    trimap = build_trimap(cat, selection, None, Options())
    deep = np.zeros_like(selection, bool)
    deep[50:270, 120:350] = True
    assert (trimap[deep] == 0).sum() == 0


def test_hairs_outside_a_tight_selection_become_unknown() -> None:
    image, hairs = IMAGE.copy(), np.zeros(SHAPE, np.uint8)
    for angle in np.linspace(0, 2 * np.pi, 40, endpoint=False):
        tip = (round(320 + 147 * np.cos(angle)), round(240 + 147 * np.sin(angle)))
        cv2.line(hairs, (320, 240), tip, 1)  # 7 px beyond the disc
    is_hair = (hairs == 1) & (ALPHA < 0.5)
    image[is_hair] = IMAGE[240, 320]
    trimap = build_trimap(image, disc_around(130), None, OPTIONS)  # 10 px inside it
    assert (trimap[is_hair] == 0.5).all()


@pytest.mark.parametrize("grey", [0.5, 127 / 255, 128 / 255, 32768 / 65535])
def test_a_selection_with_a_trimaps_three_values_is_taken_as_it_is(grey: float) -> None:
    drawn = np.zeros(SHAPE, np.float32)
    drawn[120:360, 160:480], drawn[180:300, 240:400] = grey, 1
    assert is_trimap(drawn)
    trimap = build_trimap(IMAGE, drawn, None, OPTIONS)
    np.testing.assert_array_equal(trimap == 0.5, drawn == np.float32(grey))
    np.testing.assert_array_equal(trimap == 1, drawn == 1)


def repainted(kind: str) -> FloatArray:
    """A trimap as picture editors give it back, 8-bit."""
    drawn = np.zeros((*SHAPE, 3), np.uint8)
    drawn[123:357, 165:477], drawn[183:301, 243:397] = 128, 255
    if kind == "a soft brush":
        cv2.line(drawn, (150, 130), (470, 350), (128, 128, 128), 9, cv2.LINE_AA)
        cv2.circle(drawn, (320, 240), 40, (255, 255, 255), -1, cv2.LINE_AA)
    if kind == "JPEG":
        drawn = cv2.imdecode(cv2.imencode(".jpg", drawn)[1], cv2.IMREAD_COLOR)
    if kind == "made smaller":
        drawn = cv2.resize(drawn, None, fx=0.37, fy=0.37, interpolation=cv2.INTER_AREA)
        drawn = cv2.resize(drawn, SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
    return (drawn[..., 0] / 255).astype(np.float32)


@pytest.mark.parametrize("kind", ["a soft brush", "JPEG", "made smaller"])
def test_a_trimap_is_known_again_after_a_soft_brush_or_jpeg(kind: str) -> None:
    drawn = repainted(kind)
    assert len(np.unique(drawn)) > 3
    assert is_trimap(drawn)
    trimap = build_trimap(IMAGE, drawn, None, OPTIONS)
    for value, (first, last) in {0: (0, 0.2), 0.5: (0.3, 0.7), 1: (0.8, 1)}.items():
        assert (trimap[(drawn >= first) & (drawn <= last)] == value).all()


@pytest.mark.parametrize("feather_px", [0.5, 1, 4, 20, 60])
@pytest.mark.parametrize("shape", ["disc", "rectangle"])
def test_a_feathered_selection_is_no_trimap(feather_px: float, shape: str) -> None:
    drawn = ALPHA > 0.5
    if shape == "rectangle":
        drawn = np.zeros(SHAPE, bool)
        drawn[120:360, 160:480] = True
    assert not is_trimap(cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), feather_px))


def test_a_smaller_copy_of_a_boxy_selection_is_no_trimap() -> None:
    drawn = np.zeros(SHAPE, np.float32)
    drawn[121:359, 161:479] = 1  # at half the size its edge is grey, one pixel wide
    cv2.circle(drawn, (479, 359), 30, 1, -1)
    smaller = cv2.resize(drawn, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    is_between = (smaller > 0) & (smaller < 1)
    assert (smaller[is_between] == 0.5).mean() > 0.5
    assert not is_trimap(smaller)


def test_none_and_grey_alone_are_a_selection_at_half_strength() -> None:
    drawn = np.where(ALPHA > 0.5, np.float32(0.5), np.float32(0))
    assert not is_trimap(drawn)
    assert (build_trimap(IMAGE, drawn, None, OPTIONS) == 1).any()


def test_chosen_radii_reach_beyond_the_usual_limits() -> None:
    selection = (ALPHA > 0.5).astype(np.float32)
    unknown_px = [
        int((build_trimap(IMAGE, selection, None, options) == 0.5).sum())
        for options in (Options(outer_radius_px=0, inner_radius_px=0), OPTIONS,
                        Options(outer_radius_px=40), Options(outer_radius_px=80))
    ]  # fmt: skip
    assert unknown_px == sorted(unknown_px)
    assert len(set(unknown_px)) == 4


def test_the_same_selection_gives_the_same_trimap_each_time() -> None:
    # OpenCV's distances differ in their last bit from call to call.
    selection = shifted(ALPHA, 9)
    first = build_trimap(IMAGE, selection, None, OPTIONS)
    for _ in range(8):
        np.testing.assert_array_equal(build_trimap(IMAGE, selection, None, OPTIONS), first)


def test_a_plain_selection_is_no_trimap() -> None:
    assert not is_trimap((ALPHA > 0.5).astype(np.float32))
    assert not is_trimap(ALPHA)


def test_the_networks_subject_takes_the_selections_place() -> None:
    probability = cv2.GaussianBlur(ALPHA, (0, 0), 3)
    trimap = build_trimap(IMAGE, None, probability, OPTIONS)
    assert ALPHA[trimap == 1].min() > 0.95
    assert ALPHA[trimap == 0].max() < 0.05


def test_neither_selection_nor_network_is_refused() -> None:
    with pytest.raises(SelectionError, match="neither"):
        build_trimap(IMAGE, None, None, OPTIONS)


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_thin_subject_keeps_some_certain_foreground(width: int) -> None:
    selection = np.zeros(SHAPE, np.float32)
    selection[40:440, 320 : 320 + width] = 1
    for use_colours in (True, False):
        trimap = build_trimap(IMAGE, selection, None, OPTIONS, use_colours=use_colours)
        assert (trimap == 0).any()
        assert (trimap == 1).any()


def test_a_small_background_keeps_some_certain_background() -> None:
    selection = np.ones(SHAPE, np.float32)
    selection[:3] = 0
    for use_colours in (True, False):
        trimap = build_trimap(IMAGE, selection, None, OPTIONS, use_colours=use_colours)
        assert (trimap == 0).any()
        assert (trimap == 1).any()


def test_the_pictures_border_is_no_edge() -> None:
    selection = np.zeros(SHAPE, np.float32)
    selection[:, :320] = 1
    trimap = build_trimap(IMAGE, selection, None, OPTIONS, use_colours=False)
    assert (trimap[:, 0] == 1).all()
    assert (trimap[:, -1] == 0).all()


# The two published recipes, against OpenCV's own dilation and erosion.


def test_learnopencvs_recipe_is_its_dilation_and_threshold() -> None:
    probability = cv2.GaussianBlur(ALPHA, (0, 0), 5)
    trimap = trimap_from_probability(probability, None, Options.learnopencv())
    dilated = cv2.dilate((probability > 0.05).astype(np.uint8), np.ones((15, 15), np.uint8))
    expected = np.where(probability > 0.95, 1, np.where(dilated == 1, 0.5, 0))
    np.testing.assert_array_equal(trimap, expected)


def test_carvekits_recipe_is_its_dilation_and_repeated_erosion() -> None:
    probability = cv2.GaussianBlur(ALPHA, (0, 0), 5)
    trimap = trimap_from_probability(probability, None, Options.carvekit())
    subject = (probability > 0.5).astype(np.uint8)
    dilated = cv2.dilate(subject, np.ones((61, 61), np.uint8))
    eroded = cv2.erode(
        subject, np.ones((3, 3), np.uint8), iterations=5, borderType=cv2.BORDER_REPLICATE
    )
    expected = np.where(eroded == 1, 1, np.where(dilated == 1, 0.5, 0))
    np.testing.assert_array_equal(trimap, expected)


def test_a_selection_keeps_the_networks_other_finds_out() -> None:
    probability = np.maximum(ALPHA, shifted(ALPHA, 240))
    selection = np.zeros(SHAPE, np.float32)
    selection[80:400, 160:472] = 1
    trimap = trimap_from_probability(probability, selection, Options.learnopencv())
    assert (trimap[:, 510:] == 0).all()
    assert trimap[240, 320] == 1

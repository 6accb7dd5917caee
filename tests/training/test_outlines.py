"""Shapes: their area, their holes, their boundaries."""

import numpy as np
import pytest

from smart_matte.training.outlines import (
    cut_holes,
    draw_body_shape,
    draw_outline,
    draw_shape,
    fill_outline,
    find_boundary,
)


def test_a_filled_polygon_covers_its_area_and_a_fifth_of_a_pixel_around():
    corners = np.float32([(10.3, 8.1), (41.2, 15.7), (37.9, 44.4), (12.6, 30.2)])
    x, y = corners.T.astype(float)
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    around = np.hypot(*(corners - np.roll(corners, 1, axis=0)).T).sum()
    assert area < fill_outline(corners, 56).sum() < area + 0.2 * around


def test_a_filled_box_is_full_inside_and_half_on_half_covered_pixels():
    coverage = fill_outline(np.float32([(4, 6.5), (20, 6.5), (20, 16), (4, 16)]), 24)
    assert coverage[8:15, 5:19].min() == 1
    np.testing.assert_allclose(coverage[6, 6:18], 0.5, rtol=0, atol=0.13)
    assert coverage[:5].max() == 0


def test_an_outline_has_the_size_asked_for():
    for corner_count in (None, 7):
        points = draw_outline(np.random.default_rng(0), 0.3, corner_count)
        assert np.ptp(points, axis=0).max() == pytest.approx(1)
        assert len(points) == corner_count or corner_count is None


@pytest.mark.parametrize("seed", range(5))
def test_shapes_stay_off_the_border(seed):
    for draw in (draw_shape, draw_body_shape):
        coverage = draw(np.random.default_rng(seed), 96, (0.6, 0.94))
        assert coverage.max() == 1
        assert coverage[[0, -1]].max() == coverage[:, [0, -1]].max() == 0


def test_holes_take_away_and_never_add():
    rng = np.random.default_rng(3)
    body = draw_shape(rng, 96, (0.9, 0.94))
    holed = cut_holes(rng, body, 12)
    assert (holed <= body).all()
    assert holed.sum() < 0.99 * body.sum()


def test_the_boundary_of_a_disc_points_away_from_its_middle():
    rows, columns = np.mgrid[:80, :80] + 0.5 - 40
    disc = (np.hypot(rows, columns) < 25).astype(np.float32)
    points, outward = find_boundary(disc)
    radius = points - 40
    assert np.abs(np.hypot(*radius.T) - 24.5).max() < 1.5
    expected = np.arctan2(radius[:, 1], radius[:, 0])
    assert np.cos(outward - expected).min() > 0.98

"""Strands cover what they should, however thin and wherever they lie."""

import numpy as np
import pytest

from smart_matte.training.layers import flatten_layers
from smart_matte.training.strands import (
    Growth,
    Strands,
    draw_each,
    draw_strands,
    end_inside,
    grow_strands,
    keep_width,
    shade_strands,
    taper,
)

SIZE_PX = 64


def straight(angle, length_px, middle=(31.7, 32.2)):
    along = np.linspace(0, 1, int(3 * length_px), dtype=np.float32)[None]
    way = (along - 0.5)[..., None] * length_px * np.array([np.cos(angle), np.sin(angle)])
    points = (np.array(middle) + way).astype(np.float32)
    return Strands(points, along, np.full(along.shape, angle, np.float32))


def draw(strands, width_px, colour=(0.2, 0.5, 0.9)):
    widths = keep_width(strands.along, np.float32(width_px))
    colours = np.broadcast_to(np.float32(colour), (*strands.along.shape, 3))
    return draw_strands(strands, widths, colours, SIZE_PX, layer_count=1)[0]


@pytest.mark.parametrize("width_px", [0.05, 0.3, 0.8, 2.0, 7.0])
@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4, 2.0])
def test_coverage_adds_up_to_width_times_length(width_px, angle):
    coverage, _ = draw(straight(angle, 40), width_px)
    assert coverage.sum() == pytest.approx(40 * width_px, rel=0.04)


def test_a_thin_strand_along_a_row_covers_its_width_of_each_pixel():
    coverage, colour = draw(straight(0.0, 40, middle=(32, 20.5)), 0.3)
    np.testing.assert_allclose(coverage[20, 15:49], 0.3, rtol=0, atol=0.02)
    assert coverage[[19, 21]].max() == 0
    np.testing.assert_allclose(colour[20, 15:49], [[0.2, 0.5, 0.9]] * 34, rtol=0, atol=1e-5)


def test_a_strand_between_two_rows_is_shared_by_them():
    coverage, _ = draw(straight(0.0, 40, middle=(32, 21.0)), 0.3)
    np.testing.assert_allclose(coverage[20, 15:49], coverage[21, 15:49], rtol=0, atol=1e-5)
    np.testing.assert_allclose(coverage[20:22, 15:49].sum(axis=0), 0.3, rtol=0, atol=0.02)


def test_a_thick_bent_band_has_no_holes():
    turn = np.linspace(0, 1.9 * np.pi, 400, dtype=np.float32)[None]
    points = 32 + 16 * np.stack([np.cos(turn), np.sin(turn)], axis=2)
    along = np.linspace(0, 1, 400, dtype=np.float32)[None]
    ring = Strands(points.astype(np.float32), along, turn + np.float32(np.pi / 2))
    coverage, _ = draw(ring, 9)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5 - 32
    is_inside = np.abs(np.hypot(rows, columns) - 16) < 3.5
    is_inside &= np.abs(np.arctan2(rows, columns) + 0.15) > 0.4  # not where the ring is open
    assert is_inside.sum() > 500
    assert coverage[is_inside].min() > 0.999


def test_later_strands_lie_over_earlier_ones():
    cross = Strands(
        *(
            np.concatenate(pair)
            for pair in zip(straight(0.0, 40), straight(np.pi / 2, 40), strict=True)
        )
    )
    colours = np.zeros((*cross.along.shape, 3), np.float32)
    colours[1] = 1
    layers = draw_each(cross, keep_width(cross.along, 6.0), colours, SIZE_PX)
    premultiplied, _ = flatten_layers(layers)
    np.testing.assert_allclose(premultiplied[31:33, 30:33], 1, rtol=0, atol=1e-5)


def test_no_strand_reaches_the_border():
    rng = np.random.default_rng(0)
    roots = rng.uniform(0, SIZE_PX, (300, 2))
    angles = rng.uniform(0, 7, 300)
    strands = grow_strands(rng, roots, angles, Growth(60, curl=0.5, clumping=0.5), SIZE_PX)
    coverage, _ = draw(strands, 0.7)
    assert coverage.max() > 0.5
    for side in (coverage[0], coverage[-1], coverage[:, 0], coverage[:, -1]):
        assert side.max() == 0


def test_strands_that_leave_thin_out_before_they_do():
    leaving = straight(0.0, 60, middle=(50, 32))
    ended = end_inside(np.random.default_rng(0), leaving, SIZE_PX)
    last = np.flatnonzero(taper(ended.along, 2.0)[0])[-1]
    assert 40 < leaving.points_px[0, last, 0] < SIZE_PX - 1


def test_strands_shine_where_they_lie_across_the_light():
    turn = np.linspace(0, np.pi, 200, dtype=np.float32)[None]
    curve = Strands(np.zeros((1, 200, 2), np.float32), np.ones_like(turn), turn)
    colours = np.full((1, 3), 0.4, np.float32)
    dull, glossy = (
        shade_strands(np.random.default_rng(5), curve, colours, gloss)[0] for gloss in (0, 0.5)
    )
    sheen = (glossy - dull).sum(axis=1)
    assert sheen.max() > 0.3
    assert sheen.min() < 0.2 * sheen.max()

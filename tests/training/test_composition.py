"""Scenes whose truth is exact."""

import math

import numpy as np
import pytest
import torch

from smart_matte.training.composition import (
    SNAP,
    Layer,
    Placement,
    Scene,
    _balance,
    blur_layer,
    composite,
    develop,
    draw_scenes,
    lay_over,
    place,
)
from smart_matte.training.foregrounds import Foreground

CPU = torch.device("cpu")


def disc(size_px, radius_px, centre=None):
    """A soft disc in random colours; *centre* is (x, y)."""
    y, x = np.indices((size_px, size_px))
    centre = centre or (size_px / 2, size_px / 2)
    alpha = (radius_px - np.hypot(x - centre[0], y - centre[1])).clip(0, 1)
    colour = np.random.default_rng(1).random((size_px, size_px, 3))
    return Foreground(colour.astype(np.float32), alpha.astype(np.float32))


def stay(size_px, shift=(0.0, 0.0)):
    middle = np.full(2, (size_px - 1) / 2)
    return Placement(np.eye(2), middle, middle + np.array(shift))


@pytest.fixture
def photos():
    random = np.random.default_rng(2)
    return [random.integers(0, 256, (90, 70, 3), np.uint8) for _ in range(3)]


def draw(photos, seed=0, count=12):
    noise = torch.Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    return draw_scenes([disc(80, 20), disc(64, 30)], photos, count, 48, random, noise=noise)


def test_a_foreground_that_stays_in_place_is_unchanged():
    source = disc(33, 9)
    layer = place(source, stay(33), 33, CPU)
    is_kept = (source.alpha >= SNAP) & (source.alpha <= 1 - SNAP)
    np.testing.assert_allclose(layer.alpha[0, 0].numpy()[is_kept], source.alpha[is_kept], atol=1e-5)
    np.testing.assert_allclose(
        layer.foreground[0].permute(1, 2, 0).numpy(), source.colour, atol=1e-3
    )


def test_a_half_turn_is_exact():
    source = disc(21, 6, (8, 11))
    middle = np.full(2, 10.0)
    turned = place(source, Placement(-np.eye(2), middle, middle), 21, CPU)
    kept = place(source, stay(21), 21, CPU)
    torch.testing.assert_close(turned.alpha, kept.alpha.flip(2, 3), atol=1e-5, rtol=0)


def test_empty_neighbours_do_not_stain_the_colour_of_an_edge():
    source = disc(40, 10)
    green = np.zeros_like(source.colour)
    green[source.alpha > 0] = (0, 1, 0)  # nothing is black, and must not be seen
    source = Foreground(green, source.alpha)
    layer = place(source, stay(40, (0.5, 0.3)), 40, CPU)
    edge = layer.foreground.permute(0, 2, 3, 1)[(layer.alpha > SNAP)[:, 0]]
    np.testing.assert_allclose(edge.numpy(), np.broadcast_to((0, 1, 0), edge.shape), atol=1e-4)


@pytest.mark.parametrize("origin", [(30, 0), (-30, 0), (0, 30), (0, -30)])
def test_nothing_is_beyond_sides_that_the_foreground_keeps_clear_of(origin):
    placement = Placement(np.eye(2), np.zeros(2), np.array(origin, np.float64))
    assert place(disc(30, 8), placement, 30, CPU).alpha.max() == 0


def test_a_foreground_cut_off_by_a_side_goes_on_as_its_mirror_image():
    source = disc(30, 12, (15, 29))
    placement = Placement(np.eye(2), np.array([0.0, 0]), np.array([0.0, 15]))
    alpha = place(source, placement, 29, CPU).alpha[0, 0]
    assert alpha[14, 15] == 1
    torch.testing.assert_close(alpha[15:], alpha[:14].flip(0), atol=1e-5, rtol=0)
    assert alpha[:, :2].max() == 0


def test_over_equals_compositing_twice():
    random = torch.Generator().manual_seed(0)
    colours = torch.rand((3, 2, 3, 7, 7), generator=random)
    front = Layer(torch.rand((2, 1, 7, 7), generator=random), colours[0])
    behind = Layer(torch.rand((2, 1, 7, 7), generator=random), colours[1])
    at_once = composite(Scene(*lay_over(front, behind), colours[2]))
    one_by_one = composite(Scene(*front, composite(Scene(*behind, colours[2]))))
    torch.testing.assert_close(at_once, one_by_one, atol=2 * SNAP, rtol=0)
    is_mixed = (1 - front.alpha) * (1 - behind.alpha)
    is_mixed = ((is_mixed > SNAP) & (is_mixed < 1 - SNAP)).expand_as(at_once)
    torch.testing.assert_close(at_once[is_mixed], one_by_one[is_mixed], atol=1e-5, rtol=0)


def test_a_blurred_layer_over_black_is_the_blurred_composite_over_black():
    layer = place(disc(32, 9), stay(32), 32, CPU)
    blurred = blur_layer(layer, torch.full((1, 1, 1, 1), 1.0))
    black = torch.zeros_like(layer.foreground)
    offsets = torch.arange(-3.0, 4)
    kernel = torch.exp(-0.5 * offsets**2)
    kernel = kernel[:, None] * kernel / kernel.sum() ** 2
    expected = torch.nn.functional.conv2d(
        composite(Scene(*layer, black)).transpose(0, 1), kernel[None, None], padding=3
    ).transpose(0, 1)
    found = composite(Scene(*blurred, black))
    torch.testing.assert_close(found, expected, atol=SNAP, rtol=0)


def test_scenes_keep_their_ranges(photos):
    alpha, foreground, background = draw(photos)
    assert alpha.shape == (12, 1, 48, 48)
    assert foreground.shape == background.shape == (12, 3, 48, 48)
    for plane in (alpha, foreground, background):
        assert plane.dtype == torch.float32
        assert torch.isfinite(plane).all()
        assert plane.min() >= 0
        assert plane.max() <= 1


def test_scenes_are_about_an_edge(photos):
    alpha = draw(photos, count=30).alpha
    assert ((alpha > 0) & (alpha < 1)).any(dim=(1, 2, 3)).float().mean() > 0.9
    assert ((alpha == 0) | (alpha >= SNAP)).all()
    assert ((alpha == 1) | (alpha <= 1 - SNAP)).all()


def test_scenes_come_again_from_the_same_seed_and_differ_from_another(photos):
    for one, again in zip(draw(photos), draw(photos), strict=True):
        assert torch.equal(one, again)
    assert not torch.equal(draw(photos).alpha, draw(photos, seed=1).alpha)


def test_developing_changes_both_colours_alike():
    colour = torch.rand((40, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    scene = Scene(torch.full((40, 1, 4, 4), 0.5), colour, colour)
    developed = develop(scene, np.random.default_rng(0))
    assert torch.equal(developed.foreground, developed.background)
    assert not torch.equal(developed.foreground, colour)
    assert torch.equal(developed.alpha, scene.alpha)


def test_a_quarter_turn_moves_what_is_right_of_the_origin_below_it():
    source = disc(41, 4, (30, 20))
    cosine, sine = math.cos(math.pi / 2), math.sin(math.pi / 2)
    turn = np.array([[cosine, -sine], [sine, cosine]])  # x to y, as the picture's y goes down
    middle = np.full(2, 20.0)
    alpha = place(source, Placement(np.linalg.inv(turn), middle, middle), 41, CPU).alpha[0, 0]
    assert alpha[30, 20] == 1
    assert alpha[20, 30] == 0


def test_crops_with_both_and_within_the_array_are_liked_best():
    alpha = np.zeros((60, 60), np.float32)
    alpha[:, :30] = 1
    both, empty, beyond = (
        _balance(alpha, Placement(np.eye(2), np.full(2, 10.0), np.array(origin)), 20)
        for origin in ((30.0, 30.0), (45.0, 30.0), (30.0, 0.0))
    )
    assert both > 0.4
    assert max(empty, beyond) < 0.1

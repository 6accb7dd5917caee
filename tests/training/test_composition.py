"""Scenes whose truth is exact."""

import numpy as np
import pytest
import torch
from discs import CPU, disc, stay

from smart_matte.training.composition import (
    Scene,
    blur_layer,
    composite,
    develop,
    draw_scenes,
    lay_over,
)
from smart_matte.training.placement import SNAP, Layer, place


@pytest.fixture
def photos():
    random = np.random.default_rng(2)
    return [random.integers(0, 256, (90, 70, 3), np.uint8) for _ in range(3)]


def draw(photos, seed=0, count=12):
    noise = torch.Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    return draw_scenes([disc(80, 20), disc(64, 30)], photos, count, 48, random, noise=noise)


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

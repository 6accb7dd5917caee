"""A foreground placed in a crop has the opacity and the colours of its own pixels."""

import math

import numpy as np
import pytest
import torch
from discs import CPU, disc, stay

from smart_matte.training.foregrounds import Foreground
from smart_matte.training.placement import SNAP, Placement, _balance, place


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

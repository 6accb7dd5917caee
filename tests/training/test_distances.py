"""Distances against OpenCV's."""

import cv2
import numpy as np
import pytest
import torch

from smart_matte.training.distances import MOST_REACH_PX, squared_distance_to


@pytest.mark.parametrize("reach_px", [1, 2, 7, 40, MOST_REACH_PX])
def test_distances_equal_opencvs_up_to_the_reach(reach_px):
    random = np.random.default_rng(reach_px)
    shape = (3, 50 + 2 * reach_px, 37 + 2 * reach_px)
    regions = random.random(shape) < np.array([0.3, 0.01, 0.0001])[:, None, None]
    found = squared_distance_to(torch.from_numpy(regions)[:, None], reach_px)
    for region, squares in zip(regions, found[:, 0].numpy(), strict=True):
        exact = cv2.distanceTransform(
            (~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        exact = np.rint(exact.astype(np.float64) ** 2)
        is_near = exact <= reach_px**2
        np.testing.assert_array_equal(squares[is_near], exact[is_near])
        assert (squares[~is_near] > reach_px**2).all()


def test_an_empty_region_is_far_away_everywhere():
    far = squared_distance_to(torch.zeros((1, 1, 9, 9), dtype=torch.bool), 5)
    assert (far == 36).all()


def test_a_reach_beyond_the_picture_is_fine():
    region = torch.zeros((1, 1, 3, 4), dtype=torch.bool)
    region[0, 0, 0, 0] = True
    assert squared_distance_to(region, 100)[0, 0, 2, 3] == 13


@pytest.mark.parametrize("reach_px", [0, MOST_REACH_PX + 1])
def test_a_reach_that_cannot_be_is_refused(reach_px):
    with pytest.raises(ValueError, match="reach_px"):
        squared_distance_to(torch.zeros((1, 1, 2, 2), dtype=torch.bool), reach_px)

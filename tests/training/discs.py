"""A foreground that is a disc, and the placement that leaves it where it is."""

import numpy as np
import torch

from smart_matte.training.foregrounds import Foreground
from smart_matte.training.placement import Placement

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

"""What the colours of what is known say of what isn't: a soft prior on alpha."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from smart_matte.engine.types import UNKNOWN, FloatArray

SAMPLES = 4000
"""Pixels of each side that are compared with; more change nothing."""

NEIGHBOURS = 10
"""Most alike samples, of both sides together, that have a say: one that is mistaken is outvoted."""

LIKENESS = 0.02
"""
Distance of colours at which the most alike samples say less: a mixed pixel is like neither side,
and by this the prior leaves it to the matting Laplacian.
"""

NEAREST = 3
"""Samples whose distance counts for that."""

WEIGHT = 3e-3
"""
Of the prior where it is certain, beside the matting Laplacian's own coefficients of about 1;
docs/decisions/0010-a-prior-from-colours.md has a table.
"""


@dataclass(frozen=True)
class Prior:
    """
    What alpha is likely to be.

    Attributes:
        alpha: float32 (H, W), [0, 1].
        weight: of (alpha - prior alpha)^2 in the energy that is minimised, float32 (H, W), >= 0.
    """

    alpha: FloatArray
    weight: FloatArray


def prior_from_colours(image: FloatArray, trimap: FloatArray) -> Prior:
    """
    Compare the colour of each unknown pixel with those known on either side.

    Of the NEIGHBOURS samples with the most alike colours, n_F are foreground and n_B background;
    with as many samples of either side, p = n_F / (n_F + n_B) is the probability that a pixel of
    this colour is foreground. Its weight is WEIGHT (2 p - 1)^2 exp(-d^2 / 2 LIKENESS^2), with d
    the distance to the NEAREST of them: nothing where both sides have the colour, or neither.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.

    Returns:
        The prior; of no weight in known pixels, and nowhere of any where a side has fewer than
        NEIGHBOURS pixels.

    Source:
        Bayes' rule with densities of the nearest neighbours (Loftsgaarden and Quesenberry 1965).
        As a soft constraint of the Laplacian: Levin, Lischinski and Weiss 2008, section 4. That
        only pixels like one of the sides get a weight is our own.
    """
    prior = Prior(np.zeros_like(trimap), np.zeros_like(trimap))
    is_unknown = trimap == UNKNOWN
    random = np.random.default_rng(0)
    sides = [random.permutation(image[trimap == side])[:SAMPLES] for side in (0, 1)]
    if min(map(len, sides)) < NEIGHBOURS or not is_unknown.any():
        return prior
    distances, nearest = cKDTree(np.concatenate(sides)).query(image[is_unknown], NEIGHBOURS)
    is_foreground = nearest >= len(sides[0])
    votes = np.where(is_foreground, 1 / len(sides[1]), 1 / len(sides[0]))
    alpha = (votes * is_foreground).sum(axis=1) / votes.sum(axis=1)
    squared = np.square(distances[:, :NEAREST]).mean(axis=1)
    prior.alpha[is_unknown] = alpha
    prior.weight[is_unknown] = WEIGHT * (2 * alpha - 1) ** 2 * np.exp(-squared / (2 * LIKENESS**2))
    return prior

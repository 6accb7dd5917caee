"""What the colours of what is known say of what isn't: a soft prior on alpha."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smart_matte.engine.types import UNKNOWN, FloatArray

SAMPLES = 4000
"""Pixels of each side that are compared with; a quarter of them gives nearly the same."""

NEIGHBOURS = 10
"""Most alike samples, of both sides together, that have a say: one that is mistaken is outvoted."""

PLACE = 0.2
"""
What the diagonal of the region that is solved counts as, in distances of colours; a tenth of it as
0.02. Thin hair in front of the sky has the colour of some dark thing behind, and isn't to be taken
for one far away.
"""

LIKENESS = 0.02
"""
Distance at which the most alike samples say less: a mixed pixel is like neither side, and by this
the prior leaves it to the matting Laplacian.
"""

NEAREST = 3
"""Samples whose distance counts for that."""

WEIGHT = 3e-3
"""
Of the prior where it is certain, beside the matting Laplacian's own coefficients of about 1;
docs/decisions/0010-a-prior-from-colours.md has a table.
"""

PIXELS_AT_A_TIME = 1 << 16
"""Compared in one go, in 20 MB."""


class Prior(NamedTuple):
    """
    What alpha is likely to be.

    Attributes:
        alpha: float32 (H, W), [0, 1].
        weight: of (alpha - prior alpha)^2 in the energy that is minimised, float32 (H, W), >= 0.
    """

    alpha: FloatArray
    weight: FloatArray


def prior_from_colours(image: FloatArray, trimap: FloatArray, place: float = PLACE) -> Prior:
    """
    Compare the colour and the place of each unknown pixel with those known on either side.

    Of the NEIGHBOURS samples that are most alike, n_F are foreground and n_B background; with as
    many samples of either side, p = n_F / (n_F + n_B) is the probability that a pixel of this
    colour is foreground there. Its weight is WEIGHT (2 p - 1)^2 exp(-d^2 / 2 LIKENESS^2), with d
    the root mean square distance to the NEAREST of them: nothing where both sides have the colour,
    or neither.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.
        place: what the diagonal counts as, in distances of colours, >= 0.

    Returns:
        The prior; of no weight in known pixels, and nowhere of any where a side has fewer than
        NEIGHBOURS pixels.

    Source:
        Bayes' rule with densities of the nearest neighbours (Loftsgaarden and Quesenberry 1965).
        As a soft constraint of the Laplacian: Levin, Lischinski and Weiss 2008, section 4. That
        only pixels like one of the sides get a weight is our own.
    """
    prior = Prior(np.zeros_like(trimap), np.zeros_like(trimap))
    random = np.random.default_rng(0)
    sides = [_some(np.flatnonzero(trimap == side), random) for side in (0, 1)]
    unknown = np.flatnonzero(trimap == UNKNOWN)
    if min(map(len, sides)) < NEIGHBOURS or not len(unknown):
        return prior
    tree = cKDTree(np.concatenate([_features(image, side, place) for side in sides]))
    alpha, weight = (plane.reshape(-1) for plane in prior)
    for start in range(0, len(unknown), PIXELS_AT_A_TIME):
        some = unknown[start : start + PIXELS_AT_A_TIME]
        alpha[some], weight[some] = _vote(tree, _features(image, some, place), len(sides[0]))
    return prior


def _some(pixels: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    count = min(len(pixels), SAMPLES)
    return pixels[random.choice(len(pixels), count, replace=False)]


def _features(image: FloatArray, pixels: NDArray[np.int64], place: float) -> FloatArray:
    """Colour and place of the pixels of these indices (N), in raster order; (N, 5)."""
    height, width = image.shape[:2]
    rows, columns = np.divmod(pixels, width)
    scale = place / np.hypot(height, width)
    colours = image.reshape(-1, 3)[pixels]
    return np.column_stack([colours, scale * rows, scale * columns]).astype(np.float32)


def _vote(
    samples: cKDTree, pixels: FloatArray, background_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prior alpha and weight of pixels (N, 5); the background's samples come first."""
    threads = max(1, cv2.getNumThreads())  # one where others already keep every core busy
    distances, nearest = samples.query(pixels, NEIGHBOURS, workers=threads)
    is_foreground = nearest >= background_count
    votes = np.where(is_foreground, 1 / (samples.n - background_count), 1 / background_count)
    alpha = (votes * is_foreground).sum(axis=1) / votes.sum(axis=1)
    squared = np.square(distances[:, :NEAREST]).mean(axis=1)
    return alpha, WEIGHT * (2 * alpha - 1) ** 2 * np.exp(-squared / (2 * LIKENESS**2))

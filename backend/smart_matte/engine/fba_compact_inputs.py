"""What our own network is given: a guess at alpha and both colours, and FBA's channels."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from smart_matte.engine.closed_form import ClosedFormMatter
from smart_matte.engine.colour_prior import PLACE, prior_from_colours
from smart_matte.engine.fba_inputs import IMAGE_MEAN, IMAGE_STD, nearness, squared_distances
from smart_matte.engine.foreground import estimate_colours_multilevel
from smart_matte.engine.models.fba_compact import CHANNELS, GUESS
from smart_matte.engine.types import FloatArray, Progress

GUESS_SCALE = 0.5
"""
Of the picture's size, at which the guess at alpha is solved. On wide trimaps that is better than
the full size, in a third of the time: docs/benchmarks.md.
"""

GUESS_TOLERANCE = 1e-3
"""Of the solver: further rounds change what the network corrects anyway."""


@dataclass(frozen=True)
class Guess:
    """
    What equations say, before the network.

    Attributes:
        alpha: float32 (H, W), [0, 1]; the trimap where that is known.
        foreground: straight, sRGB-coded, float32 (H, W, 3), [0, 1]; the image's where alpha is
            known to be 1.
        background: the same for what lies behind, and where alpha is known to be 0.
        note: one sentence when the solver had to do less than it should, else empty.
    """

    alpha: FloatArray
    foreground: FloatArray
    background: FloatArray
    note: str = ""


def guess_matte(
    image: FloatArray, trimap: FloatArray, progress: Progress, *, place: float = PLACE
) -> Guess:
    """
    Guess alpha by the matting Laplacian and what is known's colours, and the colours by that alpha.

    On the CPU.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.
        progress: told about stage "matting".
        place: of ``prior_from_colours``; for a part of a picture, its share of the diagonal.
    """
    solver = ClosedFormMatter(
        most_scale=GUESS_SCALE,
        tolerance=GUESS_TOLERANCE,
        find_prior=partial(prior_from_colours, place=place),
    )
    matte = solver.matte(image, trimap, progress)
    foreground, background = estimate_colours_multilevel(image, matte.alpha)
    foreground[trimap == 1] = image[trimap == 1]
    background[trimap == 0] = image[trimap == 0]
    return Guess(matte.alpha, foreground, background, matte.note)


class Channels:
    """
    The network's input, made for one part of the picture at a time: whole it takes 72 B/px.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.
        guess: of the same size.
    """

    def __init__(self, image: FloatArray, trimap: FloatArray, guess: Guess) -> None:
        self._image = image
        self._trimap = trimap
        self._guess = guess
        self._distances = [squared_distances(trimap == side) for side in (0, 1)]

    def within(self, rows: slice, columns: slice) -> FloatArray:
        """
        Make the channels of a part.

        Returns:
            float32 (CHANNELS, h, w): ``encode_inputs``' eleven; then, from GUESS on, the guess:
            alpha, foreground, background.
        """
        part = rows, columns
        trimap = self._trimap[part]
        channels = np.empty((CHANNELS, *trimap.shape), np.float32)
        channels[:3] = ((self._image[part] - IMAGE_MEAN) / IMAGE_STD).transpose(2, 0, 1)
        for side, squared_px in enumerate(self._distances):  # background first
            channels[3 + 3 * side : 6 + 3 * side] = nearness(squared_px[part])
            channels[9 + side] = trimap == side
        channels[GUESS] = self._guess.alpha[part]
        channels[GUESS + 1 : GUESS + 4] = self._guess.foreground[part].transpose(2, 0, 1)
        channels[GUESS + 4 :] = self._guess.background[part].transpose(2, 0, 1)
        return channels

"""The soft edge, moved in- or outwards without being cut off or blurred."""

import numpy as np

from smart_matte.engine.types import UNKNOWN, FloatArray

STRONGEST = 0.4
"""How far 100 % takes Schlick's b from its middle, 0.5; by eye: 0.45 turns single hairs to wire."""


def shifted_edge(alpha: FloatArray, trimap: FloatArray, percent: float) -> FloatArray:
    """
    Move the soft edge by a bias curve on alpha, in the unknown region only.

        result = alpha / ((1/b - 2) (1 - alpha) + 1),    b = 0.5 + STRONGEST * percent / 100

    0 and 1 stay, and alpha 1 - b becomes 0.5: so the contour moves no farther than the edge is
    soft. The same *percent* with the other sign undoes it.

    Args:
        alpha: opacity of the subject, float32 (H, W), [0, 1].
        trimap: float32 (H, W); 0, 0.5, 1.
        percent: [-100, 100]; negative moves inwards, positive outwards, 0 changes no bit.

    Returns:
        float32 (H, W), [0, 1]; exactly *alpha* outside the unknown region.

    Source:
        Schlick 1994, "Fast Alternatives to Perlin's Bias and Gain Functions", Graphics Gems IV.
    """
    middle = 0.5 + STRONGEST * percent / 100
    bias = 1 / middle - 2
    shifted = alpha / (bias * (1 - alpha) + 1)
    return np.where(trimap == UNKNOWN, shifted, alpha)

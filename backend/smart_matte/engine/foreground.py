"""The subject's own colour: the background's taken out of it where the two mix."""

import numpy as np

from smart_matte.engine.types import UNKNOWN, FloatArray


def decontaminated(
    image: FloatArray, foreground: FloatArray, trimap: FloatArray, percent: float
) -> FloatArray:
    """
    Blend the picture's colour towards the estimated foreground, in the unknown region only.

        result = I + percent / 100 * (F - I)

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        foreground: estimated foreground colour, straight, same layout and range.
        trimap: float32 (H, W); 0, 0.5, 1.
        percent: [0, 100]; 0 keeps the picture's colour.

    Returns:
        float32 (H, W, 3), [0, 1]; exactly *image* outside the unknown region.
    """
    amount = np.where(trimap == UNKNOWN, np.float32(percent / 100), np.float32(0))[..., None]
    result: FloatArray = image + amount * (foreground - image)
    return result


def estimate_foreground_multilevel(image: FloatArray, alpha: FloatArray) -> FloatArray:
    """
    Estimate foreground colour from an image and its alpha; see ``estimate_colours_multilevel``.

    Returns:
        Straight foreground colour, float32 (H, W, 3), [0, 1], defined everywhere.
    """
    return estimate_colours_multilevel(image, alpha)[0]


def estimate_colours_multilevel(
    image: FloatArray, alpha: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """
    Estimate foreground and background colour from an image and its alpha.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        alpha: float32 (H, W), [0, 1].

    Returns:
        Both as straight colour, float32 (H, W, 3), [0, 1], defined everywhere.

    Source:
        Germer, Uelwer, Conrad and Harmeling 2020, "Fast Multi-Level Foreground Estimation", as
        pymatting computes it with its default settings.
    """
    # numba makes this import slow: only a job that needs it pays
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml  # noqa: PLC0415

    foreground, background = estimate_foreground_ml(image, alpha, return_background=True)
    return (
        np.clip(np.asarray(foreground, np.float32), 0, 1),
        np.clip(np.asarray(background, np.float32), 0, 1),
    )

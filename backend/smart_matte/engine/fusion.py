"""FBA Matting's fusion: the image's own evidence refines what the network predicted."""

import numpy as np

from smart_matte.engine.types import AnyArray

ALPHA_WEIGHT = 0.1
"""Lambda: how much the predicted alpha counts against the image; sigma_C^2 / sigma_alpha^2."""


def fuse_fba(
    image: AnyArray,
    alpha: AnyArray,
    foreground: AnyArray,
    background: AnyArray,
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """
    Move colours, then alpha, towards what composites to the image.

        F' = F + a (I - a F - (1 - a) B)
        B' = B + (1 - a) (I - a F' - (1 - a) B)              then both clamped to [0, 1]
        a' = (lambda a + (I - B')·(F' - B')) / (lambda + |F' - B'|^2)        clamped as well

    Args:
        image: sRGB-coded colour, (H, W, 3), [0, 1]; all arrays float32, or all float64.
        alpha: predicted, (H, W), [0, 1].
        foreground: predicted straight colour, as *image*.
        background: the same for what lies behind.

    Returns:
        alpha, foreground, background of the same shapes and type, in [0, 1].

    Source:
        Forte and Pitié, "F, B, Alpha Matting", arXiv:2003.07711, with lambda from the authors'
        code. As there one step is taken, one quantity after the other: B' sees the new F'.
    """
    opacity = alpha[..., np.newaxis]
    foreground = foreground + opacity * (image - opacity * foreground - (1 - opacity) * background)
    background = background + (1 - opacity) * (
        image - opacity * foreground - (1 - opacity) * background
    )
    foreground, background = foreground.clip(0, 1), background.clip(0, 1)
    span = foreground - background
    explained = ((image - background) * span).sum(axis=-1)
    fused = (ALPHA_WEIGHT * alpha + explained) / (ALPHA_WEIGHT + (span * span).sum(axis=-1))
    return fused.clip(0, 1), foreground, background


def restore_known(
    image: AnyArray,
    trimap: AnyArray,
    alpha: AnyArray,
    foreground: AnyArray,
    background: AnyArray,
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """
    Put back what the trimap knows, and the image's own colour where it is one colour alone.

        alpha = trimap where that is 0 or 1;   F = I where alpha = 1;   B = I where alpha = 0

    Args:
        image: sRGB-coded colour, (H, W, 3), [0, 1].
        trimap: (H, W); 0 background, 1 foreground, unknown in between.
        alpha: (H, W).
        foreground: (H, W, 3).
        background: (H, W, 3).

    Returns:
        New alpha, foreground, background. Unknown pixels that turned out to be exactly 0 or 1
        get the image's colour, too.
    """
    is_known = (trimap == 0) | (trimap == 1)
    alpha = np.where(is_known, trimap.astype(alpha.dtype), alpha)
    opacity = alpha[..., np.newaxis]
    foreground = np.where(opacity == 1, image, foreground)
    background = np.where(opacity == 0, image, background)
    return alpha, foreground, background

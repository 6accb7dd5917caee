"""The only place where sample types and channel layouts are converted."""

from dataclasses import dataclass

import numpy as np

from smart_matte.engine.types import AnyArray, BoolArray, FloatArray
from smart_matte.errors import PictureError, SelectionError

FULL_SCALE = {"u1": 255, "u2": 65535}
"""Integer sample types and the value that means 1.0."""


@dataclass(frozen=True)
class WorkingImage:
    """
    A picture as the engine computes with it.

    Attributes:
        colour: sRGB-coded, float32 (H, W, 3); [0, 1], values beyond it clipped away.
        alpha: the layer's own opacity, float32 (H, W), [0, 1]; None when it is opaque.
    """

    colour: FloatArray
    alpha: FloatArray | None


def to_working(image: AnyArray) -> WorkingImage:
    """
    Convert any supported picture to float32 RGB and its own opacity.

    Args:
        image: uint8, uint16, float16, float32 or float64; (H, W) gray, (H, W, 1) gray,
            (H, W, 2) gray and alpha, (H, W, 3) RGB or (H, W, 4) RGB and straight alpha;
            integers in full scale, floats with 1.0 as white; sRGB-coded.

    Raises:
        PictureError: another sample type or layout, no pixels, or values that are not finite.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):  # noqa: PLR2004
        raise PictureError(
            f"The picture has shape {image.shape}; it has to be (H, W) or (H, W, 1 to 4)."
        )
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise PictureError("The picture has no pixels; open one that has.")
    samples = _to_float(image)
    bad = np.count_nonzero(~np.isfinite(samples))
    if bad:
        raise PictureError(
            f"The picture holds {bad} values that are not numbers (NaN or infinity);"
            " replace them and try again."
        )
    channels = np.clip(samples if image.ndim == 3 else samples[..., None], 0, 1)  # noqa: PLR2004
    has_alpha = channels.shape[2] in (2, 4)
    colour = channels[..., :-1] if has_alpha else channels
    alpha = np.ascontiguousarray(channels[..., -1]) if has_alpha else None
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    return WorkingImage(
        np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3))), alpha
    )


def to_coverage(selection: AnyArray, shape: tuple[int, int]) -> FloatArray:
    """
    Convert a selection to float32 coverage.

    Args:
        selection: (H, W) of bool, uint8, uint16 or float; integers in full scale.
        shape: (H, W) of the picture.

    Returns:
        float32 (H, W), [0, 1].

    Raises:
        SelectionError: it has another size than the picture, or values that are not finite.
    """
    if selection.ndim == 3 and selection.shape[2] == 1:  # noqa: PLR2004  (H, W, 1)
        selection = selection[..., 0]
    if selection.shape != shape:
        found = " x ".join(str(side) for side in selection.shape[1::-1] + selection.shape[2:])
        raise SelectionError(
            f"The selection is {found} but the picture is {shape[1]} x {shape[0]};"
            " give a selection of the picture's size."
        )
    try:
        coverage = selection.astype(np.float32) if selection.dtype == bool else _to_float(selection)
    except PictureError as error:
        raise SelectionError(f"The selection can't be used: {error}") from error
    if not np.isfinite(coverage).all():
        raise SelectionError("The selection holds values that are not numbers; draw it again.")
    return np.clip(coverage, 0, 1)


def foreground_in_own_depth(image: AnyArray, change: FloatArray, is_changed: BoolArray) -> AnyArray:
    """
    Apply a change of colour in the picture's own sample type and colour channels.

    A change, because values that the engine saw clipped to [0, 1] then keep what was clipped.

    Args:
        image: the picture as it came (see to_working).
        change: foreground minus the colour that the engine saw, float32 (H, W, 3), [-1, 1].
        is_changed: bool (H, W), where the change counts.

    Returns:
        The type of *image*; (H, W, 3), or (H, W) for a gray picture. Bit-exactly the picture's
        own colour wherever *is_changed* is False.
    """
    is_gray = image.ndim == 2 or image.shape[2] <= 2  # noqa: PLR2004
    own = image if image.ndim == 2 else image[..., 0] if is_gray else image[..., :3]  # noqa: PLR2004
    own_change = change.mean(axis=2) if is_gray else change
    scale = FULL_SCALE.get(image.dtype.str[1:])
    if scale is None:
        new = own + own_change
    else:
        new = np.clip(np.rint(own + own_change * np.float32(scale)), 0, scale)
    keep = ~is_changed if is_gray else ~is_changed[..., None]
    result: AnyArray = np.where(keep, own, new.astype(image.dtype))
    return result


def _to_float(samples: AnyArray) -> FloatArray:
    scale = FULL_SCALE.get(samples.dtype.str[1:])
    if scale is not None:
        return samples.astype(np.float32) / np.float32(scale)
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as such
            return samples.astype(np.float32)
    raise PictureError(
        f"Samples of type {samples.dtype} are not supported; use uint8, uint16 or a float type."
    )

"""The picture as it came from its file."""

from dataclasses import dataclass

import numpy as np

from smart_matte.engine.types import AnyArray, FloatArray


@dataclass(frozen=True, eq=False)
class Picture:
    """
    A picture in its file's own depth and colour space, turned upright.

    Attributes:
        pixels: straight colour, uint8, uint16 or float32 (H, W, 3). Integers in full scale, floats
            with 1.0 as white and values beyond [0, 1] kept. A gray file has three equal channels.
        alpha: the file's own opacity, (H, W) in the type of *pixels*; None when it has none.
        was_gray: the file holds gray, not colours.
        icc_profile: the RGB profile that *pixels* are coded in, for outputs to carry; None is sRGB.
        name: what to call the picture in a sentence, its path or “standard input”.
        notes: what the user should know about the reading, each one sentence.
    """

    pixels: AnyArray
    alpha: AnyArray | None = None
    was_gray: bool = False
    icc_profile: bytes | None = None
    name: str = "the picture"
    notes: tuple[str, ...] = ()


def white_level(dtype: np.dtype) -> float:
    """The value that means 1.0: 255, 65535, or 1.0 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def from_unit(samples: FloatArray, dtype: np.dtype) -> AnyArray:
    """
    Bring samples in [0, 1] to a type's full scale.

    Args:
        samples: any shape, [0, 1].
        dtype: uint8 and uint16 are rounded to; floats keep their values.

    Returns:
        The shape of *samples*, of type *dtype*.
    """
    scaled = np.rint(samples * white_level(dtype)) if dtype.kind == "u" else samples
    return scaled.astype(dtype)


def to_unit(samples: AnyArray) -> FloatArray:
    """Full scale to 1.0, float32; floats keep their values, those beyond [0, 1] too."""
    return samples.astype(np.float32) / np.float32(white_level(samples.dtype))

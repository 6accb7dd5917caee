"""One picture whose alpha is known, as every set gives it."""

from dataclasses import dataclass

from smart_matte.engine.types import FloatArray


@dataclass(frozen=True)
class Sample:
    """
    One picture and what is known about it.

    Attributes:
        name: of the picture, unique in its set.
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground. None in SELECTED_SETS.
        alpha: what a result is held against, float32 (H, W), [0, 1]: measured truth, in
            "synthetic" rendered truth, in "fba-reference" what the published FBA network gave.
        foreground: straight foreground colour of the same origin, sRGB-coded, float32 (H, W, 3),
            [0, 1]; None where it isn't known.
    """

    name: str
    image: FloatArray
    trimap: FloatArray | None
    alpha: FloatArray
    foreground: FloatArray | None = None

"""The interface that every matting model answers to."""

from dataclasses import dataclass
from typing import Protocol

from smart_matte.engine.types import FloatArray, Progress


@dataclass(frozen=True)
class Matte:
    """
    What a matting model found.

    Attributes:
        alpha: opacity of the foreground, float32 (H, W), [0, 1].
        foreground: straight foreground colour, float32 (H, W, 3), [0, 1], sRGB-coded; None
            when the model estimates alpha alone.
        background: as *foreground*, for what lies behind.
        tiles: how many pieces it was computed in.
        note: one sentence when the model had to do less than asked for (say, a smaller working
            resolution), else empty.
    """

    alpha: FloatArray
    foreground: FloatArray | None = None
    background: FloatArray | None = None
    tiles: int = 1
    note: str = ""


class Matter(Protocol):
    """A matting model, loaded and ready."""

    @property
    def name(self) -> str:
        """The name that ``--matter`` knows it by."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:0", "mps"."""

    @property
    def precision(self) -> str:
        """Sample type it computes in: "float32", "float64"."""

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        """
        Estimate alpha (and colours where the model can) from an image and a trimap.

        Args:
            image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
            trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.
            progress: told about stage "matting".

        Returns:
            A Matte whose alpha is exactly 0 in known background and 1 in known foreground.
        """

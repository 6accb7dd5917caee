"""What a segmentation network says about a picture, and how much of it is the subject."""

from dataclasses import dataclass
from typing import Protocol

from smart_matte.engine.types import FloatArray


@dataclass(frozen=True)
class Segmentation:
    """
    Class scores of a picture at the network's own resolution.

    Attributes:
        logits: raw class scores, float32 (C, h, w); h and w are the network's, not the picture's.
        class_names: C names; index 0 is the background.
    """

    logits: FloatArray
    class_names: tuple[str, ...]


class Segmenter(Protocol):
    """A segmentation network, loaded and ready."""

    @property
    def name(self) -> str:
        """The name that ``--segmenter`` knows it by."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:0", "mps"."""

    def segment(self, image: FloatArray) -> Segmentation:
        """
        Score every class at every place.

        Args:
            image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        """

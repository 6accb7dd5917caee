"""What one engine came to on one picture."""

from dataclasses import asdict, dataclass
from typing import Any

from smart_matte.evaluation.colour_errors import ColourErrors
from smart_matte.evaluation.metrics import Errors


@dataclass(frozen=True)
class Row:
    """
    One engine on one picture.

    Attributes:
        set_name: the set that the picture belongs to.
        picture: its name.
        matter: the matting model that ran.
        device: where it ran.
        segmenter: what was to help the selection; empty in sets with trimaps.
        segmenter_used: what really helped; differs from *segmenter* after a fallback.
        unknown_share: share of the picture that the trimap left to the matting model, [0, 1].
        errors: in the unknown region for sets with trimaps, over the whole picture for "rough" and
            "loose".
        seconds: wall time, models loaded and warm.
        selection_sad: how far the selection alone is off over the whole picture; None in sets
            with trimaps.
        known_sad: the part of the SAD that lies outside the trimap's unknown region, where no
            matting model could mend it; None in sets with trimaps.
        colours: of the foreground in the unknown region; None where its truth isn't known.
    """

    set_name: str
    picture: str
    matter: str
    device: str
    segmenter: str
    segmenter_used: str
    unknown_share: float
    errors: Errors
    seconds: float
    selection_sad: float | None = None
    known_sad: float | None = None
    colours: ColourErrors | None = None

    @property
    def engine(self) -> str:
        """The matting model and, where one was asked for, the segmenter."""
        return " + ".join(filter(None, (self.matter, self.segmenter)))

    @property
    def is_worse(self) -> bool:
        """Whether the user would have been better off with the selection alone."""
        return self.selection_sad is not None and self.errors.sad > self.selection_sad

    def as_dict(self) -> dict[str, Any]:
        """The same facts as plain JSON types."""
        return {**asdict(self), "is_worse": self.is_worse}

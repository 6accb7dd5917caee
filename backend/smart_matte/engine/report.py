"""What really happened in a job: devices, models, times, and every fallback with its reason."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fallback:
    """
    Something better was wanted than what ran.

    Attributes:
        wanted: the engine or setting that was asked for, or that ``auto`` would prefer.
        used: what ran instead.
        why: one plain sentence, and the command that would change it where there is one.
    """

    wanted: str
    used: str
    why: str


@dataclass
class Report:
    """
    Facts about one job, filled in as it runs.

    Attributes:
        device: the device that the matting ran on, "cpu", "cuda:0", "mps".
        segmenter: name of the segmenter that ran.
        matter: name of the matting model that ran.
        precision: sample type the matting computed in, "float32", "float64", "float16".
        tiles: how many pieces the matting was computed in; 1 is the whole region at once.
        unknown_share: share of the picture's pixels in the trimap's unknown region, [0, 1].
        stage_ms: milliseconds by stage, in the order the stages ran.
        fallbacks: every fallback and why.
    """

    device: str = "cpu"
    segmenter: str = ""
    matter: str = ""
    precision: str = "float32"
    tiles: int = 1
    unknown_share: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)
    fallbacks: list[Fallback] = field(default_factory=list)

    @property
    def total_ms(self) -> float:
        """Milliseconds of all stages together."""
        return sum(self.stage_ms.values())

    def as_dict(self) -> dict[str, Any]:
        """The same facts as plain JSON types."""
        return {**asdict(self), "total_ms": self.total_ms}

    def summary(self) -> str:
        """One line: device, models, milliseconds, share of unknown pixels, fallbacks."""
        line = (
            f"{self.device} · {self.matter} ({self.precision}) · trimap by {self.segmenter}"
            f" · {self.total_ms:.0f} ms · {self.unknown_share:.1%} unknown"
        )
        if self.tiles > 1:
            line += f" · {self.tiles} tiles"
        for fallback in self.fallbacks:
            line += f" · {fallback.used} instead of {fallback.wanted}: {fallback.why}"
        return line

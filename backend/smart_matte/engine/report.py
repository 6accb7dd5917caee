"""What really happened in a job: devices, models, times, and every fallback with its reason."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self


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
        classes: names of the classes that the segmenter took for the subject.
        fallbacks: every fallback and why.
        notes: sentences about what was done with less than full detail.
    """

    device: str = "cpu"
    segmenter: str = ""
    matter: str = ""
    precision: str = "float32"
    tiles: int = 1
    unknown_share: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    fallbacks: list[Fallback] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def total_ms(self) -> float:
        """Milliseconds of all stages together."""
        return sum(self.stage_ms.values())

    def as_dict(self) -> dict[str, Any]:
        """The same facts as plain JSON types."""
        return {**asdict(self), "total_ms": self.total_ms}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Self:
        """The report that ``as_dict`` made these of; facts that this version doesn't know go."""
        known = {name: facts[name] for name in cls.__dataclass_fields__ if name in facts}
        known["classes"] = tuple(known.get("classes", ()))
        known["fallbacks"] = [Fallback(**fallback) for fallback in known.get("fallbacks", ())]
        return cls(**known)

    def summary(self) -> str:
        """One line: device, models, milliseconds, share of unknown pixels, notes, fallbacks."""
        return " · ".join([self.facts(), *self.remarks()])

    def facts(self) -> str:
        """What ran, and how long."""
        trimap = "as given" if self.segmenter == "trimap" else f"by {self.segmenter}"
        found = f" ({', '.join(self.classes)})" if self.classes else ""
        line = (
            f"{self.device} · {self.matter} ({self.precision}) · trimap {trimap}{found}"
            f" · {self.total_ms:.0f} ms · {self.unknown_share:.1%} unknown"
        )
        return f"{line} · {self.tiles} tiles" if self.tiles > 1 else line

    def remarks(self) -> list[str]:
        """The notes, and each fallback with its reason, as sentences."""
        return self.notes + [
            f"{fallback.used} instead of {fallback.wanted}: {fallback.why}"
            for fallback in self.fallbacks
        ]

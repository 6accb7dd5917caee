"""What a user can choose about a job, with the defaults, checked once."""

from dataclasses import dataclass, replace
from typing import Any, Self

from smart_matte.errors import OptionError

MATTERS = ("fba", "fba-compact", "closed-form")
"""Matting models, best first. ``auto`` takes the first whose weights are installed."""

NETWORK_SEGMENTERS = (
    "deeplabv3-mobilenetv2",
    "deeplabv3-resnet101",
    "deeplabv3-resnet50",
    "deeplabv3-mobilenet",
)
"""Segmentation networks; the first is the default because it is small and fast."""

SEGMENTERS = (*NETWORK_SEGMENTERS, "grabcut", "selection")
"""The networks, the selection refined by its colours, and the selection as it was drawn."""

TRIMAPS = ("refined", "probability")
"""How a trimap is built: refined to the picture's edges, or from thresholds and radii alone."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    Choices for one job; every default is what most people want.

    Attributes:
        matter: matting model, one of MATTERS or "auto" (the best that is installed).
        segmenter: what helps the selection, one of SEGMENTERS or "auto" (the default network
            when it is installed, else "grabcut").
        device: torch device for the networks, "auto", "cpu", "cuda", "cuda:1", "mps".
        classes: names of the classes that are the subject, as the segmenter knows them; empty
            lets the selection decide, or takes all but the background.
        trimap: one of TRIMAPS.
        outer_radius_px: how far outside the found edge stays unknown, in pixels; None is
            1.2 % of the picture's diagonal. Wider than 3 % of it, it also widens how far from
            the drawn line the edge is looked for.
        inner_radius_px: how far inside the found edge stays unknown, in pixels; None is
            0.8 % of the diagonal.
        low_probability: below it a pixel is background, [0, 1]; for trimap "probability".
        high_probability: above it a pixel is foreground, [0, 1]; for trimap "probability".
        holes: whether background-coloured places inside the subject, where they go on outside,
            become unknown.
        decontaminate: how much of the background's colour is taken out of the foreground,
            percent, [0, 100].
        shift_edge: how far the soft edge moves within the unknown region, percent, [-100, 100];
            negative inwards, positive outwards.
        own_alpha: whether the resulting alpha contains the picture's own opacity. An editor that
            keeps the layer's own and puts the result into a layer mask says no, else what is
            half transparent would count twice.
    """

    matter: str = "auto"
    segmenter: str = "auto"
    device: str = "auto"
    classes: tuple[str, ...] = ()
    trimap: str = "refined"
    outer_radius_px: float | None = None
    inner_radius_px: float | None = None
    low_probability: float = 0.05
    high_probability: float = 0.95
    holes: bool = True
    decontaminate: float = 100.0
    shift_edge: float = 0.0
    own_alpha: bool = True

    def __post_init__(self) -> None:
        """
        Refuse impossible values.

        Raises:
            OptionError: says which option, which value, and what would do.
        """
        if isinstance(self.classes, str):
            raise OptionError(f"classes is “{self.classes}”; give a tuple of names.")
        _check_choice("matting model", self.matter, ("auto", *MATTERS))
        _check_choice("segmenter", self.segmenter, ("auto", *SEGMENTERS))
        _check_choice("trimap", self.trimap, TRIMAPS)
        _check_range("decontaminate", self.decontaminate, 0, 100)
        _check_range("shift edge", self.shift_edge, -100, 100)
        _check_bool("holes", value=self.holes)
        _check_bool("own alpha", value=self.own_alpha)
        _check_range("the low probability", self.low_probability, 0, 1)
        _check_range("the high probability", self.high_probability, 0, 1)
        if self.low_probability > self.high_probability:
            raise OptionError(
                f"The low probability {self.low_probability:g} is above the high probability"
                f" {self.high_probability:g}; give them the other way round."
            )
        for name in ("outer", "inner"):
            radius_px = getattr(self, f"{name}_radius_px")
            if radius_px is not None:
                _check_range(f"the {name} radius", radius_px, 0, 10_000)

    @classmethod
    def learnopencv(cls, **changes: object) -> Self:
        """
        The trimap of LearnOpenCV's FBA article (P. Semkin, 2020): one class, 7 px, no erosion.

        Foreground is p > 0.95 of the class "person" (name others in *changes*); unknown is what
        a 15 x 15 square reaches from p > 0.05.
        """
        return cls(
            trimap="probability",
            classes=("person",),
            low_probability=0.05,
            high_probability=0.95,
            outer_radius_px=7,
            inner_radius_px=0,
        ).with_changes(**changes)

    @classmethod
    def carvekit(cls, **changes: object) -> Self:
        """
        The trimap of CarveKit: any class, dilation 30 px, erosion 5 px.

        CarveKit takes the argmax over the classes; here a pixel belongs to the subject when all
        classes but the background reach p > 0.5 together, which is a little more generous.
        """
        return cls(
            trimap="probability",
            low_probability=0.5,
            high_probability=0.5,
            outer_radius_px=30,
            inner_radius_px=5,
        ).with_changes(**changes)

    def as_dict(self) -> dict[str, Any]:
        """The choices that differ from the defaults, as plain JSON types."""
        chosen = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {**chosen, "classes": list(self.classes)}
        defaults = {**{name: getattr(type(self), name) for name in chosen}, "classes": []}
        return {name: value for name, value in plain.items() if value != defaults[name]}

    def with_changes(self, **changes: object) -> Self:
        """The same options but for *changes*."""
        return replace(self, **changes)  # type: ignore[arg-type]


RECIPES = {"learnopencv": Options.learnopencv, "carvekit": Options.carvekit}
"""Published trimap recipes by name."""


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"There is no {what} “{value}”; choose one of: {', '.join(choices)}.")


def _check_bool(name: str, *, value: object) -> None:
    if not isinstance(value, bool):
        raise OptionError(f"{name[0].upper()}{name[1:]} is “{value}”; it has to be True or False.")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and low <= value <= high):
        raise OptionError(
            f"{name[0].upper()}{name[1:]} is {value}; it has to be between {low:g} and {high:g}."
        )

"""What the plug-ins let users choose: names, words, ranges, and what the backend makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from smart_matte_link.translation import N_

if TYPE_CHECKING:
    from collections.abc import Mapping


class Number(NamedTuple):
    """A number in a range."""

    name: str
    label: str
    blurb: str
    low: float
    high: float
    default: float


class OneOf(NamedTuple):
    """One of several: (value, words)."""

    name: str
    label: str
    blurb: str
    values: tuple[tuple[str, str], ...]
    default: str


class Switch(NamedTuple):
    """Yes or no."""

    name: str
    label: str
    blurb: str
    default: bool


class Text(NamedTuple):
    """Words that the user types."""

    name: str
    label: str
    blurb: str
    default: str


RADIUS_MAX_PX = 500.0

OUTPUT = OneOf(
    "output",
    N_("Output to"),
    N_("Where the result goes"),
    (
        ("layer", N_("New layer with mask")),
        ("mask", N_("Mask on this layer")),
        ("selection", N_("Selection")),
        ("trimap", N_("Trimap layer, to repaint")),
    ),
    "layer",
)

BASIC = (
    Number(
        "radius",
        N_("Edge radius"),
        N_("How far from the subject's edge hair may reach, in pixels; 0 chooses by itself"),
        0.0,
        RADIUS_MAX_PX,
        0.0,
    ),
    Number(
        "shift-edge",
        N_("Shift edge"),
        N_("Moves the soft edge inwards (below 0) or outwards (above 0), in percent"),
        -100.0,
        100.0,
        0.0,
    ),
    Number(
        "decontaminate",
        N_("Decontaminate colours"),
        N_("How much of the background's colour is taken out of the hair, in percent"),
        0.0,
        100.0,
        100.0,
    ),
)

ADVANCED = (
    OneOf(
        "matter",
        N_("Matting model"),
        N_("What works out the hair; automatic takes the best that is installed"),
        (
            ("auto", N_("Automatic")),
            ("fba", "FBA Matting"),
            ("fba-compact", "FBA compact"),
            ("closed-form", N_("Closed-form (no download)")),
        ),
        "auto",
    ),
    OneOf(
        "segmenter",
        N_("Subject finder"),
        N_("What helps the selection; automatic takes the best that is installed"),
        (
            ("auto", N_("Automatic")),
            ("deeplabv3-mobilenetv2", "DeepLabV3 MobileNetV2"),
            ("deeplabv3-resnet101", "DeepLabV3 ResNet-101"),
            ("deeplabv3-resnet50", "DeepLabV3 ResNet-50"),
            ("deeplabv3-mobilenet", "DeepLabV3 MobileNetV3"),
            ("grabcut", N_("Colours of the selection")),
            ("selection", N_("The selection as drawn")),
        ),
        "auto",
    ),
    Text(
        "classes",
        N_("Kinds of subject"),
        N_("What the subject is, such as “person” or “cat, dog”; empty lets the selection decide"),
        "",
    ),
    Text(
        "device",
        N_("Device"),
        N_("What computes: auto, cpu, cuda, cuda:1, mps"),
        "auto",
    ),
    OneOf(
        "trimap-method",
        N_("Trimap from"),
        N_("How the unknown band along the edge is found"),
        (
            ("refined", N_("The picture's edges")),
            ("probability", N_("The subject finder alone")),
        ),
        "refined",
    ),
    Number(
        "inner-radius",
        N_("Inner radius"),
        N_("How far inside the subject's edge stays unknown, in pixels; 0 chooses by itself"),
        0.0,
        RADIUS_MAX_PX,
        0.0,
    ),
    Number(
        "low-probability",
        N_("Background below"),
        N_("With “The subject finder alone”: below this probability is background"),
        0.0,
        1.0,
        0.05,
    ),
    Number(
        "high-probability",
        N_("Foreground above"),
        N_("With “The subject finder alone”: above this probability is foreground"),
        0.0,
        1.0,
        0.95,
    ),
    Switch(
        "holes",
        N_("Look into holes"),
        N_("Whether gaps between hairs or leaves that go on outside are looked for"),
        default=True,
    ),
)

HIDE_ORIGINAL = Switch(
    "hide-original",
    N_("Hide the original"),
    N_("Whether the original layer is made invisible, so that the new layer shows"),
    default=True,
)

FINISHING_OPTIONS = ("decontaminate", "shift_edge", "own_alpha")
"""The backend's options that ``refine`` changes without computing the matte again."""

OPTION_NAMES = {
    "radius": "outer_radius_px",
    "inner-radius": "inner_radius_px",
    "trimap-method": "trimap",
}
"""The backend's names where they aren't the choice's own with underscores."""

AUTOMATIC_AT_0 = ("radius", "inner-radius")


def to_options(chosen: Mapping[str, Any], scale: float = 1.0) -> dict[str, Any]:
    """
    The backend's options for what the user chose.

    Args:
        chosen: by the names of BASIC and ADVANCED; None and what is missing are the default.
        scale: pixels that are sent for each pixel of the picture, along a side.
    """
    options: dict[str, Any] = {"own_alpha": False}
    for choice in (*BASIC, *ADVANCED):
        value = chosen.get(choice.name)
        if value in {None, choice.default}:
            continue
        if choice.name in AUTOMATIC_AT_0:
            value *= scale
        elif choice.name == "classes":
            value = [name.strip() for name in value.split(",") if name.strip()]
        options[OPTION_NAMES.get(choice.name, choice.name.replace("-", "_"))] = value
    return options

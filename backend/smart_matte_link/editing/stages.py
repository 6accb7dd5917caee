"""A job's stages in words for the user, and how far along each of them is."""

from __future__ import annotations

from smart_matte_link.translation import N_

SPANS = {
    "queued": (0.0, 0.0),
    "loading": (0.0, 0.1),
    "segmentation": (0.1, 0.2),
    "trimap": (0.2, 0.3),
    "matting": (0.3, 0.9),
    "foreground": (0.9, 1.0),
}
"""Where on the whole way each stage begins and ends, judged from closed-form at 2 MP."""

TITLES = {
    "queued": N_("Waiting for other jobs"),
    "loading": N_("Loading the models"),
    "segmentation": N_("Looking for the subject"),
    "trimap": N_("Finding the edge"),
    "matting": N_("Working out the hair"),
    "foreground": N_("Cleaning the colours"),
}

CONNECTING = N_("Looking for the Smart Matte backend")
WORKING = N_("Working")
"""For a stage that a newer backend knows."""


def title_of(stage: str) -> str:
    """The stage in English words, to be translated."""
    return TITLES.get(stage, WORKING)


def overall_fraction(stage: str, fraction: float) -> float | None:
    """How much of the whole is done, [0, 1]; None for a stage that a newer backend knows."""
    if stage not in SPANS:
        return None
    start, end = SPANS[stage]
    return start + (end - start) * fraction

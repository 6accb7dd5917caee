"""Decide which classes of a segmentation are the subject, and how probable it is at each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import cv2
import numpy as np

from smart_matte.engine.segmentation import Segmentation
from smart_matte.engine.types import BoolArray, FloatArray
from smart_matte.errors import OptionError

# Ours. A subject smaller than this share of the picture is a stray cell of the network's grid:
# at 513x513 it is 263 pixels, four cells of 8x8.
MIN_PICTURE_SHARE = 0.001
# Ours. A subject guessed from the selection must win at least this share of the selected pixels;
# with less, something the network doesn't know was selected. A loose box around a thin subject
# holds more.
MIN_SELECTION_SHARE = 0.25
# Ours. A class is worth naming from this share of the subject on.
MIN_CLASS_SHARE = 0.1


@dataclass(frozen=True)
class Subject:
    """
    Where the subject is.

    Attributes:
        probability: that a pixel belongs to the subject, float32 (H, W), [0, 1].
        classes: names of the classes that make up a tenth of it or more, largest first.
    """

    probability: FloatArray
    classes: tuple[str, ...]


def subject_probability(
    segmentation: Segmentation,
    classes: Sequence[str],
    selection: FloatArray | None,
    shape: tuple[int, int],
) -> Subject | None:
    """
    Find the subject in a segmentation.

    Which classes it is made of, the first that applies:

    1. the classes that the user names;
    2. with a selection, the classes that lie more inside it than outside; where those fill less
       than a quarter of it, also the one that fills most of it;
    3. every class but the background.

    The log-odds of subject against rest, logsumexp(subject) - logsumexp(rest), are enlarged to
    the picture bilinearly (pixel centres at halves) and turned into probabilities there. Enlarging
    all 21 logits first, as torchvision's users do, costs 21 times as much and differs only where
    three classes meet: on eighteen photos by 0.00002 on average and by 0.005 at most.

    Args:
        segmentation: what the network said.
        classes: names that the user gave; empty for none.
        selection: the user's coverage, float32 (H, W), [0, 1]; None for no selection.
        shape: (H, W) of the picture.

    Returns:
        The subject, or None when it isn't there: the classes win nowhere (on less than 0.1 % of
        the picture, or of the selection), or those found through the selection win on less than
        a quarter of it.

    Raises:
        OptionError: a name is none of the network's classes.
    """
    probabilities = _softmax(segmentation.logits)  # (C, h, w)
    is_subject: BoolArray = np.arange(len(probabilities)) > 0
    height, width = probabilities.shape[1:]
    region: FloatArray = np.ones((height, width), np.float32)
    min_share = MIN_PICTURE_SHARE
    if selection is not None:
        region = _resized(selection, (height, width), cv2.INTER_AREA)
    if classes:
        is_subject = _named_classes(classes, segmentation.class_names)
    elif selection is not None:
        is_subject, min_share = _overlapping_classes(probabilities, region), MIN_SELECTION_SHARE

    log_odds = _log_odds(segmentation.logits, is_subject)
    won = region * (log_odds > 0)
    if won.sum() <= min_share * region.sum():  # 0 <= 0 when nothing is selected
        return None
    log_odds = _resized(log_odds, shape, cv2.INTER_LINEAR)
    # The logistic function, in the form that can't overflow.
    probability: FloatArray = 0.5 + 0.5 * np.tanh(0.5 * log_odds)
    mass = (probabilities * won).sum((1, 2)) * is_subject
    largest_first = np.argsort(-mass)[: np.count_nonzero(mass >= MIN_CLASS_SHARE * mass.sum())]
    return Subject(probability, tuple(segmentation.class_names[index] for index in largest_first))


def _resized(plane: FloatArray, shape: tuple[int, int], interpolation: int) -> FloatArray:
    """Resize (h, w) to *shape*, pixel centres at halves."""
    return np.asarray(cv2.resize(plane, shape[::-1], interpolation=interpolation), np.float32)


def _softmax(logits: FloatArray) -> FloatArray:
    """Turn logits (C, h, w) into probabilities that sum to 1 over the classes."""
    exponentials = np.exp(logits - logits.max(0))
    probabilities: FloatArray = exponentials / exponentials.sum(0)
    return probabilities


def _log_odds(logits: FloatArray, is_subject: BoolArray) -> FloatArray:
    """Logarithm of the subject's probability over the rest's, (h, w)."""
    subject, rest = (
        np.logaddexp.reduce(logits[is_side], axis=0) for is_side in (is_subject, ~is_subject)
    )
    log_odds: FloatArray = subject - rest
    return log_odds


def _named_classes(names: Sequence[str], class_names: tuple[str, ...]) -> BoolArray:
    """Mark the named classes; OptionError for a name that isn't there."""
    things = class_names[1:]
    for name in names:
        if name not in things:
            close = " or ".join(f"“{match}”" for match in get_close_matches(name, things))
            meant = f" (did you mean {close}?)" if close else ""
            raise OptionError(
                f"The segmentation knows no class “{name}”{meant}; choose from {', '.join(things)}."
            )
    return np.isin(class_names, names)


def _overlapping_classes(probabilities: FloatArray, selection: FloatArray) -> BoolArray:
    """
    Mark the classes that the selection is about.

    Those are the classes with more probability inside the selection than outside. Together they
    must fill a quarter of it; else the selection covers a part of something larger (a face, one
    of several people), and the class with the most probability inside is marked as well.
    """
    inside = (probabilities * selection).sum((1, 2), dtype=np.float64)
    outside = (probabilities * (1 - selection)).sum((1, 2), dtype=np.float64)
    inside[0] = 0  # the background is never the subject
    is_subject: BoolArray = inside > outside
    if inside[is_subject].sum() < MIN_SELECTION_SHARE * selection.sum():
        is_subject[inside.argmax()] = True
    is_subject[0] = False  # where nothing is selected, argmax is the background
    return is_subject

"""Rendered pictures have exact truth and are the same in every run."""

from pathlib import Path

import numpy as np
import pytest

from smart_matte.errors import OptionError
from smart_matte.evaluation.datasets import list_samples
from smart_matte.evaluation.synthetic import (
    LEAST_KNOWN,
    MOST_UNKNOWN,
    list_synthetic,
    read_synthetic,
)
from smart_matte.training.foregrounds import KINDS

SIZE_PX = 64


def test_there_is_one_picture_of_every_kind_that_can_be_opaque(tiny_data: Path) -> None:
    names = list_samples("synthetic", tiny_data)
    assert names == sorted(names) == list_synthetic()
    kinds = [name.partition("-")[2] for name in names]
    assert kinds == [kind for kind in KINDS if kind in kinds]
    assert set(KINDS) - set(kinds) == {"glass", "smoke"}


def test_a_picture_has_an_alpha_a_foreground_and_a_trimap(tiny_data: Path) -> None:
    (name, *_) = list_synthetic()
    (sample,) = read_synthetic(tiny_data / "photos", [name], SIZE_PX)
    assert sample.name == name
    assert sample.image.shape == (SIZE_PX, SIZE_PX, 3)
    assert sample.trimap is not None
    assert sample.foreground is not None
    assert sample.foreground.shape == sample.image.shape
    assert sample.trimap.shape == sample.alpha.shape == (SIZE_PX, SIZE_PX)
    for array in (sample.image, sample.trimap, sample.alpha, sample.foreground):
        assert array.dtype == np.float32
        assert array.min() >= 0
        assert array.max() <= 1
    assert set(np.unique(sample.trimap)) <= {0, 0.5, 1}
    assert sample.alpha.max() > 0.5
    is_subject = sample.alpha == 1
    assert np.abs(sample.image - sample.foreground)[is_subject].mean() < 0.25


def test_a_picture_is_the_same_alone_and_among_others(tiny_data: Path) -> None:
    first, second, *_ = list_synthetic()
    among = list(read_synthetic(tiny_data / "photos", [first, second], SIZE_PX))
    (alone,) = read_synthetic(tiny_data / "photos", [second], SIZE_PX)
    assert np.array_equal(among[1].image, alone.image)
    assert np.array_equal(among[1].alpha, alone.alpha)
    assert not np.array_equal(among[0].alpha, alone.alpha)


def test_both_sides_are_known_and_not_all_is_unknown(tiny_data: Path) -> None:
    names = [name for name in list_synthetic() if name.endswith(("hair", "solid", "cords"))]
    for sample in read_synthetic(tiny_data / "photos", names, SIZE_PX):
        assert sample.trimap is not None
        assert (sample.trimap == 0).mean() >= LEAST_KNOWN
        assert (sample.trimap == 1).mean() >= LEAST_KNOWN
        assert (sample.trimap == 0.5).mean() <= MOST_UNKNOWN


def test_a_stranger_is_refused_with_the_names_that_there_are(tiny_data: Path) -> None:
    with pytest.raises(OptionError, match="no rendered picture “99-guess”"):
        list(read_synthetic(tiny_data / "photos", ["99-guess"]))

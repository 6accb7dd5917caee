"""Which classes are the subject, and how probable it is at each pixel."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from smart_matte.engine.deeplab import build_segmenter
from smart_matte.engine.segmentation import Segmentation
from smart_matte.engine.subject import subject_probability
from smart_matte.errors import OptionError
from smart_matte.weights.openvino_ir import convert_deeplabv3_mobilenetv2

NAMES = ("__background__", "cat", "sofa", "person", "motorbike")
SIZE = 40
SHAPE = (SIZE, SIZE)


def segmentation(**boxes: tuple[int, int, int, int]) -> Segmentation:
    """Classes that are certain inside (top, bottom, left, right); the background elsewhere."""
    logits = np.zeros((len(NAMES), *SHAPE), np.float32)
    logits[0] = 5
    for name, (top, bottom, left, right) in boxes.items():
        logits[NAMES.index(name), top:bottom, left:right] = 10
    return Segmentation(logits, NAMES)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    selection = np.zeros(SHAPE, np.float32)
    selection[top:bottom, left:right] = 1
    return selection


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(0))
    return exponentials / exponentials.sum(0)


def test_without_names_or_selection_everything_but_the_background_is_the_subject() -> None:
    scene = segmentation(cat=(5, 20, 5, 20), sofa=(20, 40, 0, 40))
    subject = subject_probability(scene, (), None, SHAPE)

    assert subject is not None
    assert subject.classes == ("sofa", "cat")
    np.testing.assert_allclose(subject.probability, 1 - softmax(scene.logits)[0], atol=1e-6)


def test_named_classes_are_the_subject_and_the_others_are_not() -> None:
    scene = segmentation(cat=(5, 20, 5, 20), sofa=(20, 40, 0, 40))
    subject = subject_probability(scene, ("cat",), None, SHAPE)

    assert subject is not None
    assert subject.classes == ("cat",)
    np.testing.assert_allclose(subject.probability, softmax(scene.logits)[1], atol=1e-6)


def test_names_overrule_what_the_selection_overlaps() -> None:
    scene = segmentation(cat=(5, 20, 5, 20), sofa=(20, 40, 0, 40))
    subject = subject_probability(scene, ("cat",), box(10, 40, 0, 40), SHAPE)

    assert subject is not None
    assert subject.classes == ("cat",)


def test_an_unknown_name_is_refused_with_the_nearest_and_all_names() -> None:
    with pytest.raises(OptionError) as caught:
        subject_probability(segmentation(), ("cat", "motorbik"), None, SHAPE)

    sentence = str(caught.value)
    assert "“motorbik” (did you mean “motorbike”?)" in sentence
    assert "cat, sofa, person, motorbike" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["__background__", "", "zeppelin"])
def test_the_background_and_nonsense_are_no_class(name: str) -> None:
    with pytest.raises(OptionError, match="choose from cat"):
        subject_probability(segmentation(), (name,), None, SHAPE)


def test_a_loose_selection_around_the_cat_leaves_the_sofa_out() -> None:
    scene = segmentation(cat=(5, 20, 5, 20), sofa=(20, 40, 0, 40))
    subject = subject_probability(scene, (), box(2, 25, 2, 23), SHAPE)

    assert subject is not None
    assert subject.classes == ("cat",)


def test_a_selection_around_two_things_takes_both() -> None:
    scene = segmentation(person=(5, 20, 10, 20), motorbike=(20, 30, 5, 30), sofa=(32, 40, 0, 40))
    subject = subject_probability(scene, (), box(3, 33, 3, 33), SHAPE)

    assert subject is not None
    assert subject.classes == ("motorbike", "person")


def test_a_selection_inside_a_person_takes_the_whole_person() -> None:
    scene = segmentation(person=(2, 38, 5, 35))
    subject = subject_probability(scene, (), box(5, 10, 15, 22), SHAPE)

    assert subject is not None
    assert subject.classes == ("person",)
    assert subject.probability[30, 30] > 0.9


def test_one_of_two_people_is_enough_to_take_people() -> None:
    scene = segmentation(person=(5, 35, 2, 38))
    subject = subject_probability(scene, (), box(4, 36, 0, 15), SHAPE)

    assert subject is not None
    assert subject.classes == ("person",)


def test_fragments_of_another_class_inside_the_selection_belong_to_the_subject() -> None:
    scene = segmentation(cat=(5, 30, 5, 30), person=(5, 8, 5, 8))
    scene.logits[NAMES.index("cat"), 5:8, 5:8] = 0
    subject = subject_probability(scene, (), box(3, 32, 3, 32), SHAPE)

    assert subject is not None
    assert subject.classes == ("cat",)
    assert subject.probability[6, 6] > 0.9


@pytest.mark.parametrize(
    ("scene", "selection"),
    [
        (segmentation(), None),
        (segmentation(cat=(3, 4, 3, 4)), None),  # one of 1600
        (segmentation(), box(5, 20, 5, 20)),
        (segmentation(cat=(5, 20, 5, 20)), np.zeros(SHAPE, np.float32)),
        (segmentation(cat=(25, 40, 25, 40)), box(0, 20, 0, 20)),
        (segmentation(person=(0, 40, 15, 20)), box(0, 30, 0, 30)),
    ],
    ids=[
        "nothing in the picture",
        "one stray cell",
        "nothing in the selection",
        "nothing selected",
        "a cat elsewhere",
        "a little of somebody behind the toy that was selected",
    ],
)
def test_no_subject_is_found(scene: Segmentation, selection: np.ndarray | None) -> None:
    assert subject_probability(scene, (), selection, (60, 80)) is None


def test_a_named_class_that_is_not_in_the_picture_is_not_found() -> None:
    scene = segmentation(cat=(5, 20, 5, 20))

    assert subject_probability(scene, ("person",), None, SHAPE) is None
    assert subject_probability(scene, ("cat",), box(30, 40, 30, 40), SHAPE) is None


def test_probability_has_the_size_of_the_picture() -> None:
    subject = subject_probability(segmentation(cat=(5, 20, 5, 20)), (), None, (123, 77))

    assert subject is not None
    assert subject.probability.shape == (123, 77)
    assert subject.probability.dtype == np.float32
    assert subject.probability.min() >= 0
    assert subject.probability.max() <= 1


def test_selection_of_another_size_than_the_network_is_compared_in_place() -> None:
    scene = segmentation(cat=(5, 20, 5, 20), sofa=(25, 40, 25, 40))
    selection = cv2.resize(box(3, 22, 3, 22), (240, 160), interpolation=cv2.INTER_NEAREST)
    subject = subject_probability(scene, (), selection, (160, 240))

    assert subject is not None
    assert subject.classes == ("cat",)


def test_log_odds_are_enlarged_with_pixel_centres_at_halves() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (2, 12, 9)).astype(np.float32)
    subject = subject_probability(Segmentation(logits, NAMES[:2]), (), None, (36, 27))

    # With two classes the log-odds are the difference of the logits, and enlarging is linear.
    assert subject is not None
    enlarged = np.stack([enlarge_threefold(channel) for channel in logits.astype(np.float64)])
    np.testing.assert_allclose(subject.probability, softmax(enlarged)[1], atol=1e-6)


def enlarge_threefold(plane: np.ndarray) -> np.ndarray:
    """Enlarge bilinearly, written out: output i lies at input (i + 0.5) / 3 - 0.5."""
    for axis in (0, 1):
        size = plane.shape[axis]
        position = np.clip((np.arange(3 * size) + 0.5) / 3 - 0.5, 0, size - 1)
        before = np.minimum(position.astype(int), size - 2)
        weight = np.expand_dims(position - before, 1 - axis)
        plane = plane.take(before, axis) * (1 - weight) + plane.take(before + 1, axis) * weight
    return plane


def test_extreme_logits_give_plain_zeros_and_ones() -> None:
    scene = segmentation(cat=(5, 20, 5, 20))
    scene.logits[:] *= 1e4
    subject = subject_probability(scene, (), None, SHAPE)

    assert subject is not None
    assert set(np.unique(subject.probability)) == {0, 1}


def test_enlarging_log_odds_stays_near_enlarging_all_logits(shared_data: Path) -> None:
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    weights = convert_deeplabv3_mobilenetv2(folder / "deeplabv3.xml", folder / "deeplabv3.bin")
    photo = cv2.imread(str(shared_data / "subjects" / "misc" / "carvekit1.jpg"))[..., ::-1]
    image = np.ascontiguousarray(photo, np.float32) / 255
    shape = image.shape[:2]
    scene = build_segmenter("deeplabv3-mobilenetv2", weights).segment(image)
    subject = subject_probability(scene, ("person",), None, shape)

    assert subject is not None
    enlarged = np.stack([cv2.resize(channel, shape[::-1]) for channel in scene.logits])
    difference = np.abs(softmax(enlarged)[scene.class_names.index("person")] - subject.probability)
    assert difference.max() < 0.02
    assert difference.mean() < 1e-4

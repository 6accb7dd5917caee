"""The compact network against OpenVINO's run of its file, the others against torchvision."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

from smart_matte.engine.deeplab import (
    DeepLabSegmenter,
    build_segmenter,
    fit_into_square,
    resize_shorter_side,
)
from smart_matte.engine.models.deeplabv3_mobilenetv2 import DeepLabV3MobileNetV2, StridedConv2d
from smart_matte.engine.models.deeplabv3_torchvision import (
    NETWORKS,
    PUBLISHED,
    TorchvisionDeepLabV3,
)
from smart_matte.engine.options import NETWORK_SEGMENTERS
from smart_matte.engine.subject import subject_probability
from smart_matte.errors import OptionError, WeightsError
from smart_matte.weights.openvino_ir import convert_deeplabv3_mobilenetv2

COMPACT = "deeplabv3-mobilenetv2"
PHOTOS = (
    "chelsea",
    "astronaut",
    "animals/animal12.jpg",
    "people/person10.jpg",
)
rng = np.random.default_rng(7)


def open_photo(name: str, shared_data: Path) -> np.ndarray:
    """sRGB-coded RGB, float32, [0, 1]."""
    if name in {"chelsea", "astronaut"}:
        photo = getattr(pytest.importorskip("skimage.data"), name)()
    else:
        photo = cv2.imread(str(shared_data / "subjects" / name))[..., ::-1]
    return photo.astype(np.float32) / 255


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> dict[str, torch.Tensor]:
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    return convert_deeplabv3_mobilenetv2(folder / "deeplabv3.xml", folder / "deeplabv3.bin")


class Reference(NamedTuple):
    """What OpenVINO computes from a picture that is prepared, RGB (1, 3, h, w), [0, 255]."""

    classes: np.ndarray  # (h, w)
    logits: np.ndarray  # (21, h, w)
    coarse_logits: np.ndarray  # (21, h/8, w/8)


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> Callable[..., Reference]:
    """Run the published file itself in float32, with the logits as further outputs."""
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()

    def run(prepared: np.ndarray) -> Reference:
        model = core.read_model(shared_data / "deeplabv3_mobilenetv2_voc" / "deeplabv3.xml")
        operations = {operation.get_friendly_name(): operation for operation in model.get_ops()}
        model.add_outputs(
            [
                operations["ResizeBilinear_3"].output(0),
                operations["logits/semantic/BiasAdd/Add"].output(0),
            ]
        )
        model.reshape([1, *prepared.shape[2:], 3])
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2}
        bgr = np.ascontiguousarray(prepared[:, ::-1].transpose(0, 2, 3, 1))
        classes, logits, coarse_logits = core.compile_model(model, "CPU", settings)(bgr).values()
        return Reference(classes[0], logits[0], coarse_logits[0])

    return run


@pytest.mark.parametrize("name", PHOTOS)
def test_compact_network_agrees_with_the_published_file(
    name: str,
    shared_data: Path,
    weights: dict[str, torch.Tensor],
    reference: Callable[..., Reference],
) -> None:
    image = open_photo(name, shared_data)
    prepared, (height, width) = fit_into_square(image)
    expected = reference(prepared)
    logits = build_segmenter(COMPACT, weights).segment(image).logits

    np.testing.assert_allclose(logits, expected.logits[:, :height, :width], rtol=0, atol=2e-4)
    is_same = logits.argmax(0) == expected.classes[:height, :width]
    assert is_same.mean() > 0.9999


def test_compact_network_pads_even_sizes_as_the_published_file_does(
    shared_data: Path, weights: dict[str, torch.Tensor], reference: Callable[..., Reference]
) -> None:
    # 520 is halved to 260, 130 and 65: every stride pads one side alone. The file's own image
    # pooling spans 65x65, so other even sizes can't be asked of it.
    photo = open_photo("astronaut", shared_data)
    prepared = 255 * cv2.resize(photo, (520, 520)).transpose(2, 0, 1)[np.newaxis]
    network = DeepLabV3MobileNetV2().eval()
    network.load_state_dict(weights)
    with torch.inference_mode():
        coarse_logits = network.coarse_logits(torch.from_numpy(np.ascontiguousarray(prepared)))[0]

    np.testing.assert_allclose(
        coarse_logits.numpy(), reference(prepared).coarse_logits, rtol=0, atol=2e-4
    )


@pytest.mark.parametrize(
    ("name", "classes"),
    [("chelsea", ("cat",)), ("astronaut", ("person",)), ("misc/carvekit1.jpg", ("person", "car"))],
)
def test_compact_network_finds_what_is_in_the_photo(
    name: str, classes: tuple[str, ...], shared_data: Path, weights: dict[str, torch.Tensor]
) -> None:
    image = open_photo(name, shared_data)
    subject = subject_probability(
        build_segmenter(COMPACT, weights).segment(image), (), None, image.shape[:2]
    )

    assert subject is not None
    assert subject.classes == classes


@pytest.mark.parametrize(("size", "first_tap"), [(9, -1), (8, 0)])
def test_strided_convolution_puts_the_odd_padding_after(size: int, first_tap: int) -> None:
    convolution = StridedConv2d(1, 1, 3, 2, bias=False)
    convolution.weight.data = torch.zeros(1, 1, 3, 3)
    convolution.weight.data[0, 0, 0, 0] = 1  # picks the upper left of each window
    features = 1 + torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    output = convolution(features)[0, 0]

    rows = np.arange(first_tap, size, 2)[: -(-size // 2)]
    padded = np.zeros((size + 1, size + 1), np.float32)  # index -1 is the padding
    padded[:size, :size] = features[0, 0]
    np.testing.assert_array_equal(output.detach().numpy(), padded[np.ix_(rows, rows)])


def compact_segmenter() -> DeepLabSegmenter:
    torch.manual_seed(0)
    return build_segmenter(COMPACT, DeepLabV3MobileNetV2().state_dict())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((300, 450), (342, 513)),
        ((1000, 500), (513, 256)),
        ((40, 4000), (5, 513)),
        ((1, 5000), (1, 513)),
        ((1, 1), (513, 513)),
    ],
)
def test_compact_logits_cover_the_picture_and_no_padding(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    image = rng.random((*shape, 3), np.float32)
    segmentation = compact_segmenter().segment(image)

    assert segmentation.logits.shape == (21, *expected)
    assert segmentation.logits.dtype == np.float32
    assert np.isfinite(segmentation.logits).all()


def test_square_holds_the_picture_in_its_corner_and_middle_gray_beside() -> None:
    image = rng.random((513, 200, 3), np.float32)
    prepared, size = fit_into_square(image)

    assert prepared.shape == (1, 3, 513, 513)
    assert size == (513, 200)
    np.testing.assert_array_equal(prepared[0, :, :, :200], 255 * image.transpose(2, 0, 1))
    assert (prepared[..., 200:] == 127.5).all()
    network = DeepLabV3MobileNetV2()
    assert 127.5 * network.input_scale + network.input_offset == pytest.approx(0, abs=1e-6)


def random_torchvision(name: str) -> TorchvisionDeepLabV3:
    torch.manual_seed(0)
    return TorchvisionDeepLabV3(name).eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvision_segmenter_equals_torchvision_exactly(name: str) -> None:
    # A strip, so that the large networks are quick; a picture of common shape is next.
    image = rng.random((10, 1000, 3), np.float32)
    module = random_torchvision(name)
    prepared, size = resize_shorter_side(image, PUBLISHED[name])
    with torch.inference_mode():
        direct = module.network(torch.from_numpy(prepared))["out"][0].numpy()
    segmentation = build_segmenter(name, module.network.state_dict()).segment(image)

    np.testing.assert_array_equal(segmentation.logits, direct)
    assert segmentation.logits.shape == (21, *size)


def test_preprocessing_equals_the_published_preset_exactly() -> None:
    name = "deeplabv3-mobilenet"
    image = rng.random((240, 320, 3), np.float32)
    module = random_torchvision(name)
    preset = PUBLISHED[name].transforms()
    with torch.inference_mode():
        batch = preset(torch.from_numpy(image.transpose(2, 0, 1).copy()))[None]
        direct = module.network(batch)["out"][0].numpy()
    segmentation = build_segmenter(name, module.network.state_dict()).segment(image)

    assert segmentation.logits.shape == (21, 520, 693)
    np.testing.assert_array_equal(segmentation.logits, direct)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((520, 1560), (520, 1560)),
        ((300, 100), (1560, 520)),
        ((40, 4000), (15, 1500)),
        ((4000, 40), (1500, 15)),
        ((1, 1), (520, 520)),
        ((1, 3000), (1, 3000)),
    ],
)
def test_elongated_pictures_stay_small(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.float32)
    prepared, size = resize_shorter_side(image, PUBLISHED["deeplabv3-mobilenet"])

    assert size == expected
    assert prepared.shape == (1, 3, *expected)


def test_class_names_are_the_published_ones_for_every_network() -> None:
    names = compact_segmenter().class_names

    assert all(tuple(entry.meta["categories"]) == names for entry in PUBLISHED.values())
    assert len(names) == 21
    assert names[15] == "person"


def test_every_network_of_the_options_can_be_built() -> None:
    assert {*PUBLISHED, COMPACT} == set(NETWORK_SEGMENTERS)
    assert NETWORKS.keys() == PUBLISHED.keys()


def test_an_unknown_segmenter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="“deeplab”; choose one of: deeplabv3-mobilenetv2,"):
        build_segmenter("deeplab", {})


def test_a_training_head_and_missing_counters_change_nothing() -> None:
    name = "deeplabv3-mobilenet"
    torch.manual_seed(0)
    published = NETWORKS[name](weights=None, weights_backbone=None, aux_loss=True).state_dict()
    assert any(key.startswith("aux_classifier.") for key in published)
    without = {
        key: tensor
        for key, tensor in published.items()
        if not key.startswith("aux_classifier.") and not key.endswith("num_batches_tracked")
    }
    image = rng.random((10, 1000, 3), np.float32)

    np.testing.assert_array_equal(
        build_segmenter(name, published).segment(image).logits,
        build_segmenter(name, without).segment(image).logits,
    )


@pytest.mark.parametrize("name", ["deeplabv3-mobilenet", COMPACT])
@pytest.mark.parametrize("damage", ["missing", "unknown", "misshapen", "empty", "another"])
def test_weights_of_something_else_are_refused(name: str, damage: str) -> None:
    module = DeepLabV3MobileNetV2() if name == COMPACT else TorchvisionDeepLabV3(name).network
    state_dict = dict(module.state_dict())
    key = list(state_dict)[4]
    if damage == "missing":
        del state_dict[key]
    elif damage == "unknown":
        state_dict["decoder.weight"] = torch.zeros(3)
        key = "decoder.weight"
    elif damage == "misshapen":
        state_dict[key] = torch.zeros(2, 2, 2)
    elif damage == "empty":
        state_dict, key = {}, ""
    else:
        state_dict, key = {f"module.{key}": tensor for key, tensor in state_dict.items()}, "module"

    with pytest.raises(WeightsError) as caught:
        build_segmenter(name, state_dict)
    sentence = str(caught.value)
    assert sentence.startswith(f"These are not the weights of {name}")
    assert damage in {"empty", "another"} or key in sentence
    assert "\n" not in sentence

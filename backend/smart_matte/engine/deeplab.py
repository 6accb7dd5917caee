"""Segment a picture with one of the DeepLabV3 networks: prepare it, run, cut the padding away."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.models import WeightsEnum

from smart_matte.engine.models.deeplabv3_mobilenetv2 import DeepLabV3MobileNetV2
from smart_matte.engine.models.deeplabv3_torchvision import PUBLISHED, TorchvisionDeepLabV3
from smart_matte.engine.models.weights_check import check_weights
from smart_matte.engine.options import NETWORK_SEGMENTERS
from smart_matte.engine.runtime import Network
from smart_matte.engine.segmentation import Segmentation
from smart_matte.engine.types import FloatArray
from smart_matte.errors import OptionError

# The square that deeplabv3_mnv2_pascal_train_aug was trained on and published for.
SQUARE_SIDE = 513
# Padding that the network's own scaling turns into (nearly) zero, as in the published demo.
PADDING_LEVEL = 127.5

# The shorter side in torchvision's preset for its DeepLabV3 weights.
SHORTER_SIDE = 520
# Ours: a picture more elongated than 3:1 is made smaller than the preset says, so that time and
# memory stay below three times a square's.
LONGER_SIDE = 3 * SHORTER_SIDE

TRAINING_HEAD = "aux_classifier."  # torchvision's second head
TRAINING_COUNTER = ".num_batches_tracked"  # not every published file has it

Prepare = Callable[[FloatArray], tuple[FloatArray, tuple[int, int]]]
"""Picture (H, W, 3) to network input (1, 3, h', w'), and the (h, w) in it that are picture."""


@dataclass(frozen=True)
class DeepLabSegmenter:
    """
    A DeepLabV3 network, loaded and ready.

    Attributes:
        name: the name that ``--segmenter`` knows it by.
        class_names: by channel of the logits; the first is the background.
        prepare: makes the network's input from a picture.
        network: gives logits of the size of its input.
    """

    name: str
    class_names: tuple[str, ...]
    prepare: Prepare
    network: Network

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:0", "mps"."""
        return self.network.device

    def segment(self, image: FloatArray) -> Segmentation:
        """
        Score every class at every place, at the network's own resolution.

        Args:
            image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        """
        prepared, (height, width) = self.prepare(image)
        logits = self.network(prepared)[0, :, :height, :width]
        return Segmentation(logits=logits, class_names=self.class_names)


def build_segmenter(
    name: str, state_dict: Mapping[str, torch.Tensor], device: str = "cpu"
) -> DeepLabSegmenter:
    """
    Build a segmenter around the given weights.

    Args:
        name: one of ``options.NETWORK_SEGMENTERS``.
        state_dict: torchvision's own for its three networks, with or without the auxiliary
            classifier; for ``deeplabv3-mobilenetv2`` that of ``DeepLabV3MobileNetV2``.
        device: torch device to run on.

    Raises:
        OptionError: there is no segmenter of that name.
        WeightsError: the tensors are not that network's.
    """
    # All four score the same classes in the same order.
    class_names = tuple(PUBLISHED["deeplabv3-resnet101"].meta["categories"])
    if name == "deeplabv3-mobilenetv2":
        compact = DeepLabV3MobileNetV2()
        _load(compact, name, state_dict)
        return DeepLabSegmenter(name, class_names, fit_into_square, Network(compact, device))
    if name not in PUBLISHED:
        raise OptionError(
            f"There is no segmenter “{name}”; choose one of: {', '.join(NETWORK_SEGMENTERS)}."
        )
    module = TorchvisionDeepLabV3(name)
    kept = {key: state_dict[key] for key in state_dict if not key.startswith(TRAINING_HEAD)}
    _load(module.network, name, kept)
    prepare = partial(resize_shorter_side, published=PUBLISHED[name])
    return DeepLabSegmenter(name, class_names, prepare, Network(module, device))


def fit_into_square(image: FloatArray) -> tuple[FloatArray, tuple[int, int]]:
    """
    Resize the longer side to 513 and pad below and to the right to 513x513, values [0, 255].

    This is what the network was trained on and published with. On eighteen photos of animals and
    people it held subjects together better than squashing to 513x513, than leaving the padding
    out and than a shorter side of 513 or 641.

    Args:
        image: sRGB-coded RGB, float32 (H, W, 3), [0, 1].
    """
    height, width = image.shape[:2]
    scale = SQUARE_SIDE / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.full((SQUARE_SIDE, SQUARE_SIDE, 3), PADDING_LEVEL, np.float32)
    square[: size[0], : size[1]] = 255 * cv2.resize(image, size[::-1], interpolation=filter_)
    return square.transpose(2, 0, 1)[np.newaxis], size


def resize_shorter_side(
    image: FloatArray, published: WeightsEnum
) -> tuple[FloatArray, tuple[int, int]]:
    """
    Preprocess as torchvision says for these weights: shorter side 520, then normalise.

    Deviation: the longer side stops at 1560, so a strip of 4000x40 becomes 1500x15 and not
    52000x520.

    Args:
        image: sRGB-coded RGB, float32 (H, W, 3), [0, 1].
        published: torchvision's entry for the weights.
    """
    shorter, longer = sorted(image.shape[:2])
    side = max(1, min(SHORTER_SIDE, LONGER_SIDE * shorter // longer))
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    prepared = published.transforms(resize_size=side)(tensor).numpy()
    return prepared[np.newaxis], prepared.shape[1:]


def _load(module: nn.Module, name: str, state_dict: Mapping[str, torch.Tensor]) -> None:
    """Load *state_dict*, all but what serves training, after making sure that it fits."""
    given, expected = (
        {key: tensor for key, tensor in tensors.items() if not key.endswith(TRAINING_COUNTER)}
        for tensors in (state_dict, module.state_dict())
    )
    check_weights(name, given, expected)
    module.load_state_dict(given, strict=False)  # only the counters are not there

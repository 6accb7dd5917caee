"""Read the published DeepLabV3 (MobileNetV2) out of its OpenVINO IR files, without OpenVINO."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
import torch

from smart_matte.errors import WeightsError

# The graph that is expected, by inverted residual: channels out, stride, dilation.
BLOCK_CHANNELS = (16, *[24] * 2, *[32] * 3, *[64] * 4, *[96] * 3, *[160] * 3, 320)
BLOCK_STRIDES = (1, 2, 1, 2, *[1] * 13)
BLOCK_DILATIONS = (*[1] * 7, *[2] * 7, *[4] * 3)
STEM_CHANNELS = 32
ASPP_CHANNELS = 256
CLASS_COUNT = 21
EXPANSION = 6


class Convolution(NamedTuple):
    """
    A convolution that the graph must hold, its bias in the addition behind it.

    Attributes:
        key: what the module calls it.
        layer: what the graph calls it.
        shape: of its weight in torch: (channels out, channels in per group, height, width).
        stride: both ways.
        dilation: both ways.
    """

    key: str
    layer: str
    shape: tuple[int, int, int, int]
    stride: int = 1
    dilation: int = 1

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is filtered by itself."""
        return self.key.endswith("depthwise")


def expected_convolutions() -> Iterator[Convolution]:
    """List every convolution of ``deeplabv3_mnv2_pascal_train_aug``, input to logits."""
    yield Convolution("stem", "MobilenetV2/Conv/Conv2D", (STEM_CHANNELS, 3, 3, 3), stride=2)
    channels_in = hidden = STEM_CHANNELS
    rows = zip(BLOCK_CHANNELS, BLOCK_STRIDES, BLOCK_DILATIONS, strict=True)
    for index, (channels, stride, dilation) in enumerate(rows):
        key, layer = f"blocks.{index}", "MobilenetV2/expanded_conv"
        if index > 0:
            layer += f"_{index}"
            hidden = channels_in * EXPANSION
            yield Convolution(
                f"{key}.expand", f"{layer}/expand/Conv2D", (hidden, channels_in, 1, 1)
            )
        depthwise = f"{layer}/depthwise/depthwise"
        yield Convolution(f"{key}.depthwise", depthwise, (hidden, 1, 3, 3), stride, dilation)
        yield Convolution(f"{key}.project", f"{layer}/project/Conv2D", (channels, hidden, 1, 1))
        channels_in = channels
    pooled, fused = (ASPP_CHANNELS, channels_in, 1, 1), (ASPP_CHANNELS, 2 * ASPP_CHANNELS, 1, 1)
    yield Convolution("image_pooling", "image_pooling/Conv2D", pooled)
    yield Convolution("aspp", "aspp0/Conv2D", pooled)
    yield Convolution("projection", "concat_projection/Conv2D", fused)
    yield Convolution("classifier", "logits/semantic/Conv2D", (CLASS_COUNT, ASPP_CHANNELS, 1, 1))


@dataclass
class Layer:
    """
    One operation of the graph.

    Attributes:
        kind: the operation, "Convolution", "Const".
        settings: its attributes, as text.
        inputs: the layers it takes its inputs from, by port.
        outputs: the layers that take its output.
    """

    kind: str
    settings: dict[str, str]
    inputs: dict[int, "Layer"]
    outputs: list["Layer"]


def convert_deeplabv3_mobilenetv2(xml_path: Path, bin_path: Path) -> dict[str, torch.Tensor]:
    """
    Turn the OpenVINO IR of DeepLabV3 on MobileNetV2 into a state dict.

    The file was written for pictures in BGR order (``reverse_input_channels`` in its own
    metadata, and Open Model Zoo's page of this model); the state dict is for RGB.

    Args:
        xml_path: the graph, ``deeplabv3.xml``.
        bin_path: its constants, ``deeplabv3.bin``, half precision.

    Returns:
        float32 tensors by key of ``engine.models.deeplabv3_mobilenetv2.DeepLabV3MobileNetV2``.
        Every half-precision constant of the file is in exactly one of them.

    Raises:
        WeightsError: a file can't be read, isn't this graph, or is cut short.
    """
    try:
        document = ET.parse(xml_path).getroot()  # noqa: S314  (expat bounds entities)
        constants = _Constants(bin_path.read_bytes())
        return _convert(document, constants)
    except OSError as error:
        raise WeightsError(
            f"“{error.filename}” can't be read ({error.strerror}); check its path and import again."
        ) from error
    except ET.ParseError as error:
        raise WeightsError(
            f"“{xml_path}” is cut short or isn't XML ({error}); get it again and import again."
        ) from error
    except (LookupError, ValueError) as error:
        why = f"it has no {error}" if isinstance(error, LookupError) else str(error)
        raise WeightsError(
            f"“{xml_path}” and “{bin_path}” are not the DeepLabV3 on MobileNetV2 that Smart Matte"
            f" knows: {why}; get both files again from one place and import again."
        ) from error


class _Constants:
    """The half-precision constants of a .bin file, each to be taken exactly once."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._taken: list[Layer] = []

    def take(self, layer: Layer, shape: tuple[int, ...]) -> torch.Tensor:
        """Read the constant behind *layer*, which must have this shape, as float32."""
        if layer.kind == "Convert":
            layer = layer.inputs[0]
        settings = layer.settings
        if layer.kind != "Const" or settings["element_type"] != "f16":
            raise ValueError("a constant is missing or not in half precision")
        found = tuple(int(size) for size in settings["shape"].split(","))
        if found != shape:
            raise ValueError(f"a constant has shape {found} instead of {shape}")
        start, count = int(settings["offset"]), math.prod(shape)
        if start < 0 or start + 2 * count > len(self._content):
            raise ValueError("the .bin file is too short for it")
        if any(layer is other for other in self._taken):
            raise ValueError("a constant is used twice")
        self._taken.append(layer)
        values = np.frombuffer(self._content, "<f2", count, start).astype(np.float32)
        return torch.from_numpy(values.reshape(shape))

    def is_every_one_taken(self, layers: list[Layer]) -> bool:
        """Whether no half-precision constant of the graph was left behind."""
        stored = [layer for layer in layers if layer.settings.get("element_type") == "f16"]
        return len(stored) == len(self._taken)


def _convert(document: ET.Element, constants: _Constants) -> dict[str, torch.Tensor]:
    """Take every constant of the expected graph from *document*."""
    if document.find("meta_data//reverse_input_channels[@value='True']") is None:
        raise ValueError("it was not written for pictures in BGR order")
    layers = _read_layers(document)
    weights = {
        "input_scale": _take_scalar(layers["mul_1"], constants),
        "input_offset": _take_scalar(layers["sub_7"], constants),
    }
    for expected in expected_convolutions():
        weight, bias = _take_convolution(layers[expected.layer], expected, constants)
        weights |= {f"{expected.key}.weight": weight, f"{expected.key}.bias": bias}
    weights["stem.weight"] = weights["stem.weight"].flip(1)  # BGR to RGB
    if not constants.is_every_one_taken(list(layers.values())):
        raise ValueError("it has more weights than expected")
    return weights


def _read_layers(document: ET.Element) -> dict[str, Layer]:
    """Read the operations by name, joined along the graph's edges."""
    by_id: dict[str, Layer] = {}
    by_name: dict[str, Layer] = {}
    for element in document.iterfind("layers/layer"):
        data = element.find("data")
        layer = Layer(element.attrib["type"], {} if data is None else data.attrib, {}, [])
        by_id[element.attrib["id"]] = by_name[element.attrib["name"]] = layer
    for edge in document.iterfind("edges/edge"):
        source, target = by_id[edge.attrib["from-layer"]], by_id[edge.attrib["to-layer"]]
        target.inputs[int(edge.attrib["to-port"])] = source
        source.outputs.append(target)
    return by_name


def _take_scalar(layer: Layer, constants: _Constants) -> torch.Tensor:
    """Take the one number that a multiplication or addition applies, whichever port it is on."""
    (source,) = (source for source in layer.inputs.values() if source.kind == "Convert")
    return constants.take(source, (1, 1, 1, 1)).reshape(())


def _take_convolution(
    layer: Layer, expected: Convolution, constants: _Constants
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the weight of a convolution and the bias that is added behind it."""
    stride, dilation = (f"{value}, {value}" for value in (expected.stride, expected.dilation))
    kind = "GroupConvolution" if expected.is_depthwise else "Convolution"
    settings = layer.settings
    if (layer.kind, settings["strides"], settings["dilations"]) != (kind, stride, dilation):
        raise ValueError(f"its layer {expected.layer} computes something else")
    channels = expected.shape[0]
    groups = (channels, 1) if expected.is_depthwise else (channels,)
    weight = constants.take(layer.inputs[1], (*groups, *expected.shape[1:]))
    (addition,) = layer.outputs
    bias = constants.take(addition.inputs[1], (1, channels, 1, 1))
    return weight.reshape(expected.shape), bias.reshape(channels)

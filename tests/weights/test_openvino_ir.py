"""Reading DeepLabV3 on MobileNetV2 out of an OpenVINO IR."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from smart_matte.engine.models.deeplabv3_mobilenetv2 import DeepLabV3MobileNetV2
from smart_matte.errors import WeightsError
from smart_matte.weights.openvino_ir import (
    Convolution,
    convert_deeplabv3_mobilenetv2,
    expected_convolutions,
)


class IrWriter:
    """Writes a graph with the expected layers and random half-precision constants."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.layers: list[str] = []
        self.edges: list[str] = []
        self.content = b""

    def layer(self, name: str, kind: str, settings: str = "", inputs: tuple[int, ...] = ()) -> int:
        index = len(self.layers)
        data = f"<data {settings}/>" if settings else ""
        self.layers.append(f'<layer id="{index}" name="{name}" type="{kind}">{data}</layer>')
        for port, source in enumerate(inputs):
            self.edges.append(
                f'<edge from-layer="{source}" from-port="0" to-layer="{index}" to-port="{port}"/>'
            )
        return index

    def constant(self, name: str, shape: tuple[int, ...]) -> int:
        values = self.rng.normal(size=shape).astype("<f2")
        settings = (
            f'element_type="f16" shape="{", ".join(map(str, shape))}"'
            f' offset="{len(self.content)}" size="{values.nbytes}"'
        )
        self.content += values.tobytes()
        return self.layer(f"{name}/half", "Const", settings)

    def single(self, name: str, shape: tuple[int, ...]) -> int:
        half = self.constant(name, shape)
        return self.layer(f"{name}/single", "Convert", 'destination_type="f32"', (half,))

    def convolution(self, expected: Convolution, source: int) -> int:
        channels, *rest = expected.shape
        group = (1,) if expected.is_depthwise else ()
        weight = self.single(f"{expected.layer}/weight", (channels, *group, *rest))
        settings = " ".join(
            f'{key}="{value}, {value}"'
            for key, value in (("strides", expected.stride), ("dilations", expected.dilation))
        )
        kind = "GroupConvolution" if expected.is_depthwise else "Convolution"
        output = self.layer(expected.layer, kind, settings, (source, weight))
        bias = self.single(f"{expected.layer}/bias", (1, channels, 1, 1))
        return self.layer(f"{expected.layer}/add", "Add", "", (output, bias))

    def write(self, folder: Path) -> tuple[Path, Path]:
        xml_path, bin_path = folder / "deeplabv3.xml", folder / "deeplabv3.bin"
        flag = '<cli_parameters><reverse_input_channels value="True"/></cli_parameters>'
        parts = ("<layers>", *self.layers, "</layers>", "<edges>", *self.edges, "</edges>")
        body = "\n".join(parts)
        xml_path.write_text(f"<net>\n{body}\n<meta_data>{flag}</meta_data>\n</net>")
        bin_path.write_bytes(self.content)
        return xml_path, bin_path


@pytest.fixture
def ir(tmp_path: Path) -> tuple[Path, Path]:
    writer = IrWriter()
    picture = writer.layer("picture", "Parameter")
    source = writer.layer("mul_1", "Multiply", "", (writer.single("scale", (1,) * 4), picture))
    source = writer.layer("sub_7", "Add", "", (source, writer.single("offset", (1,) * 4)))
    for expected in expected_convolutions():
        source = writer.convolution(expected, source)
    return writer.write(tmp_path)


def half_precision_constants(xml: str) -> Iterator[tuple[int, int]]:
    for data in re.findall(r'<data [^>]*element_type="f16"[^>]*>', xml):
        yield tuple(int(re.search(rf'{key}="(\d+)"', data).group(1)) for key in ("offset", "size"))


def test_every_number_of_the_file_is_in_the_state_dict_once(ir: tuple[Path, Path]) -> None:
    xml_path, bin_path = ir
    weights = convert_deeplabv3_mobilenetv2(xml_path, bin_path)

    stored = np.frombuffer(bin_path.read_bytes(), "<f2").astype(np.float32)
    taken = torch.cat([tensor.flatten() for tensor in weights.values()]).numpy()
    np.testing.assert_array_equal(np.sort(taken), np.sort(stored))


def test_the_state_dict_fits_the_module(ir: tuple[Path, Path]) -> None:
    weights = convert_deeplabv3_mobilenetv2(*ir)

    assert all(tensor.dtype == torch.float32 for tensor in weights.values())
    DeepLabV3MobileNetV2().load_state_dict(weights, strict=True)


def test_the_first_convolution_takes_rgb_where_the_file_takes_bgr(ir: tuple[Path, Path]) -> None:
    xml_path, bin_path = ir
    weights = convert_deeplabv3_mobilenetv2(xml_path, bin_path)

    after_scale_and_offset = 2 * 2
    stored = np.frombuffer(bin_path.read_bytes(), "<f2", 32 * 3 * 3 * 3, after_scale_and_offset)
    in_file = stored.astype(np.float32).reshape(32, 3, 3, 3)
    np.testing.assert_array_equal(weights["stem.weight"].numpy(), in_file[:, ::-1])


def test_the_published_file_is_read_completely(shared_data: Path) -> None:
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    xml_path, bin_path = folder / "deeplabv3.xml", folder / "deeplabv3.bin"
    weights = convert_deeplabv3_mobilenetv2(xml_path, bin_path)

    content = bin_path.read_bytes()
    constants = dict(half_precision_constants(xml_path.read_text()))
    stored = b"".join(content[start : start + size] for start, size in constants.items())
    taken = torch.cat([tensor.flatten() for tensor in weights.values()]).numpy()
    np.testing.assert_array_equal(
        np.sort(taken), np.sort(np.frombuffer(stored, "<f2").astype(np.float32))
    )
    assert weights["input_scale"].item() == pytest.approx(2 / 255, rel=1e-3)
    assert weights["input_offset"].item() == -1


def refusal(xml_path: Path, bin_path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        convert_deeplabv3_mobilenetv2(xml_path, bin_path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith("import again.")
    return sentence


def test_missing_files_are_refused_by_name(ir: tuple[Path, Path], tmp_path: Path) -> None:
    xml_path, bin_path = ir
    absent = tmp_path / "absent.bin"

    assert "absent.bin" in refusal(xml_path, absent)
    assert "absent.bin" in refusal(absent, bin_path)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_graph_is_refused(ir: tuple[Path, Path], kept: float) -> None:
    xml_path, bin_path = ir
    whole = xml_path.read_bytes()
    xml_path.write_bytes(whole[: int(kept * len(whole))])

    assert "cut short" in refusal(xml_path, bin_path)


@pytest.mark.parametrize("missing", [1, 1000, 10**9])
def test_truncated_constants_are_refused(ir: tuple[Path, Path], missing: int) -> None:
    xml_path, bin_path = ir
    bin_path.write_bytes(bin_path.read_bytes()[:-missing])

    assert "too short" in refusal(xml_path, bin_path)


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        ('offset="4"', 'offset="-4"', "too short"),
        ('offset="4"', 'offset="99999999"', "too short"),
        ('offset="4"', 'offset="four"', "invalid literal"),
        ('shape="32, 3, 3, 3"', 'shape="32, 3, 9"', "has shape (32, 3, 9)"),
        ('element_type="f16"', 'element_type="i8"', "half precision"),
        (' offset="4"', "", "'offset'"),
        ('strides="2, 2"', 'strides="1, 1"', "computes something else"),
        ('dilations="4, 4"', 'dilations="2, 2"', "computes something else"),
        ('type="GroupConvolution"', 'type="Convolution"', "computes something else"),
        ("concat_projection", "decoder", "'concat_projection/Conv2D'"),
        ('value="True"', 'value="False"', "BGR"),
        ('type="Convert"', 'type="Multiply"', "not"),
        ("<edge [^>]*/>", "", "not"),
        (
            "</layers>",
            '<layer id="x" name="x" type="Const"><data element_type="f16"/></layer></layers>',
            "more",
        ),
        ("<net>.*</net>", "<html><body>404</body></html>", "not"),
    ],
)
def test_another_graph_is_refused(
    ir: tuple[Path, Path], pattern: str, replacement: str, complaint: str
) -> None:
    xml_path, bin_path = ir
    graph, count = re.subn(pattern, replacement, xml_path.read_text(), flags=re.DOTALL)
    assert count > 0
    xml_path.write_text(graph)

    assert complaint in refusal(xml_path, bin_path)


def test_a_constant_that_two_layers_share_is_refused(ir: tuple[Path, Path]) -> None:
    xml_path, bin_path = ir
    graph = xml_path.read_text()
    ids = [
        re.search(
            rf'id="(\d+)" name="MobilenetV2/expanded_conv_{block}/expand/Conv2D/bias/single"', graph
        )
        for block in (4, 5)
    ]
    fourth, fifth = (found.group(1) for found in ids)
    xml_path.write_text(graph.replace(f'from-layer="{fifth}"', f'from-layer="{fourth}"'))

    assert "used twice" in refusal(xml_path, bin_path)

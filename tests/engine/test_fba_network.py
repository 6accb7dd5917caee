"""The published network: its tensors, its geometry, and equality with the plain graph."""

import hashlib

import plain_fba
import pytest
import torch
from plain_fba import damped_random_weights
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from smart_matte.engine.models import fba
from smart_matte.engine.models.fba import FBA, build_fba, standardise
from smart_matte.errors import WeightsError

PUBLISHED_TENSORS = "c689bc6594b9d5371080f367084e1c427b55ad5183bd386c428ddcf3a5bc4945"
"""SHA-256 of the lines "name (shape)" of the published checkpoint, in its order."""


@pytest.fixture(scope="module")
def shapes() -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in FBA().state_dict().items()}


@pytest.fixture(scope="module")
def weights(shapes):
    return damped_random_weights(shapes)


@pytest.fixture(scope="module")
def network(weights):
    return build_fba(weights)


def random_inputs(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height * width)
    inputs = torch.rand(batch, 14, height, width, generator=generator, dtype=torch.float64)
    return inputs[:, :3], inputs[:, 3:]


def test_tensors_are_named_ordered_and_shaped_as_published(shapes):
    lines = "\n".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    assert len(shapes) == 197
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED_TENSORS


def test_there_are_34_693_031_parameters(shapes):
    assert sum(shape.numel() for shape in shapes.values()) == 34_693_031


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda weights: weights.pop("encoder.bn1.bias"), "encoder.bn1.bias is missing"),
        (
            lambda weights: weights.update({"encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}),
            r"encoder.conv1.weight should be \(64, 11, 7, 7\) but is \(64, 3, 7, 7\)",
        ),
        (lambda weights: weights.update({"fc.weight": torch.zeros(1)}), "they hold fc.weight"),
    ],
)
def test_other_weights_are_refused_with_the_first_mismatch(weights, damage, sentence):
    damaged = dict(weights)
    damage(damaged)
    with pytest.raises(WeightsError, match=sentence):
        build_fba(damaged)


def test_building_leaves_the_weights_as_they_are(weights):
    before = {name: tensor.clone() for name, tensor in weights.items()}
    network = build_fba(weights)
    with torch.inference_mode():
        network(*random_inputs(16, 16))
    assert all(torch.equal(weights[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(("height", "width", "batch"), [(40, 56, 2), (72, 104, 1), (8, 8, 1)])
def test_network_equals_the_plain_graph(weights, network, height, width, batch):
    image, features = random_inputs(height, width, batch)
    with torch.inference_mode():
        expected = plain_fba.plain_fba(weights, image, features)
        output = network(image, features)
    assert output.shape == (batch, 7, height, width)
    assert expected[:, 0].std() > 0.1
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("tile_px", [8, 24, 37])
def test_tiles_change_nothing(monkeypatch, weights, network, tile_px):
    monkeypatch.setattr(fba, "TILE_PX", tile_px)
    image, features = random_inputs(56, 72)
    with torch.inference_mode():
        expected = plain_fba.plain_fba(weights, image, features)
        torch.testing.assert_close(network(image, features), expected, rtol=0, atol=1e-9)


def test_prediction_is_the_same_where_only_some_of_it_is_wanted(monkeypatch, weights, network):
    monkeypatch.setattr(fba, "TILE_PX", 16)
    image, features = random_inputs(64, 80)
    wanted = torch.zeros(1, 1, 64, 80)
    wanted[..., 20:30, 41:70] = 1
    with torch.inference_mode():
        expected = plain_fba.plain_fba(weights, image, features)
        output = network(image, features, wanted)
    where = wanted.bool().expand_as(output)
    torch.testing.assert_close(output[where], expected[where], rtol=0, atol=1e-9)
    assert (output[:, :, 32:] == output[0, :, -1:, -1:]).all()  # never computed


def test_raw_filters_give_the_same_as_standardised_once(weights, network):
    raw = FBA().double().eval()
    raw.load_state_dict(weights, strict=True)
    inputs = random_inputs(32, 40)
    with torch.inference_mode():
        torch.testing.assert_close(raw(*inputs), network(*inputs), rtol=0, atol=1e-9)


def test_filters_cannot_be_standardised_twice(weights):
    network = build_fba(weights)
    conv = network.encoder.layer1[0].conv2
    before = conv.weight.clone()
    conv.fold()
    assert torch.equal(conv.weight, before)
    with pytest.raises(WeightsError, match=r"encoder.conv1.weight is missing"):
        build_fba(network.state_dict())


def test_head_of_the_decoder_is_not_standardised(weights, network):
    state = network.state_dict()
    for layer in (0, 2, 4):
        name = f"decoder.conv_up4.{layer}.weight"
        assert torch.equal(state[name], weights[name])


def test_standardised_filters_follow_the_formula_of_the_published_weights():
    weight = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64).reshape(1, 4, 1, 1)
    deviation = (14 / 3) ** 0.5  # sum of squares 14, N - 1 = 3
    expected = (weight - 3) / (deviation + 1e-5)
    torch.testing.assert_close(standardise(weight), expected, rtol=0, atol=1e-12)


def test_small_filters_are_standardised_in_the_old_way():
    # standard deviation 1e-5: sd / (sd + 1e-5) is a half; the formula of 2021 would leave 0.003
    generator = torch.Generator().manual_seed(0)
    weight = 1e-5 * torch.randn(1, 4096, 1, 1, generator=generator, dtype=torch.float64)
    assert standardise(weight).std().item() == pytest.approx(0.5, abs=0.02)


def test_strides_and_dilations_follow_the_specification():
    with torch.device("meta"):
        encoder = FBA().encoder
    geometry = {
        name: [
            (block.conv2.stride[0], block.conv2.dilation[0], block.conv2.padding[0])
            for block in getattr(encoder, name)
        ]
        for name in ("layer1", "layer2", "layer3", "layer4")
    }
    assert geometry == {
        "layer1": [(1, 1, 1)] * 3,
        "layer2": [(2, 1, 1)] + [(1, 1, 1)] * 3,
        "layer3": [(1, 1, 1)] + [(1, 2, 2)] * 5,
        "layer4": [(1, 2, 2)] + [(1, 4, 4)] * 2,
    }
    assert encoder.layer2[0].downsample[0].stride == (2, 2)
    assert encoder.layer3[0].downsample[0].stride == (1, 1)
    assert encoder.layer4[0].downsample[0].stride == (1, 1)


def meta_run(shapes, kind: str, size: int, mode: TorchDispatchMode | FlopCounterMode) -> None:
    """Run the plain graph or the network on tensors without memory, watched by *mode*."""
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    inputs = torch.empty(1, 14, size, size, device="meta")
    network = build_fba(weights)
    with torch.inference_mode(), mode:
        if kind == "plain":
            plain_fba.plain_fba(weights, inputs[:, :3], inputs[:, 3:])
        else:
            network(inputs[:, :3], inputs[:, 3:])


def test_plain_graph_multiplies_170_826_661_888_times_at_512(shapes):
    counter = FlopCounterMode(display=False)
    meta_run(shapes, "plain", 512, counter)
    assert counter.get_total_flops() == 2 * 170_826_661_888


def test_tiles_add_less_than_two_percent_of_multiplications(shapes):
    counter = FlopCounterMode(display=False)
    meta_run(shapes, "network", 512, counter)
    assert counter.get_total_flops() / (2 * 170_826_661_888) == pytest.approx(1, abs=0.02)


class PeakMemory(TorchDispatchMode):
    """Adds up what the operations allocated and still holds after each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = storages((args, kwargs))
        result = function(*args, **(kwargs or {}))
        self._alive |= {ref: size for ref, size in storages(result).items() if ref not in given}
        self._alive = {ref: size for ref, size in self._alive.items() if not ref.expired()}
        self.peak_bytes = max(self.peak_bytes, sum(self._alive.values()))
        return result


def storages(tree: object) -> dict[StorageWeakRef, int]:
    """Bytes of the memory behind the tensors in nested arguments."""
    found = (leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return {StorageWeakRef(storage): storage.nbytes() for storage in found}


def test_features_take_384_bytes_a_pixel(shapes):
    plain, network = PeakMemory(), PeakMemory()
    meta_run(shapes, "plain", 1024, plain)
    meta_run(shapes, "network", 1024, network)
    assert plain.peak_bytes > 1000 * 1024**2
    assert network.peak_bytes == 384 * 1024**2

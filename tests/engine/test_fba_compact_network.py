"""Our own network: what it costs, where it begins, how far it looks, which weights it takes."""

import pytest
import torch
from random_compact import random_fba_compact
from torch import Tensor, nn

from smart_matte.engine.models.fba_compact import (
    CHANNELS,
    CONTEXT_REACH_PX,
    CONTEXT_SCALE,
    CONTEXT_WIDTHS,
    DETAIL_REACH_PX,
    GUESS,
    OUTPUTS,
    STRIDE_PX,
    FbaCompact,
    build_fba_compact,
    fold_norms,
)
from smart_matte.errors import WeightsError


def random_channels(height: int, width: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand(count, CHANNELS, height, width, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return fold_norms(random_fba_compact()).state_dict()


def test_in_the_beginning_the_guess_comes_out_exactly() -> None:
    channels = random_channels(48, 32, count=2)
    network = FbaCompact().double()
    for mode in (True, False):
        assert torch.equal(network.train(mode)(channels), channels[:, GUESS:])
    assert channels[:, GUESS:].shape[1] == OUTPUTS


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 80)])
def test_every_pixel_is_answered(height: int, width: int) -> None:
    channels = random_channels(height, width)
    correction = random_fba_compact().double()(channels) - channels[:, GUESS:]
    assert correction.shape == (1, OUTPUTS, height, width)
    assert correction.std(dim=(0, 2, 3)).min() > 0.02


def test_there_are_at_most_8_million_parameters_and_40_000_multiplications_a_pixel() -> None:
    network = fold_norms(FbaCompact())
    multiplications, side_px = 0, 64

    def count(layer: nn.Conv2d, _inputs: object, output: Tensor) -> None:
        nonlocal multiplications
        multiplications += layer.weight[0].numel() * output.numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for layer in layers:
        layer.register_forward_hook(count)
    network(random_channels(side_px, side_px).float())
    assert sum(parameter.numel() for parameter in network.parameters()) <= 8_000_000
    assert 10_000 < multiplications / side_px**2 <= 40_000


def test_folding_changes_nothing_after_the_statistics_were_learnt() -> None:
    network = random_fba_compact().double().train()
    for count in (2, 3, 4):
        network(2 * random_channels(32, 48, count) - 0.5)
    channels = random_channels(48, 32, count=2)
    before = network.eval()(channels)
    after = fold_norms(network)(channels)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert (before - channels[:, GUESS:]).std() > 0.02
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)


def test_what_is_folded_stays_as_it_is() -> None:
    network = fold_norms(random_fba_compact())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, tensor in fold_norms(network).state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_answer_to_one_picture_does_not_depend_on_the_others() -> None:
    channels = random_channels(32, 48, count=3)
    network = random_fba_compact().double()
    together = network(channels)
    for picture, answer in zip(channels, together, strict=True):
        torch.testing.assert_close(network(picture[None])[0], answer, rtol=0, atol=1e-12)


def test_detail_looks_no_further_than_it_says() -> None:
    detail = random_fba_compact().detail.double()
    side_px, place = 64, 32
    channels = random_channels(side_px, side_px).requires_grad_()
    context = torch.rand(1, CONTEXT_WIDTHS[0], *(2 * [side_px // CONTEXT_SCALE])).double()
    context.requires_grad_()
    detail(channels, context)[0, :, place, place].sum().backward()
    for seen, scale in ((channels, 1), (context, CONTEXT_SCALE)):
        assert seen.grad is not None
        touched = torch.nonzero(seen.grad.abs().sum(dim=(0, 1)))
        first, last = int(touched.min()) * scale, (int(touched.max()) + 1) * scale
        assert place - DETAIL_REACH_PX <= first < place < last <= place + DETAIL_REACH_PX


def test_the_context_looks_no_further_than_it_says() -> None:
    context = fold_norms(random_fba_compact()).context.double()
    reach, place = CONTEXT_REACH_PX // CONTEXT_SCALE, 100
    shrunken = torch.rand(1, CHANNELS, 2 * place, 4).double()
    with torch.inference_mode():
        before = context(shrunken)
        for row in range(place, place + STRIDE_PX // CONTEXT_SCALE):
            changed = shrunken.clone()
            changed[:, :, row] += 1
            difference = (context(changed) - before).abs().amax(dim=(0, 1, 3))
            touched = torch.nonzero(difference)
            assert row - reach <= int(touched.min()) < row - reach // 2
            assert row + reach // 2 < int(touched.max()) <= row + reach


def test_built_from_its_weights_it_answers_the_same(weights: dict[str, Tensor]) -> None:
    channels = random_channels(32, 32).float()
    network = build_fba_compact(weights)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    expected = random_fba_compact()(channels)
    torch.testing.assert_close(network(channels), expected, rtol=0, atol=1e-5)


def test_half_the_precision_is_as_good(weights: dict[str, Tensor]) -> None:
    halves = {name: tensor.half() for name, tensor in weights.items()}
    network = build_fba_compact(halves)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    channels = random_channels(32, 32).float()
    expected = random_fba_compact()(channels)
    torch.testing.assert_close(network(channels), expected, rtol=0, atol=2e-3)
    assert {tensor.dtype for tensor in halves.values()} == {torch.float16}


@pytest.mark.parametrize(
    ("name", "tensor", "sentence"),
    [
        ("detail.out.bias", None, "detail.out.bias is missing"),
        (
            "detail.own.conv.weight",
            torch.zeros(32, 72, 1, 1),
            r"detail.own.conv.weight should be \(32, 72, 3, 3\) but is \(32, 72, 1, 1\)",
        ),
        (
            "detail.out.bias",
            torch.zeros(28, dtype=torch.int32),
            "detail.out.bias should hold floating-point numbers but holds int32",
        ),
        ("detail.last.bias", torch.zeros(1), "they hold detail.last.bias, which is unknown"),
    ],
)
def test_other_weights_are_refused_in_words(
    weights: dict[str, Tensor], name: str, tensor: Tensor | None, sentence: str
) -> None:
    damaged = {key: value for key, value in weights.items() if key != name}
    if tensor is not None:
        damaged[name] = tensor
    with pytest.raises(WeightsError, match=f"not the weights of fba-compact: {sentence}"):
        build_fba_compact(damaged)


def test_weights_that_are_not_folded_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"context.fine.0.conv.bias is missing"):
        build_fba_compact(random_fba_compact().state_dict())

"""Figures on held-back samples, against those computed by hand."""

import pytest
import torch
from tiny_samples import TINY
from torch import Tensor, nn

from smart_matte.engine.models.fba_compact import CHANNELS, GUESS, FbaCompact
from smart_matte.training import validation
from smart_matte.training.losses import Truth
from smart_matte.training.shards import SampleFiles, Shard
from smart_matte.training.validation import measure_network

SIDE_PX = 32


class Samples:
    """
    Stands in for files: two samples, alpha 0.5 in the left half and 0.25 in the right.

    The first is unknown in a quarter of its pixels, to the left, the second everywhere. The guess
    at alpha is off by 0.25 and 0.5, that at F by 0.125 and 0.25, but to the right by nothing. By
    how much is in the first two channels.
    """

    def __len__(self) -> int:
        return 2

    def __getitem__(self, wanted: tuple[int, int]) -> tuple[Tensor, Truth]:
        index, turn = wanted
        assert turn == 0
        size = SIDE_PX, SIDE_PX
        alpha = torch.full((1, *size), 0.5)
        alpha[..., SIDE_PX // 2 :] = 0.25
        foreground, background = torch.full((3, *size), 0.625), torch.full((3, *size), 0.25)
        image = alpha * foreground + (1 - alpha) * background
        is_unknown = torch.ones(1, *size)
        if index == 0:
            is_unknown[:, SIDE_PX // 2 :] = 0
            is_unknown[:, :, SIDE_PX // 2 :] = 0
        channels = torch.zeros(CHANNELS, *size)
        channels[0] = 0.25 * (index + 1) * is_unknown
        channels[1, :, : SIDE_PX // 2] = 0.125 * (index + 1)
        channels[GUESS] = alpha + channels[0]
        channels[GUESS + 1 : GUESS + 4] = foreground + channels[1]
        channels[GUESS + 4 :] = background
        return channels, Truth(image, alpha, foreground, background, is_unknown)


class Oracle(nn.Module):
    """Knows by how much the guess is off."""

    def forward(self, channels: Tensor) -> Tensor:
        off = torch.cat([channels[:, :1], channels[:, 1:2].expand(-1, 3, -1, -1)], dim=1)
        return torch.cat([channels[:, GUESS : GUESS + 4] - off, channels[:, GUESS + 4 :]], dim=1)


def measure(network: nn.Module) -> dict[str, float]:
    return measure_network(network, Samples(), torch.device("cpu"))


def test_the_guess_is_measured_as_it_is_and_the_answer_as_it_is_fused() -> None:
    figures = measure(Oracle())
    assert set(figures) == {"alpha", "guess", "ratio", "foreground", "guess foreground"}
    assert figures["guess"] == pytest.approx((0.25 + 0.5) / 2)
    assert figures["guess foreground"] == pytest.approx((0.125 + 0.25 * 2 / 3) / 2)
    for name in ("alpha", "ratio", "foreground"):
        assert figures[name] == pytest.approx(0, abs=1e-6)


def test_a_sample_counts_as_one_whatever_is_unknown_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_fused", lambda output, _truth: output)

    class Unchanged(nn.Module):
        def forward(self, channels: Tensor) -> Tensor:
            return channels[:, GUESS:]

    figures = measure(Unchanged())
    assert figures["alpha"] == figures["guess"] == pytest.approx(0.375)
    assert (
        figures["foreground"] == figures["guess foreground"] == pytest.approx((0.125 + 1 / 6) / 2)
    )
    assert figures["ratio"] == 1


def test_batches_change_no_figure(
    rendered: tuple[list[Shard], list[Shard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = SampleFiles(rendered[1], TINY.per_shard)
    results = []
    for batch in (8, 3, 1):
        monkeypatch.setattr(validation, "BATCH", batch)
        results.append(measure_network(FbaCompact(), samples, torch.device("cpu")))
    for figures in results[1:]:
        assert figures == pytest.approx(results[0], rel=1e-5)
    assert results[0]["guess"] > 0.001


def test_measuring_does_not_teach_the_network(
    rendered: tuple[list[Shard], list[Shard]],
) -> None:
    network = FbaCompact().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measure_network(network, SampleFiles(rendered[1], TINY.per_shard), torch.device("cpu"))
    assert not network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])

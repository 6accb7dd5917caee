"""How good a network in training is, on samples that it doesn't learn from."""

import numpy as np
import torch
from torch import Tensor, nn

from smart_matte.engine.fusion import fuse_fba
from smart_matte.engine.models.fba_compact import GUESS
from smart_matte.training.losses import Truth
from smart_matte.training.shards import SampleFiles

BATCH = 8


def measure_network(
    network: nn.Module, samples: SampleFiles, device: torch.device
) -> dict[str, float]:
    """
    Measure a network after fusion, and the guess that it was given, in the unknown regions.

    Args:
        network: FbaCompact, in whatever mode; left in evaluation mode.
        samples: held back.
        device: where the network is.

    Returns:
        Means over the samples: "alpha" and "guess" (mean absolute error of alpha, [0, 1]),
        "foreground" and "guess foreground" (of straight colour, weighted by the true alpha),
        and "ratio", alpha's part of the guess.
    """
    network.eval()
    rows = []
    for start in range(0, len(samples), BATCH):
        batch = [samples[index, 0] for index in range(start, min(start + BATCH, len(samples)))]
        channels = torch.stack([channel for channel, _ in batch])
        with torch.inference_mode():
            outputs = network(channels.to(device)).float().cpu()
        for (given, truth), output in zip(batch, outputs, strict=True):
            guess, answer = _errors(given[GUESS:], truth), _errors(_fused(output, truth), truth)
            rows.append((*answer, *guess))
    alpha, foreground, guess, guess_foreground = np.mean(rows, axis=0)
    return {
        "alpha": float(alpha),
        "guess": float(guess),
        "ratio": float(alpha / guess),
        "foreground": float(foreground),
        "guess foreground": float(guess_foreground),
    }


def _fused(output: Tensor, truth: Truth) -> Tensor:
    """(7, H, W) after FBA's fusion."""
    values = output.clamp(0, 1).permute(1, 2, 0).numpy()
    image = truth.image.permute(1, 2, 0).numpy()
    alpha, *colours = fuse_fba(image, values[..., 0], values[..., 1:4], values[..., 4:])
    return torch.from_numpy(np.dstack([alpha, *colours])).permute(2, 0, 1)


def _errors(estimate: Tensor, truth: Truth) -> tuple[float, float]:
    """Mean absolute error of alpha, and of the foreground where it can be seen."""
    is_unknown = truth.is_unknown
    count = is_unknown.sum().clamp(min=1)
    alpha = ((estimate[:1].clamp(0, 1) - truth.alpha).abs() * is_unknown).sum() / count
    seen = truth.alpha * is_unknown
    difference = (estimate[1:4] - truth.foreground).abs().mean(dim=0, keepdim=True)
    foreground = (difference * seen).sum() / seen.sum().clamp(min=1)
    return float(alpha), float(foreground)

"""Networks and checkpoints as training leaves them, without training."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from smart_matte.engine.models.fba_compact import FbaCompact
from smart_matte.training.checkpoints import FIGURES, WEIGHTS


def learnt_network(seed: int) -> FbaCompact:
    """Weights and statistics by chance, not folded; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    network = FbaCompact()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    nn.init.normal_(network.detail.out.weight, 0, 0.01, generator=generator)
    return network.eval().requires_grad_(requires_grad=False)


def write_checkpoint(place: Path, averaged: FbaCompact, figures: str | None) -> None:
    """Without an optimiser; the network's last weights are others than the averaged."""
    place.mkdir(parents=True)
    tensors = {f"average.module.{name}": value for name, value in averaged.state_dict().items()}
    tensors["average.n_averaged"] = torch.tensor(7)
    for name, value in averaged.state_dict().items():
        tensors[f"network.{name}"] = value + 1
    save_file(tensors, place / WEIGHTS)
    if figures is not None:
        (place / FIGURES).write_text(figures, encoding="utf-8")

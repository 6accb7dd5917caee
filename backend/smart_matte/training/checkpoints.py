"""What a run keeps: its state, to go on from, and how good it was."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WEIGHTS, OPTIMISER, FIGURES = "weights.safetensors", "optimiser.ckpt", "held-back.json"
"""The files of a checkpoint; the first two are 12 MB each, to be carried where that is the most."""

AVERAGED = "average.module."
"""What the names of the averaged weights begin with."""


@dataclass
class State:
    """
    A run at some step.

    Attributes:
        network: what is trained.
        average: the moving average of its weights.
        optimiser: as Fabric set it up.
        step: how many batches were learnt.
    """

    network: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    step: int = 0


def keep(folder: Path, fabric: Fabric, state: State, figures: dict[str, float]) -> Path:
    """Write a checkpoint; its figures come last and make it complete."""
    place = folder / f"step-{state.step:07}"
    fabric.save(place / OPTIMISER, {"optimiser": state.optimiser.state_dict()})
    if fabric.is_global_zero:
        save_file(_tensors(state), place / WEIGHTS)
        partial = place / f"{FIGURES}.partial"
        partial.write_text(f"{json.dumps(figures, indent=2)}\n", encoding="utf-8")
        partial.replace(place / FIGURES)
    return place


def resume(folder: Path, fabric: Fabric, state: State) -> None:
    """Bring a run to its newest checkpoint; without one it stays as it is."""
    kept = find_checkpoints(folder)
    if not kept:
        return
    tensors = load_file(kept[-1] / WEIGHTS)
    state.network.load_state_dict(_part(tensors, "network."))
    state.average.load_state_dict(_part(tensors, "average."))
    state.optimiser.load_state_dict(fabric.load(kept[-1] / OPTIMISER)["optimiser"])
    state.step = int(kept[-1].name.removeprefix("step-"))


def _tensors(state: State) -> dict[str, Tensor]:
    parts = {"network": state.network.state_dict(), "average": state.average.state_dict()}
    return {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, tensors in parts.items()
        for name, tensor in tensors.items()
    }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with *prefix*, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def find_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{7}", path.name)]
    return sorted(path for path in found if (path / FIGURES).exists())


def read_figures(checkpoint: Path) -> dict[str, float]:
    """What ``measure_network`` said of it."""
    figures: dict[str, float] = json.loads((checkpoint / FIGURES).read_text(encoding="utf-8"))
    return figures


def read_averaged(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, by name, on the CPU."""
    return _part(load_file(checkpoint / WEIGHTS), AVERAGED)

"""Which checkpoint becomes the weights: the best on held-back samples, and on nothing else."""

import math
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from smart_matte.engine.models.fba_compact import FbaCompact, fold_norms
from smart_matte.training.checkpoints import find_checkpoints, read_averaged, read_figures

DECIDING = "alpha"
"""The figure that decides, the lower the better."""

WEIGHTS_NAME = "fba-compact.safetensors"


def write_best(folder: Path) -> tuple[Path, Path]:
    """
    Write the weights of a run's best checkpoint, as they are shipped.

    Returns:
        The checkpoint's folder, and the file.
    """
    best = min(find_checkpoints(folder), key=_error)
    weights = folder / WEIGHTS_NAME
    export(read_averaged(best), weights)
    return best, weights


def _error(checkpoint: Path) -> float:
    """The figure that decides; what isn't a number is the worst."""
    error = read_figures(checkpoint)[DECIDING]
    return math.inf if math.isnan(error) else error


def export(state_dict: dict[str, Tensor], path: Path) -> None:
    """Fold the normalisation into the filters, halve the precision, and write."""
    network = FbaCompact()
    network.load_state_dict(state_dict)
    folded = fold_norms(network).state_dict()
    save_file({name: tensor.half().contiguous() for name, tensor in folded.items()}, path)

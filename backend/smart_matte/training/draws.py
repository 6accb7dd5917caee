"""Random parameters, one for each sample of a batch, and what applies them to some samples only."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)


def log_uniform(
    random: np.random.Generator, low: float, high: float, count: int
) -> NDArray[np.float64]:
    """*count* numbers in [low, high], whose logarithms are spread evenly."""
    return np.exp(random.uniform(np.log(low), np.log(high), count))


def choose(random: np.random.Generator, count: int, share: float) -> NDArray[np.intp]:
    """Indices of those of *count* samples that a coin picks, each with probability *share*."""
    return np.flatnonzero(random.random(count) < share)


def column(values: ArrayLike, like: Tensor) -> Tensor:
    """Parameters (N,) or (N, C) as float32 (N, 1 or C, 1, 1), on the device of *like*."""
    parameters = torch.from_numpy(np.asarray(values, np.float32)).to(like.device)
    return (parameters if parameters.ndim > 1 else parameters[:, None])[:, :, None, None]


def pick(batch: Tensor, indices: NDArray[np.intp]) -> Tensor:
    """The samples (K, ...) of a batch (N, ...) at K indices."""
    return batch.index_select(0, torch.from_numpy(indices).to(batch.device))


def put(batch: Tensor, indices: NDArray[np.intp], samples: Tensor) -> Tensor:
    """A batch (N, ...) with other samples (K, ...) at K indices, none of them twice."""
    return batch.index_copy(0, torch.from_numpy(indices).to(batch.device), samples)


def change_some(
    batch: Tensor, indices: NDArray[np.intp], change: Callable[[Tensor], Tensor]
) -> Tensor:
    """
    Apply *change* to the samples at *indices* alone.

    Args:
        batch: (N, C, H, W).
        indices: (K,), none twice.
        change: (K, C, H, W) to the same shape; not asked where K is 0.

    Returns:
        A new batch, or the given one where there is nothing to change.
    """
    return put(batch, indices, change(pick(batch, indices))) if len(indices) else batch


def draw_waves(shape: tuple[int, int], size_px: int, cells: int, noise: torch.Generator) -> Tensor:
    """
    Smooth random fields, about normally distributed, whose hills are size_px / cells pixels wide.

    Args:
        shape: samples and channels.
        size_px: height and width.
        cells: independent values along a side.
        noise: of the device that the fields are wanted on.

    Returns:
        float32 (*shape, size_px, size_px).
    """
    values = torch.randn((*shape, cells, cells), generator=noise, device=noise.device)
    return F.interpolate(values, size=(size_px, size_px), mode="bicubic")

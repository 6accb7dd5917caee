"""Solves the matting Laplacian: conjugate gradients over blocks that know their colours."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from smart_matte.engine.models.matting_laplacian import (
    OFFSETS,
    REACH_PX,
    Blocks,
    System,
    build_system,
    lay_blocks,
)

SMALLEST_BLOCK_PX = 6
"""Side of a block: 4, 6 and 8 need about 12, 22 and 30 rounds, and 6 the least time in all."""

MOST_BLOCKS = 10_000
"""
About so many blocks at most; more unknown pixels make them larger. Their equations are factorised
in one go of 0.3 s, in which a job can't be stopped.
"""

BLOCKS_IN_CHUNK = 512
"""Blocks that are computed at a time: they fit a processor's cache."""

BLOCKS_IN_CHUNK_GPU = 8192
"""The same where every operation has its fixed price, and float64 temporaries are the limit."""

RELATIVE_TOLERANCE = 5e-5
"""
Most that the residual may be, of the right side. Of the 28 shared problems none is then further
than 0.001 (mean of the unknown region) from pymatting's, which asks for 1e-7.
"""
MAX_ROUNDS = 500

SMOOTHING = 1.5
"""Step of the relaxation, of that by which no error can grow; below 2, else it would diverge."""

RANK_TOLERANCE = 1e-3
"""Norm below which a block's colour is taken for constant along one more direction."""

COARSE_RIDGE = 1e-12
"""Of the diagonal: keeps the blocks' equations solvable where rounding made them singular."""

BASIS = 4
"""Unknowns of a block: a constant and three colours."""

SETUP_SHARE = 0.3
"""Of the progress that is told: the equations, before the rounds."""

Prior = tuple[NDArray[np.float32], NDArray[np.float32]]
"""What alpha is likely to be, and the weight of that."""


@dataclass(frozen=True)
class Solution:
    """
    What the solver found.

    Attributes:
        alpha: float32 (H, W), [0, 1]; the trimap where that is known.
        rounds: how many steps of conjugate gradients it took.
        residual: |b - A alpha| / |b| at the end, before alpha was clipped.
        is_converged: whether that is at most the tolerance that was asked for.
    """

    alpha: NDArray[np.float32]
    rounds: int
    residual: float
    is_converged: bool


def solve_closed_form(
    image: NDArray[np.float32],
    trimap: NDArray[np.float32],
    progress: Callable[[float], None],
    device: str = "cpu",
    *,
    prior: Prior | None = None,
    dtype: torch.dtype = torch.float32,
    tolerance: float = RELATIVE_TOLERANCE,
    max_rounds: int = MAX_ROUNDS,
) -> Solution:
    """
    Find the alpha that is the quadratic minimum under the local colour line model.

        alpha = argmin alpha^T L alpha + sum_i w_i (alpha_i - p_i)^2, alpha given where known

    with p and w of the prior; without one, w = 0 and this is the paper's.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground; some of it unknown.
        progress: told the share that is done; what it raises ends the job.
        device: torch device that has float64.
        prior: p and w, both float32 (H, W), looked at in unknown pixels; None for none.
        dtype: what the equations are held in.
        tolerance: of the residual, of the right side.
        max_rounds: after which it gives up.

    Raises:
        MemoryError: it is too little.

    Source:
        Levin, Lischinski and Weiss 2008, "A Closed-Form Solution to Natural Image Matting",
        equations 11 to 13, with the known pixels as hard constraints (their lambda without end).
        The solver is our own, see ``Preconditioner``.
    """
    try:
        with _single_thread():
            system = _build(image, trimap, prior, progress, device=device, dtype=dtype)
            precondition = Preconditioner(system, lambda: progress(SETUP_SHARE))
            found, rounds, residual = _descend(
                system, precondition, progress, tolerance, max_rounds
            )
            alpha = _to_picture(found.clamp_(0, 1), system, trimap)
    except RuntimeError as error:  # torch's words for it differ by device
        if any(word in str(error) for word in ("out of memory", "allocate memory")):
            raise MemoryError(str(error)) from error
        raise
    return Solution(alpha, rounds, residual, residual <= tolerance)


class Preconditioner:
    """
    An approximate inverse of A: one relaxation, the blocks' own equations, one relaxation.

    Alpha is close to an affine function of colour nearby, and such functions are just what A
    hardly sees and conjugate gradients alone hardly find. So each block gets a basis Q of them,

        span of the columns of Q = {1, red, green, blue} on the block's unknown pixels,

    and the part of the error in all these spans together is found exactly, by a sparse
    factorisation of Q^T A Q (four unknowns for each block, about a tenth of A's).
    What is left varies from pixel to pixel, and relaxation removes it:

        z := S r;  z := z + Q (Q^T A Q)^-1 Q^T (r - A z);  z := z + S (r - A z)

    with S diagonal, S_ii = SMOOTHING / sum_j |A_ij|. As the largest eigenvalue of S A is at most
    SMOOTHING < 2 (Gershgorin), the whole is symmetric and positive definite.

    Source:
        Two-level aggregation with given near-null vectors: Vaněk, Mandel and Brezina 1996,
        "Algebraic multigrid by smoothed aggregation", section 5, without the smoothing of the
        basis. That colours are the vectors to give is our own.
    """

    def __init__(self, system: System, tell: Callable[[], None]) -> None:
        self._system = system
        total = torch.stack([rows.abs().sum(dim=0) for rows in system.coefficients])
        self._relaxation = SMOOTHING / torch.where(total > 0, total, 1)
        self._basis = _find_basis(system)
        self._factors = _factorise(_project(system, self._basis, tell), system.blocks, tell)
        tell()

    def __call__(self, residual: Tensor) -> Tensor:
        """Apply it to a plane."""
        step = self._relaxation * residual
        step += self._correct(residual - self._system.apply(step))
        return step.addcmul_(self._relaxation, residual - self._system.apply(step))

    def _correct(self, residual: Tensor) -> Tensor:
        sums = torch.stack([(residual * plane).sum(dim=(1, 2)) for plane in self._basis], dim=-1)
        solved = self._factors.solve(sums.double().cpu().numpy().reshape(-1))
        shares = torch.from_numpy(solved).to(residual).view(sums.shape)[:, None, None]
        correction = self._basis[0] * shares[..., 0]
        for k in range(1, BASIS):
            correction.addcmul_(self._basis[k], shares[..., k])
        return correction


def _build(
    image: NDArray[np.float32],
    trimap: NDArray[np.float32],
    prior: Prior | None,
    progress: Callable[[float], None],
    *,
    device: str,
    dtype: torch.dtype,
) -> System:
    is_unknown = (trimap != 0) & (trimap != 1)
    enough_px = math.ceil(math.sqrt(np.count_nonzero(is_unknown) / MOST_BLOCKS))
    size_px = max(SMALLEST_BLOCK_PX, enough_px)
    chunk = BLOCKS_IN_CHUNK if device == "cpu" else BLOCKS_IN_CHUNK_GPU
    blocks = lay_blocks(is_unknown, size_px, chunk, device)
    channels, kinds = _on_device(image.transpose(2, 0, 1), device), _on_device(trimap, device)
    likely = None
    if prior is not None:
        likely = _on_device(prior[0], device), _on_device(prior[1], device)
    for done, built in enumerate(build_system(channels, kinds, blocks, dtype, likely)):
        progress(SETUP_SHARE * done / blocks.shape[0])
        system = built
    return system


def _on_device(array: NDArray[np.float32], device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _find_basis(system: System) -> Tensor:
    """Orthonormal planes (4, ...) of constant and colour in each block; 0 where they depend."""
    basis: list[Tensor] = []
    for values in (torch.ones_like(system.right_side), *system.colour.unbind(dim=1)):
        plane = values * system.is_unknown
        for earlier in basis:
            plane -= earlier * (earlier * plane).sum(dim=(1, 2), keepdim=True)
        norm = plane.square().sum(dim=(1, 2), keepdim=True).sqrt()
        basis.append(torch.where(norm > RANK_TOLERANCE, plane / norm, 0))
    return torch.stack(basis)


def _project(system: System, basis: Tensor, tell: Callable[[], None]) -> NDArray[np.float64]:
    """Q^T A Q: (3, 3, 4, 4, blocks in all), by the neighbour that holds the column."""
    blocks, side = system.blocks, system.blocks.size_px
    spans = (slice(0, REACH_PX), slice(REACH_PX, side + REACH_PX), slice(side + REACH_PX, None))
    parts = []
    for chunk in range(blocks.shape[0]):
        tell()
        own = basis[:, chunk]
        others = torch.stack([blocks.with_surroundings(plane, chunk) for plane in basis])
        spread = torch.zeros_like(others)  # A Q, where it falls
        for k, (dy, dx) in enumerate(OFFSETS):
            spread[:, dy : dy + side, dx : dx + side] += system.coefficients[chunk, k] * own
        part = [
            (spread[:, None, rows, columns] * others[None, :, rows, columns]).sum(
                dim=(2, 3), dtype=torch.float64
            )
            for rows in spans
            for columns in spans
        ]
        parts.append(torch.stack(part).cpu().numpy())
    return np.concatenate(parts, axis=-1).reshape(3, 3, BASIS, BASIS, -1)


def _factorise(projected: NDArray[np.float64], blocks: Blocks, tell: Callable[[], None]) -> SuperLU:
    """Factorise Q^T A Q; the basis vectors of a block follow each other."""
    count, beside = projected.shape[-1], blocks.neighbours[:, :, None, None]
    vector = np.arange(BASIS)[:, None]
    row = np.broadcast_to(BASIS * np.arange(count) + vector[:, None], projected.shape)
    column = np.broadcast_to(BASIS * beside + vector, projected.shape)
    is_there = (beside >= 0) & (projected != 0)
    entries = (projected[is_there], (row[is_there], column[is_there]))
    matrix = csc_matrix(entries, (BASIS * count, BASIS * count))
    diagonal = matrix.diagonal()
    ridge = np.where(diagonal > 0, COARSE_RIDGE * diagonal, 1)  # a vector that was left out: any
    unit = np.arange(BASIS * count)
    matrix = matrix + csc_matrix((ridge, (unit, unit)), matrix.shape)
    tell()
    options = {"SymmetricMode": True}
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


def _descend(
    system: System,
    precondition: Preconditioner,
    progress: Callable[[float], None],
    tolerance: float,
    max_rounds: int,
) -> tuple[Tensor, int, float]:
    """Preconditioned conjugate gradients from 0: what was found, the rounds, the residual left."""
    found, left = torch.zeros_like(system.right_side), system.right_side.clone()
    whole = _dot(left, left) ** 0.5
    if whole == 0:  # no foreground in reach: alpha is 0
        return found, 0, 0.0
    direction, energy, residual, least = torch.zeros_like(found), 1.0, 1.0, 1.0
    for rounds in range(max_rounds):
        least = min(least, residual)  # it doesn't fall every time
        progress(SETUP_SHARE + (1 - SETUP_SHARE) * math.log(least) / math.log(tolerance))
        step = precondition(left)
        energy, before = _dot(left, step), energy
        direction = step.add_(direction, alpha=energy / before)
        product = system.apply(direction)
        length = energy / _dot(direction, product)
        found.add_(direction, alpha=length)
        left.sub_(product, alpha=length)
        residual = _dot(left, left) ** 0.5 / whole
        if residual <= tolerance:
            return found, rounds + 1, residual
    return found, max_rounds, residual


def _dot(one: Tensor, other: Tensor) -> float:
    return float(torch.sum(one * other, dtype=torch.float64))


def _to_picture(plane: Tensor, system: System, trimap: NDArray[np.float32]) -> NDArray[np.float32]:
    inner, blocks = slice(REACH_PX, -REACH_PX), system.blocks
    place = blocks.y[:, inner, None] * trimap.shape[1] + blocks.x[:, None, inner]
    alpha = trimap.copy()
    is_unknown = system.is_unknown
    alpha.reshape(-1)[place[is_unknown].cpu().numpy()] = plane[is_unknown].float().cpu().numpy()
    return alpha


class _SideBySide:
    """Jobs that run now in threads of one process, and torch's threads before the first of them."""

    lock = threading.Lock()
    jobs = 0
    threads = 0


@contextmanager
def _single_thread() -> Iterator[None]:
    """
    Keep torch to one thread in this thread of ours.

    The pieces are small: on a busy machine its threads wait for each other longer than they work
    (of one Laplacian, 6 s to 60 s instead of 0.5 s). A job that begins beside another one sees the
    other's 1, so what there was before is the most that any of them saw.
    """
    with _SideBySide.lock:
        _SideBySide.jobs += 1
        _SideBySide.threads = max(_SideBySide.threads, torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _SideBySide.lock:
            torch.set_num_threads(_SideBySide.threads)
            _SideBySide.jobs -= 1
            if not _SideBySide.jobs:
                _SideBySide.threads = 0

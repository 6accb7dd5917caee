"""The matting Laplacian of the unknown pixels, held in small square blocks of the picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EPSILON = 1e-7
"""Ridge on the colours of a window, summed over its 9 pixels: what pymatting takes."""

REACH_PX = 2
"""How far a pixel's equation reaches: its 3 x 3 windows hold pixels up to 2 away."""

OFFSETS = [(dy, dx) for dy in range(2 * REACH_PX + 1) for dx in range(2 * REACH_PX + 1)]
"""Where each of an equation's 25 coefficients stands, counted from 2 up and 2 left."""

OWN = OFFSETS.index((REACH_PX, REACH_PX))
"""The coefficient of the pixel itself."""


@dataclass(frozen=True)
class Blocks:
    """
    The square blocks of a picture that hold unknown pixels.

    They lie in chunks small enough for a processor's cache, and within a chunk the blocks are
    the last dimension: a shift by a pixel is a slice, and every operation runs along all blocks of
    a chunk. A plane of pixels is (chunks, size_px, size_px, blocks).

    Attributes:
        size_px: side of a block.
        y, x: rows and columns of the picture, int64 (chunks, size_px + 4, blocks), of the blocks
            and REACH_PX around them; outside the picture where that is.
        neighbours: int64 (3, 3, blocks in all), which block lies above, beside, below; -1 where
            there is none.
        halo: int32, where each pixel of the blocks and REACH_PX around them is found in a plane;
            anywhere where it isn't held.
    """

    size_px: int
    y: Tensor
    x: Tensor
    neighbours: NDArray[np.int64]
    halo: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a plane of pixels."""
        return (self.y.shape[0], self.size_px, self.size_px, self.y.shape[2])

    def with_surroundings(self, plane: Tensor, chunk: int) -> Tensor:
        """A chunk of a plane and what surrounds its blocks: (size_px + 4, size_px + 4, blocks)."""
        side = self.size_px + 2 * REACH_PX
        return plane.view(-1).index_select(0, self.halo[chunk]).view(side, side, -1)


@dataclass(frozen=True)
class System:
    """
    The equations A alpha = b of the unknown pixels.

    Attributes:
        blocks: where they are.
        coefficients: float (chunks, 25, size_px, size_px, blocks), A: row by row, one plane for
            each of OFFSETS; 0 in the rows and the columns of known pixels.
        right_side: float, a plane: b.
        is_unknown: bool, a plane.
        colour: float (chunks, 3, size_px, size_px, blocks), the pixels' own.
    """

    blocks: Blocks
    coefficients: Tensor
    right_side: Tensor
    is_unknown: Tensor
    colour: Tensor

    def apply(self, plane: Tensor) -> Tensor:
        """Multiply A by a plane."""
        product, side = torch.empty_like(plane), self.blocks.size_px
        for chunk, total in enumerate(product):
            around = self.blocks.with_surroundings(plane, chunk)
            total.zero_()
            for k, (dy, dx) in enumerate(OFFSETS):
                shifted = around[dy : dy + side, dx : dx + side]
                total.addcmul_(self.coefficients[chunk, k], shifted)
        return product


def lay_blocks(
    is_unknown: NDArray[np.bool_], size_px: int, blocks_in_chunk: int, device: str
) -> Blocks:
    """Cut a picture into blocks and keep those with an unknown pixel."""
    height, width = is_unknown.shape
    rows, columns = -(-height // size_px), -(-width // size_px)
    whole = np.zeros((rows * size_px, columns * size_px), bool)
    whole[:height, :width] = is_unknown
    is_held = whole.reshape(rows, size_px, columns, size_px).any(axis=(1, 3))
    row, column = np.nonzero(is_held)
    slots = np.full((rows + 2, columns + 2), -1)
    slots[1:-1, 1:-1][is_held] = np.arange(len(row))
    # the last chunk is filled up with blocks far outside
    spare = -len(row) % min(blocks_in_chunk, len(row))
    shape = (-1, 1, min(blocks_in_chunk, len(row)))
    neighbours = np.stack(
        [[slots[row + 1 + dy, column + 1 + dx] for dx in _SIDES] for dy in _SIDES]
    )
    neighbours = np.pad(neighbours, ((0, 0), (0, 0), (0, spare)), constant_values=-1)
    around = torch.arange(-REACH_PX, size_px + REACH_PX).view(1, -1, 1)
    y, x = (
        torch.from_numpy(np.pad(start * size_px, (0, spare), constant_values=-(10**6))).view(shape)
        + around
        for start in (row, column)
    )
    halo = _find_halo(torch.from_numpy(neighbours), size_px, shape[2])
    return Blocks(size_px, y.to(device), x.to(device), neighbours, halo.to(device))


_SIDES = (-1, 0, 1)


def _find_halo(neighbours: Tensor, size_px: int, blocks_in_chunk: int) -> Tensor:
    position = torch.arange(-REACH_PX, size_px + REACH_PX)
    side = (position >= 0).long() + (position >= size_px).long()
    within = position % size_px
    slot = neighbours[side[:, None], side[None, :]].clamp(min=0)
    chunk, place = slot // blocks_in_chunk, slot % blocks_in_chunk
    row = (chunk * size_px + within[:, None, None]) * size_px + within[None, :, None]
    halo = (row * blocks_in_chunk + place).to(torch.int32)
    return (
        halo.view(*halo.shape[:2], -1, blocks_in_chunk)
        .permute(2, 0, 1, 3)
        .reshape(halo.shape[2] // blocks_in_chunk, -1)
    )


def build_system(
    image: Tensor,
    trimap: Tensor,
    blocks: Blocks,
    dtype: torch.dtype,
    prior: tuple[Tensor, Tensor] | None = None,
) -> Iterator[System]:
    """
    Build the equations of the unknown pixels, chunk by chunk.

    With U the unknown pixels, K the known ones and L the matting Laplacian of the picture,

        (L_UU + W) alpha_U = W p - L_UK alpha_K,

    where a prior says p with the weights W, a diagonal; without one, W = 0.

    Args:
        image: sRGB-coded colour, float32 (3, H, W), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.
        blocks: from ``lay_blocks`` of the trimap's unknown pixels.
        dtype: what the equations are held in; they are always computed in float64.
        prior: p and the diagonal of W, both (H, W); or None.

    Yields:
        The system, after each chunk; it is complete after the last.
    """
    shape, device = blocks.shape, image.device
    system = System(
        blocks,
        torch.empty(shape[0], len(OFFSETS), *shape[1:], dtype=dtype, device=device),
        torch.empty(shape, dtype=dtype, device=device),
        torch.empty(shape, dtype=torch.bool, device=device),
        torch.empty(shape[0], 3, *shape[1:], dtype=dtype, device=device),
    )
    height, width = trimap.shape
    inner = slice(REACH_PX, -REACH_PX)
    for chunk in range(shape[0]):
        y, x = blocks.y[chunk], blocks.x[chunk]
        place = y.clamp(0, height - 1)[:, None] * width + x.clamp(0, width - 1)[None]
        is_inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
        colour, kind = image.reshape(3, -1)[:, place].double(), trimap.reshape(-1)[place]
        is_unknown = (kind != 0) & (kind != 1) & is_inside
        # a window counts where all of it is in the picture
        is_window = ((y[1:-1] >= 1) & (y[1:-1] < height - 1))[:, None] & (
            (x[1:-1] >= 1) & (x[1:-1] < width - 1)
        )[None]
        laplacian = sum_windows(colour, is_window) * is_unknown[inner, inner]
        right_side = _hold_known(laplacian, is_unknown, (kind == 1) & is_inside)
        if prior is not None:
            own = place[inner, inner]
            alpha, weight = (plane.reshape(-1)[own].double() for plane in prior)
            weight *= is_unknown[inner, inner]
            laplacian[OWN] += weight
            right_side += weight * alpha
        system.right_side[chunk] = right_side
        system.coefficients[chunk] = laplacian
        system.is_unknown[chunk] = is_unknown[inner, inner]
        system.colour[chunk] = colour[:, inner, inner]
        yield system


def _hold_known(laplacian: Tensor, is_unknown: Tensor, is_foreground: Tensor) -> Tensor:
    """Move the known pixels' columns to the right side, which is returned."""
    right_side = torch.zeros_like(laplacian[0])
    side = right_side.shape[0]
    for k, (dy, dx) in enumerate(OFFSETS):
        shifted = slice(dy, dy + side), slice(dx, dx + side)
        right_side -= laplacian[k] * is_foreground[shifted]
        laplacian[k] *= is_unknown[shifted]
    return right_side


def sum_windows(colour: Tensor, is_window: Tensor) -> Tensor:
    """
    Compute the matting Laplacian's rows of the pixels of some blocks.

        L_ij = sum over windows w that hold i and j of
               d_ij - (1 + (I_i - m_w)^T S_w (I_j - m_w)) / 9,
        S_w = (covariance of the colours in w + EPSILON / 9)^-1

    with m_w the mean colour in w and d_ij 1 where i = j. Each window is computed in the same way
    for every block that it reaches, so L is as symmetric as rounding allows, and its rows sum to 0.

    Args:
        colour: float64 (3, n + 4, n + 4, blocks), blocks of side n and REACH_PX around them.
        is_window: bool (n + 2, n + 2, blocks), whether the window around a pixel counts.

    Returns:
        float64 (25, n, n, blocks), a plane for each of OFFSETS.

    Source:
        Levin, Lischinski and Weiss 2008, equation 12; the ridge as pymatting has it.
    """
    count, side = colour.shape[1] - 2, colour.shape[1] - 2 * REACH_PX
    shifts = [(dy, dx) for dy in range(3) for dx in range(3)]
    centred = torch.stack([colour[:, dy : dy + count, dx : dx + count] for dy, dx in shifts])
    centred -= centred.mean(dim=0)
    whitened = _whiten(centred)
    rows = colour.new_zeros(5, 5, side, side, colour.shape[-1])
    for own, (dy, dx) in enumerate(shifts):
        # the windows in which the blocks' pixels stand at this place
        seen = slice(2 - dy, 2 - dy + side), slice(2 - dx, 2 - dx + side)
        counts = is_window[seen]
        shares = whitened[:, 0, *seen] * whitened[own, 0, *seen]
        shares.addcmul_(whitened[:, 1, *seen], whitened[own, 1, *seen])
        shares.addcmul_(whitened[:, 2, *seen], whitened[own, 2, *seen])
        shares.add_(1).mul_(counts).div_(-len(shifts))
        shares[own] += counts
        rows[2 - dy : 5 - dy, 2 - dx : 5 - dx] += shares.view(3, 3, *shares.shape[1:])
    return rows.flatten(0, 1)


def _whiten(centred: Tensor) -> Tensor:
    """
    Bring the centred colours c (9, 3, ...) of windows to R^-1 c, with R R^T their covariance.

    Products of two are c^T S_w c'. By Cholesky's factor R the matrix of these can't become
    indefinite, however few directions the colours of a window have; by cofactors, products
    were off by up to 0.09 in gray pictures.
    """
    whitened = torch.empty_like(centred)
    factor: list[list[Tensor]] = []
    for i in range(3):
        row: list[Tensor] = []
        rest = centred[:, i].clone()
        for j in range(i):
            product = (centred[:, i] * centred[:, j]).sum(dim=0) / len(centred)
            for k in range(j):
                product.addcmul_(row[k], factor[j][k], value=-1)
            row.append(product / factor[j][j])
            rest.addcmul_(row[j], whitened[:, j], value=-1)
        variance = (centred[:, i].square().sum(dim=0) + EPSILON) / len(centred)
        for across in row:
            variance.addcmul_(across, across, value=-1)
        row.append(variance.sqrt())
        factor.append(row)
        torch.div(rest, row[i], out=whitened[:, i])
    return whitened

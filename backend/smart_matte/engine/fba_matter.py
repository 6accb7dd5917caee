"""FBA Matting on a picture of any size: where its network runs, and in how many pieces."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from smart_matte.engine.fba_inputs import STRIDE_PX, encode_inputs, pad_to_stride
from smart_matte.engine.fusion import fuse_fba, restore_known
from smart_matte.engine.matting import Matte
from smart_matte.engine.runtime import TOO_LITTLE_MEMORY, Network, is_out_of_memory
from smart_matte.engine.types import BoolArray, FloatArray, Progress
from smart_matte.engine.windows import Window, window_around

HALO_PX = 248
"""How far the network's convolutions look around a pixel: 240 px, and on to a multiple of 8."""

BYTES_PER_PIXEL = 640
"""Most that matting takes, beside 140 MB of weights; 550 were measured at 1 and 2 MP on a CPU."""

MOST_PIXELS = 2**31 // 72
"""Most pixels to matte at a time: of its widest layer, 72 channels, torch counts 2**31 numbers."""

SMALLEST_TILE_PX = 2 * HALO_PX + 64
"""Side of the smallest tiles, halo and all: cut further, they'd be nearly halo alone."""


@dataclass(frozen=True)
class Tile:
    """
    A piece of the picture to run the network on.

    Attributes:
        core: where its result counts; the tiles' cores hold every unknown pixel once.
        seen: what the network is given: the core and HALO_PX around it, where the picture has
            that, starting on multiples of STRIDE_PX.
    """

    core: Window
    seen: Window

    @property
    def pixels(self) -> int:
        """How many pixels the network is given."""
        rows, columns = self.seen
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


class FbaMatter:
    """
    The published FBA Matting network as a matting model.

    It runs on the unknown region and its surroundings alone. That changes the matte a little, as
    the network normalises by what it is given; it was trained on such crops. When memory is short
    it runs on several such tiles, each normalised by itself, and the note says so.

    Args:
        network: the module that ``build_fba`` made, on its device.
        max_pixels: how many pixels to run it on at a time; None takes what the device has memory
            for when a job begins.

    Source:
        Forte and Pitié, "F, B, Alpha Matting", arXiv:2003.07711. Deviations from the authors'
        program: the crops, and mirrored borders where that stretches the picture.
    """

    name = "fba"
    precision = "float32"

    def __init__(self, network: Network, max_pixels: int | None = None) -> None:
        self._network = network
        self._max_pixels = max_pixels

    @property
    def device(self) -> str:
        """Where it runs; the CPU from then on, once another device had too little memory."""
        return self._network.device

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        """
        Estimate alpha and both colours, see Matter; in known pixels both are the image's own.

        Raises:
            MemoryError: even the CPU has too little memory.
        """
        is_unknown = (trimap != 0) & (trimap != 1)
        tiles = plan_tiles(is_unknown, self._pixels_at_once())
        too_large: dict[str, list[int]] = {}
        while True:
            matte = self._run_if_memory_allows(image, trimap, tiles, progress)
            if matte is not None:
                return replace(matte, note=_note(len(tiles), self.device, too_large))
            largest = _largest(tiles)
            too_large.setdefault(self.device, []).append(largest)
            tiles = plan_tiles(is_unknown, largest // 2)
            if _largest(tiles) < largest:
                continue
            if self.device == "cpu":
                raise MemoryError(TOO_LITTLE_MEMORY)
            self._network = self._network.moved_to("cpu")
            tiles = plan_tiles(is_unknown, self._pixels_at_once())

    def _pixels_at_once(self) -> int:
        if self._max_pixels is not None:
            return self._max_pixels
        return min(self._network.usable_bytes() // BYTES_PER_PIXEL, MOST_PIXELS)

    def _run_if_memory_allows(
        self, image: FloatArray, trimap: FloatArray, tiles: list[Tile], progress: Progress
    ) -> Matte | None:
        """Matte the tiles; None, with nothing held any longer, when memory is too little."""
        try:
            return self._run(image, trimap, tiles, progress)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _run(
        self, image: FloatArray, trimap: FloatArray, tiles: list[Tile], progress: Progress
    ) -> Matte:
        """Matte the tiles."""
        alpha, foreground, background = trimap.copy(), image.copy(), image.copy()
        done, total = 0, sum(tile.pixels for tile in tiles)

        def tell(before: int, pixels: int, fraction: float) -> None:
            progress("matting", (before + fraction * pixels) / total)

        for tile in tiles:
            tell(done, tile.pixels, 0.0)
            predicted = self._predict(image, trimap, tile, partial(tell, done, tile.pixels))
            core = tile.core
            is_unknown = (trimap[core] != 0) & (trimap[core] != 1)
            fused = fuse_fba(image[core], *predicted)
            for whole, part in zip((alpha, foreground, background), fused, strict=True):
                whole[core][is_unknown] = part[is_unknown]
            done += tile.pixels
        progress("matting", 1.0)
        return Matte(*restore_known(image, trimap, alpha, foreground, background), len(tiles))

    def _predict(
        self,
        image: FloatArray,
        trimap: FloatArray,
        tile: Tile,
        progress: Callable[[float], None],
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Alpha, foreground and background in the tile's core, before fusion."""
        padded, padded_trimap = pad_to_stride(image[tile.seen], trimap[tile.seen])
        rows, columns = (
            slice(core.start - seen.start, core.stop - seen.start)
            for core, seen in zip(tile.core, tile.seen, strict=True)
        )
        wanted = np.zeros((1, 1, *padded_trimap.shape), np.float32)
        inner = padded_trimap[rows, columns]
        wanted[0, 0, rows, columns] = (inner != 0) & (inner != 1)
        features = encode_inputs(padded, padded_trimap)
        output = self._network(
            padded.transpose(2, 0, 1)[np.newaxis], features[np.newaxis], wanted, progress=progress
        )
        core_output = output[0, :, rows, columns].transpose(1, 2, 0)
        return core_output[..., 0], core_output[..., 1:4], core_output[..., 4:]


def plan_tiles(is_unknown: BoolArray, max_pixels: int) -> list[Tile]:
    """
    Cover the unknown region with as few tiles as memory allows.

    Args:
        is_unknown: bool (H, W).
        max_pixels: how many pixels a tile may have, halo and all. Tiles of SMALLEST_TILE_PX
            squared are never cut.

    Returns:
        Tiles whose cores don't overlap and hold every unknown pixel; none without such pixels.
    """
    height, width = is_unknown.shape
    return _plan(is_unknown, (slice(0, height), slice(0, width)), max_pixels)


def _plan(is_unknown: BoolArray, within: Window, max_pixels: int) -> list[Tile]:
    """Cover a window's unknown pixels: with one tile or, when that is too large, in two halves."""
    if not is_unknown[within].any():
        return []
    rows, columns = core = _tighten(is_unknown, within)
    height, width = is_unknown.shape
    tile = Tile(core, (_surroundings(rows, height), _surroundings(columns, width)))
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    if tile.pixels <= max_pixels or max(tall, wide) <= SMALLEST_TILE_PX - 2 * HALO_PX:
        return [tile]
    if tall >= wide:
        middle = rows.start + tall // 2
        halves = [(slice(rows.start, middle), columns), (slice(middle, rows.stop), columns)]
    else:
        middle = columns.start + wide // 2
        halves = [(rows, slice(columns.start, middle)), (rows, slice(middle, columns.stop))]
    return [tile for half in halves for tile in _plan(is_unknown, half, max_pixels)]


def _tighten(is_unknown: BoolArray, within: Window) -> Window:
    """The smallest window of a window's unknown pixels."""
    rows, columns = window_around(is_unknown[within])
    top, left = within[0].start, within[1].start
    return (
        slice(top + rows.start, top + rows.stop),
        slice(left + columns.start, left + columns.stop),
    )


def _surroundings(core: slice, limit: int) -> slice:
    """*core* and HALO_PX on either side, in whole strides, where the picture has them."""
    start = max(core.start - HALO_PX, 0) // STRIDE_PX * STRIDE_PX
    stop = -(-(core.stop + HALO_PX) // STRIDE_PX) * STRIDE_PX
    return slice(start, min(stop, limit))


def _largest(tiles: list[Tile]) -> int:
    return max((tile.pixels for tile in tiles), default=0)


def _note(tiles: int, device: str, too_large: dict[str, list[int]]) -> str:
    """One sentence on what memory did to the matte, or nothing."""
    steps = [
        f"{name} ran out of memory at {', then '.join(f'{n / 1e6:.2g}' for n in sizes)} megapixels"
        for name, sizes in too_large.items()
    ]
    if too_large and device not in too_large:
        steps.append("the CPU took over")
    why = " and ".join(steps)
    if tiles > 1:
        why = why or "the unknown region is larger than memory allows at once"
        return f"{why}, so it was matted in {tiles} tiles, each by what it shows alone."
    return f"{why}." if why else ""

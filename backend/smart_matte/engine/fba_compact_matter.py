"""Our own matting network on a picture of any size: the guess, the far view, then tile by tile."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from smart_matte.engine.fba_compact_inputs import Channels, guess_matte
from smart_matte.engine.fba_inputs import pad_to_stride
from smart_matte.engine.fusion import fuse_fba, restore_known
from smart_matte.engine.matting import Matte
from smart_matte.engine.models.fba_compact import (
    CONTEXT_REACH_PX,
    CONTEXT_SCALE,
    DETAIL_REACH_PX,
    STRIDE_PX,
    FbaCompact,
)
from smart_matte.engine.runtime import TOO_LITTLE_MEMORY, Network, is_out_of_memory
from smart_matte.engine.types import AnyArray, BoolArray, FloatArray, Progress
from smart_matte.engine.windows import Window, window_around

TILE_PX = 256
"""Side of the tiles: larger ones hold more that is known, smaller ones are mostly surroundings."""

MARGIN_PX = 64
"""Of what is known around the unknown region; colours are guessed from it."""

BAND_PX = 2048
"""Rows that the far view is computed for at a time: its features take 66 bytes a pixel."""

GUESS_SHARE, CONTEXT_SHARE = 0.6, 0.15
"""Of the progress that is told."""

Estimates = tuple[FloatArray, FloatArray, FloatArray]
"""Alpha (H, W), foreground and background (H, W, 3)."""


class FbaCompactMatter:
    """
    Our own network as a matting model.

    Equations give a guess at alpha and both colours, the network corrects it where the trimap is
    unknown, and FBA's fusion brings all three in line with the picture.

    Args:
        network: from ``build_fba_compact``.
        device: torch device.
    """

    name = "fba-compact"

    @property
    def device(self) -> str:
        """Where it runs; the CPU from then on, once another device had too little memory."""
        return self._detail.device

    @property
    def precision(self) -> str:
        """Of the network: half on graphics cards; guess and fusion are float32 everywhere."""
        return self._detail.precision

    def __init__(self, network: FbaCompact, device: str = "cpu") -> None:
        self._context = Network(network.context, device, may_be_half=True)
        self._detail = Network(network.detail, device, may_be_half=True)

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        """
        Estimate alpha and both colours, see Matter; in known pixels both are the image's own.

        Raises:
            MemoryError: even the CPU has too little memory.
        """
        is_unknown = (trimap != 0) & (trimap != 1)
        alpha, foreground, background = results = trimap.copy(), image.copy(), image.copy()
        if not is_unknown.any():
            return Matte(*results, tiles=0)
        progress("matting", 0.0)
        within = window_around(is_unknown, MARGIN_PX)
        tiles, note = self._matte_region(
            *pad_to_stride(image[within], trimap[within], STRIDE_PX),
            (alpha[within], foreground[within], background[within]),
            progress,
        )
        return Matte(*results, tiles=tiles, note=note)

    def _matte_region(
        self, image: FloatArray, trimap: FloatArray, results: Estimates, progress: Progress
    ) -> tuple[int, str]:
        """Put alpha and colours into the unknown pixels of *results*; how many tiles, the note."""

        def tell_guess(stage: str, fraction: float) -> None:
            progress(stage, GUESS_SHARE * fraction)

        guess = guess_matte(image, trimap, tell_guess)
        channels = Channels(image, trimap, guess)
        correct = partial(self._correct, image, trimap, channels, results, progress)
        tiles, note = self._where_memory_allows(correct)
        progress("matting", 1.0)
        return tiles, f"{guess.note} {note}".strip()

    def _where_memory_allows(self, run: Callable[[], int]) -> tuple[int, str]:
        """Run on the device or, when that has too little memory, again on the CPU; and the note."""
        try:
            return run(), ""
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if self.device == "cpu":
                raise MemoryError(TOO_LITTLE_MEMORY) from error
        note = f"{self.device} ran out of memory and the CPU took over."
        self._context, self._detail = (
            network.moved_to("cpu") for network in (self._context, self._detail)
        )
        tiles, _ = self._where_memory_allows(run)
        return tiles, note

    def _correct(
        self,
        image: FloatArray,
        trimap: FloatArray,
        channels: Channels,
        results: Estimates,
        progress: Progress,
    ) -> int:
        """Put the network's answer into unknown pixels, tile by tile; how many tiles."""
        context = self._look_far(channels, trimap.shape, progress)
        is_unknown = (trimap != 0) & (trimap != 1)
        tiles = list(_tiles(is_unknown))
        begun = GUESS_SHARE + CONTEXT_SHARE
        for done, core in enumerate(tiles):
            progress("matting", begun + (1 - begun) * done / len(tiles))
            fused = fuse_fba(image[core], *self._predict(channels, context, core, trimap.shape))
            parts = restore_known(image[core], trimap[core], *fused)
            for whole, part in zip(results, parts, strict=True):
                inside = whole[core]  # without what was padded
                size = slice(inside.shape[0]), slice(inside.shape[1])
                is_wanted = is_unknown[core][size]
                inside[is_wanted] = part[size][is_wanted]
        return len(tiles)

    def _look_far(
        self, channels: Channels, shape: tuple[int, ...], progress: Progress
    ) -> FloatArray:
        """What the surroundings say, (1, features, H / CONTEXT_SCALE, W / CONTEXT_SCALE)."""
        shrunken = _shrunken(channels, shape)[np.newaxis]
        height = shrunken.shape[2]
        band, reach = BAND_PX // CONTEXT_SCALE, CONTEXT_REACH_PX // CONTEXT_SCALE

        def tell(top: int, fraction: float) -> None:
            done = min(top + fraction * band, height) / height
            progress("matting", GUESS_SHARE + CONTEXT_SHARE * done)

        bands = []
        for top in range(0, height, band):
            first = max(0, top - reach)
            seen = shrunken[:, :, first : top + band + reach]
            context = self._context(seen, progress=partial(tell, top))
            bands.append(context[:, :, top - first :][:, :, :band])
        return np.concatenate(bands, axis=2)

    def _predict(
        self, channels: Channels, context: FloatArray, core: Window, shape: tuple[int, ...]
    ) -> Estimates:
        """Alpha, foreground and background in a tile's core, before fusion."""
        rows, columns = (
            slice(max(0, part.start - DETAIL_REACH_PX), min(side, part.stop + DETAIL_REACH_PX))
            for part, side in zip(core, shape, strict=True)
        )
        coarse = tuple(
            slice(part.start // CONTEXT_SCALE, part.stop // CONTEXT_SCALE)
            for part in (rows, columns)
        )
        seen = channels.within(rows, columns)
        output = self._detail(seen[np.newaxis], context[:, :, *coarse])[0]
        inner = tuple(
            slice(part.start - seen.start, part.stop - seen.start)
            for part, seen in zip(core, (rows, columns), strict=True)
        )
        alpha, *colours = np.split(output[:, *inner].transpose(1, 2, 0), (1, 4), axis=-1)
        foreground, background = colours
        return alpha[..., 0].clip(0, 1), foreground.clip(0, 1), background.clip(0, 1)


def _shrunken(channels: Channels, shape: tuple[int, ...]) -> FloatArray:
    """The channels at 1 / CONTEXT_SCALE of the picture's size, made in bands of rows."""
    height, width = shape
    columns = slice(0, width)
    bands = [
        _mean_of_squares(channels.within(slice(top, min(top + TILE_PX, height)), columns))
        for top in range(0, height, TILE_PX)
    ]
    return np.concatenate(bands, axis=1)


def _mean_of_squares(planes: FloatArray) -> FloatArray:
    count, height, width = planes.shape
    scale = CONTEXT_SCALE
    squares = planes.reshape(count, height // scale, scale, width // scale, scale)
    mean: FloatArray = squares.mean(axis=(2, 4), dtype=np.float32)
    return mean


def _tiles(is_unknown: BoolArray) -> Iterator[Window]:
    """Windows, on multiples of CONTEXT_SCALE, that hold every unknown pixel once."""
    height, width = is_unknown.shape
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            inside = is_unknown[top : top + TILE_PX, left : left + TILE_PX]
            if inside.any():
                yield (
                    _bounds(np.any(inside, axis=1), top),
                    _bounds(np.any(inside, axis=0), left),
                )


def _bounds(is_held: AnyArray, start: int) -> slice:
    """From the first to the last that is held (bool, one a row), on multiples of CONTEXT_SCALE."""
    held = np.flatnonzero(is_held)
    first, last = int(held[0]) // CONTEXT_SCALE, int(held[-1]) // CONTEXT_SCALE
    return slice(start + first * CONTEXT_SCALE, start + (last + 1) * CONTEXT_SCALE)

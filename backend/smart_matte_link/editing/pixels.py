"""Bytes of pixels: what is computed goes where the trimap is unknown, all else stays as it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smart_matte_link.editing.region import Rect
    from smart_matte_link.job import Buffer

UNKNOWN_RUN = re.compile(rb"[^\x00\xff]+")

BLACK_BELOW, WHITE_FROM = 64, 192
"""A trimap painted by hand: darker is background, brighter foreground, between is unknown."""

TRIMAP_LEVELS = bytes(
    0 if level < BLACK_BELOW else 255 if level >= WHITE_FROM else 128 for level in range(256)
)


def unknown_runs(trimap: Buffer) -> Iterator[tuple[int, int]]:
    """Start and end of every run of unknown pixels in a trimap of one byte a pixel."""
    return (run.span() for run in UNKNOWN_RUN.finditer(trimap))


def with_computed_colours(
    original: Buffer, computed: Buffer, trimap: Buffer, alpha_bytes: int = 0
) -> bytearray:
    """
    The original with the computed colours where the trimap is unknown.

    Args:
        original: pixels in any format.
        computed: as many, in the same format.
        trimap: one byte a pixel; 0 background, 255 foreground, else unknown.
        alpha_bytes: how many bytes at the end of each pixel are its opacity, which stays.

    Raises:
        ValueError: the sizes don't fit.
    """
    pixel_bytes, rest = divmod(len(original), len(trimap))
    if rest or len(computed) != len(original):
        raise ValueError(f"{len(original)} and {len(computed)} bytes for {len(trimap)} pixels")
    result, source = bytearray(original), memoryview(computed)
    for start, end in unknown_runs(trimap):
        span = slice(start * pixel_bytes, end * pixel_bytes)
        result[span] = source[span]
    for offset in range(pixel_bytes - alpha_bytes, pixel_bytes):
        result[offset::pixel_bytes] = original[offset::pixel_bytes]
    return result


def part_of(pixels: Buffer, whole: Rect, part: Rect) -> bytes:
    """
    The pixels of a part.

    Args:
        pixels: of the whole, in any format.
        whole: where they lie.
        part: a rectangle within.
    """
    pixel_bytes = len(pixels) // (whole.width * whole.height)
    source, row_bytes = memoryview(pixels), part.width * pixel_bytes
    first = ((part.y - whole.y) * whole.width + part.x - whole.x) * pixel_bytes
    starts = range(first, len(pixels), whole.width * pixel_bytes)[: part.height]
    return b"".join(source[start : start + row_bytes] for start in starts)


def painted_trimap(grey: bytes) -> bytes:
    """A trimap painted in greys, one byte a pixel, brought to its three levels."""
    return grey.translate(TRIMAP_LEVELS)

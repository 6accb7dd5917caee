"""Pictures for a preview, as RGBA bytes: the trimap as tints, the matte, the subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smart_matte_link.job import Buffer

# Okabe and Ito's colours, which the colour-blind can tell apart, each with its opacity.
BACKGROUND_TINT = (213, 94, 0, 150)
UNKNOWN_TINT = (240, 228, 66, 120)
FOREGROUND_TINT = (0, 114, 178, 90)

RGB = 3

TINT_TABLES = tuple(
    bytes([background]) + bytes([unknown]) * 254 + bytes([foreground])
    for background, unknown, foreground in zip(BACKGROUND_TINT, UNKNOWN_TINT, FOREGROUND_TINT)
)
"""For each of R, G, B, A: what every level of a trimap becomes."""


def tinted_trimap(trimap: bytes) -> bytes:
    """A trimap (0, unknown, 255; one byte a pixel) as RGBA tints, to be put over the picture."""
    tints = bytearray(4 * len(trimap))
    for channel, table in enumerate(TINT_TABLES):
        tints[channel::4] = trimap.translate(table)
    return bytes(tints)


def opaque_picture(pixels: Buffer, channels: int) -> bytes:
    """A picture of 1 to 4 channels (gray, gray and alpha, RGB, RGBA; u8) as opaque RGBA."""
    count = len(pixels) // channels
    picture = bytearray(b"\xff" * (4 * count))
    for channel in range(3):
        picture[channel::4] = pixels[(channel if channels >= RGB else 0) :: channels]
    return bytes(picture)


def cut_out_picture(foreground: Buffer, channels: int, alpha: Buffer) -> bytes:
    """A foreground (gray or RGB, u8) with its alpha, RGBA."""
    picture = bytearray(opaque_picture(foreground, channels))
    picture[3::4] = alpha
    return bytes(picture)

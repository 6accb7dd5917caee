"""
Small pictures for the preview.

GEGL can read a buffer at a scale, but in GIMP 3.0.4 some such reads gave nothing but zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gi.repository import GdkPixbuf, GLib

from smart_matte_link.messages import CHANNELS, Plane

if TYPE_CHECKING:
    from smart_matte_link.editing.picture import Picture

RGB = 3


def shrunk(picture: Picture, scale: float) -> Picture:
    """
    The same picture, smaller.

    Args:
        picture: of samples u8.
        scale: (0, 1].
    """
    plane, pixels = _shrunk_plane(picture.plane, picture.pixels, scale)
    hint = None if picture.hint is None else _shrunk_plane(*picture.hint, scale)
    return picture._replace(plane=plane, pixels=pixels, hint=hint)


def _shrunk_plane(plane: Plane, pixels: bytes, scale: float) -> tuple[Plane, bytes]:
    """A plane of any channels by way of RGB, which is all that GdkPixbuf knows."""
    small = replace(
        plane,
        width=max(1, round(plane.width * scale)),
        height=max(1, round(plane.height * scale)),
    )
    is_gray, has_alpha = plane.order.startswith("GRAY"), plane.order.endswith("A")
    channels = CHANNELS[plane.order]
    if channels == 1:
        plane, pixels = _thinned(plane, pixels, max(1, int(0.5 / scale)))
    colours = _spread(pixels, channels) if is_gray else pixels
    depth = RGB + has_alpha
    large = GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(colours),
        GdkPixbuf.Colorspace.RGB,
        has_alpha,
        8,
        plane.width,
        plane.height,
        depth * plane.width,
    )
    pixbuf = large.scale_simple(small.width, small.height, GdkPixbuf.InterpType.BILINEAR)
    padded, row_bytes, stride = pixbuf.get_pixels(), depth * small.width, pixbuf.get_rowstride()
    rows = b"".join(
        padded[start : start + row_bytes] for start in range(0, stride * small.height, stride)
    )
    return small, _gathered(rows, depth, channels) if is_gray else rows


def _thinned(plane: Plane, pixels: bytes, step: int) -> tuple[Plane, bytes]:
    """Every so many pixels of one channel: less to spread, and still enough to average over."""
    starts = range(0, len(pixels), step * plane.width)
    rows = [pixels[start : start + plane.width : step] for start in starts]
    return replace(plane, width=len(rows[0]), height=len(rows)), b"".join(rows)


def _spread(greys: bytes, channels: int) -> bytes:
    """Gray as RGB, gray and alpha as RGBA."""
    depth = channels + RGB - 1
    colours = bytearray(depth * (len(greys) // channels))
    for channel in range(depth):
        colours[channel::depth] = greys[max(channel - RGB + 1, 0) :: channels]
    return bytes(colours)


def _gathered(colours: bytes, depth: int, channels: int) -> bytes:
    """Undo ``_spread``."""
    greys = bytearray(channels * (len(colours) // depth))
    for channel in range(channels):
        greys[channel::channels] = colours[channel + depth - channels :: depth]
    return bytes(greys)

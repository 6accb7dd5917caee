"""
TIFF files of plain samples: 8 and 16-bit integers and floats, gray or RGB, with or without alpha.

Pillow reads no float or 16-bit colours, and OpenCV shuffles planes, refuses gray with alpha and
half floats, and premultiplies 8-bit colours. So Pillow's libtiff only unpacks the strips or tiles
here, as if they were 8-bit gray, and the samples are put together in numpy.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from smart_matte.engine.types import AnyArray, U8Array
from smart_matte.pictures.picture import white_level

MAGIC = (b"II*\0", b"MM\0*", b"II+\0")
"""The first bytes of classic TIFF, little and big-endian, and of BigTIFF; Pillow has no other."""
BIG = 43

# Tags and their values: TIFF 6.0, Adobe 1992; technical note 3 for floating point prediction
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS = 273, 274, 277, 278, 279
PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 284, 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, ICC_PROFILE = 338, 339, 34675
UNSIGNED, FLOAT = 1, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
SEPARATE = 2
NO_PREDICTOR, DIFFERENCES, FLOAT_BYTES = 1, 2, 3
ASSOCIATED_ALPHA, STRAIGHT_ALPHA = 1, 2
DEFLATE = 8
HAVE_PREDICTOR = (5, DEFLATE, 32946, 34925, 50000)
"""LZW, deflate, old deflate, LZMA, Zstandard."""
COMPRESSIONS = (1, 32773, *HAVE_PREDICTOR)
"""Also none and PackBits: those that keep every sample."""

SHORT, LONG, UNDEFINED = 3, 4, 7
LONG_TAGS = (WIDTH, HEIGHT, STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_COUNTS)
INLINE_BYTES = 4
"""Longer values stand outside their tag's entry."""

SAMPLE_TYPES = {
    (UNSIGNED, 8): "u1",
    (UNSIGNED, 16): "u2",
    (UNSIGNED, 32): "u4",
    (FLOAT, 16): "f2",
    (FLOAT, 32): "f4",
    (FLOAT, 64): "f8",
}
TILE_TAGS = {TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS}
MOST_CHANNELS = 8
ROOM = 1 << 24
"""Pixels or bytes that tiles may have beyond the picture's own: more is an attack on memory."""

WRITE_STRIP_BYTES = 1 << 20
WRITE_LEVEL = 3
"""zlib's: up to twice as fast as the usual 6, for 14 % more bytes at most (measured)."""
LARGEST_FILE = 2**32 - 1
"""Offsets have 32 bits."""


@dataclass(frozen=True)
class PlainTiff:
    """
    A plain TIFF's samples, as they lie in the file.

    Attributes:
        samples: uint8, uint16 or float32 (H, W, 1 to 4): gray or RGB, straight alpha last.
        orientation: EXIF orientation, 1 to 8.
        icc_profile: the embedded profile.
        has_more_pages: another picture follows.
        was_wider: the file's samples had more digits than float32 holds.
    """

    samples: AnyArray
    orientation: int
    icc_profile: bytes | None
    has_more_pages: bool
    was_wider: bool


def open_plain_tiff(data: bytes) -> ImageFileDirectory_v2 | None:
    """The first page's tags, when ``read_plain_tiff`` can read it; None leaves it to Pillow."""
    tags = ImageFileDirectory_v2(data[: 16 if data[2] == BIG else 8])
    stream = io.BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    bits = set(_tuple(tags, BITS, (1,)))
    kinds = set(_tuple(tags, SAMPLE_FORMAT, (UNSIGNED,)))
    is_known_type = len(bits) == len(kinds) == 1 and (kinds.pop(), bits.pop()) in SAMPLE_TYPES
    is_plain = (
        is_known_type
        and {WIDTH, HEIGHT} <= tags.keys()
        and tags.get(PHOTOMETRIC) in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        and tags.get(COMPRESSION, 1) in COMPRESSIONS
        and ({STRIP_OFFSETS, STRIP_COUNTS} <= tags.keys() or tags.keys() >= TILE_TAGS)
        and (3 if tags[PHOTOMETRIC] == RGB else 1) <= tags.get(SAMPLES, 1) <= MOST_CHANNELS
    )
    return tags if is_plain else None


def read_plain_tiff(data: bytes, tags: ImageFileDirectory_v2) -> PlainTiff:
    """
    Read the first page of a plain TIFF.

    Args:
        data: the whole file.
        tags: what ``open_plain_tiff`` found in it.

    Raises:
        ValueError, OSError: the file is damaged.
    """
    samples = _read_samples(data, tags)
    white = white_level(samples.dtype)
    was_wider = samples.dtype.itemsize > 4 or samples.dtype == np.uint32  # noqa: PLR2004
    if samples.dtype == np.uint32:
        samples, white = (samples / white).astype(np.float32), 1.0
    elif samples.dtype.kind == "f":
        samples = samples.astype(np.float32)
    colours = 3 if tags[PHOTOMETRIC] == RGB else 1
    if tags[PHOTOMETRIC] == WHITE_IS_ZERO:
        samples[..., 0] = white - samples[..., 0]
    alpha_at, is_associated = _find_alpha(tags, colours, samples.shape[-1])
    if alpha_at is None:
        samples = samples[..., :colours]
    else:
        samples = samples[..., [*range(colours), alpha_at]]
        if is_associated:
            _divide_by_alpha(samples, white)
    return PlainTiff(
        samples, tags.get(ORIENTATION, 1), tags.get(ICC_PROFILE), tags.next != 0, was_wider
    )


def encode_tiff(samples: AnyArray, icc_profile: bytes | None) -> bytes:
    """
    Encode a TIFF, deflated, with straight alpha.

    Floats go without their predictor, which few readers know; Pillow has float gray, but no float
    colours in whatever form.

    Args:
        samples: uint8, uint16 or float32 (H, W, 1 to 4): gray or RGB, alpha last.
        icc_profile: the profile to embed.

    Raises:
        OverflowError: it does not fit into the 4 GiB of a TIFF file.
    """
    height, width, channels = samples.shape
    is_float = samples.dtype.kind == "f"
    rows = max(1, WRITE_STRIP_BYTES // samples[0].nbytes)
    strips = [
        zlib.compress(_packed_rows(samples[top : top + rows]), WRITE_LEVEL)
        for top in range(0, height, rows)
    ]
    tags: dict[int, Sequence[int] | bytes] = {
        WIDTH: [width],
        HEIGHT: [height],
        BITS: [samples.dtype.itemsize * 8] * channels,
        COMPRESSION: [DEFLATE],
        PHOTOMETRIC: [RGB if channels > 2 else BLACK_IS_ZERO],  # noqa: PLR2004
        SAMPLES: [channels],
        ROWS_PER_STRIP: [rows],
        PLANAR: [1],
        PREDICTOR: [NO_PREDICTOR if is_float else DIFFERENCES],
        SAMPLE_FORMAT: [FLOAT if is_float else UNSIGNED] * channels,
    }
    if channels in (2, 4):
        tags[EXTRA_SAMPLES] = [STRAIGHT_ALPHA]
    if icc_profile is not None:
        tags[ICC_PROFILE] = icc_profile
    return _assemble(tags, strips)


@dataclass(frozen=True)
class _Tiles:
    """
    How a page is cut up: tiles, of which a strip is one as wide as the page.

    Attributes:
        height, width: of a tile.
        down, across: so many tiles cover the page.
        planes: 1, or the number of channels where each is stored for itself.
        channels: in a tile.
        sample_type: as stored, byte order included.
        are_whole: the last tiles reach beyond the page; the last strip ends with it.
    """

    height: int
    width: int
    down: int
    across: int
    planes: int
    channels: int
    sample_type: np.dtype[Any]
    are_whole: bool


def _read_samples(data: bytes, tags: ImageFileDirectory_v2) -> AnyArray:
    """All samples of the page, (H, W, S), native byte order."""
    height, width = tags[HEIGHT], tags[WIDTH]
    tiles = _tiles_of(tags)
    chunks = _cut_out_chunks(data, tags, tiles)
    in_plane = tiles.down * tiles.across
    planes = []
    for first in range(0, len(chunks), in_plane):
        rows = in_plane * tiles.height if tiles.are_whole else height
        packed = _unpack(chunks[first : first + in_plane], tags, tiles, rows)
        plane = _undo_predictor(packed, tiles, tags)
        if tiles.are_whole:
            grid = plane.reshape(tiles.down, tiles.across, tiles.height, tiles.width, -1)
            plane = grid.swapaxes(1, 2).reshape(
                tiles.down * tiles.height, tiles.across * tiles.width, -1
            )
        planes.append(plane[:height, :width])
    return np.concatenate(planes, axis=-1)


def _tiles_of(tags: ImageFileDirectory_v2) -> _Tiles:
    height, width, channels = tags[HEIGHT], tags[WIDTH], tags.get(SAMPLES, 1)
    are_whole = TILE_OFFSETS in tags
    if are_whole:
        tile_height, tile_width = tags[TILE_HEIGHT], tags[TILE_WIDTH]
    else:
        tile_height, tile_width = min(tags.get(ROWS_PER_STRIP, height), height), width
    if tile_height < 1 or tile_width < 1:
        raise ValueError("its strips or tiles are empty")
    kind, bits = _tuple(tags, SAMPLE_FORMAT, (UNSIGNED,))[0], _tuple(tags, BITS)[0]
    planes = channels if tags.get(PLANAR, 1) == SEPARATE else 1
    return _Tiles(
        height=tile_height,
        width=tile_width,
        down=-(-height // tile_height),
        across=-(-width // tile_width),
        planes=planes,
        channels=channels // planes,
        sample_type=np.dtype(("<" if tags.prefix == b"II" else ">") + SAMPLE_TYPES[kind, bits]),
        are_whole=are_whole,
    )


def _cut_out_chunks(data: bytes, tags: ImageFileDirectory_v2, tiles: _Tiles) -> list[memoryview]:
    """The packed bytes of every tile, plane by plane."""
    count = tiles.planes * tiles.down * tiles.across
    offsets = _tuple(tags, TILE_OFFSETS if tiles.are_whole else STRIP_OFFSETS)[:count]
    sizes = _tuple(tags, TILE_COUNTS if tiles.are_whole else STRIP_COUNTS)[:count]
    if len(offsets) < count or len(sizes) < count:
        raise ValueError("strips or tiles are missing")
    covered = tiles.down * tiles.height * tiles.across * tiles.width
    most_bytes = len(data) + 2 * covered * tiles.channels * tiles.sample_type.itemsize + ROOM
    if covered > 4 * tags[HEIGHT] * tags[WIDTH] + ROOM or sum(sizes) > most_bytes:
        raise ValueError("its strips or tiles are too large for it")
    view = memoryview(data)  # no copies
    chunks = [view[start : start + size] for start, size in zip(offsets, sizes, strict=True)]
    if any(len(chunk) < size for chunk, size in zip(chunks, sizes, strict=True)):
        raise ValueError("it ends too early")
    return chunks


def _unpack(
    chunks: list[memoryview], tags: ImageFileDirectory_v2, tiles: _Tiles, rows: int
) -> U8Array:
    """Unpack tiles, laid below each other to so many rows; (rows, bytes in a tile's row)."""
    gray_tiff = _assemble(
        {
            WIDTH: [tiles.width * tiles.channels * tiles.sample_type.itemsize],
            HEIGHT: [rows],
            BITS: [8],
            COMPRESSION: [tags.get(COMPRESSION, 1)],
            PHOTOMETRIC: [BLACK_IS_ZERO],
            FILL_ORDER: [tags.get(FILL_ORDER, 1)],
            SAMPLES: [1],
            ROWS_PER_STRIP: [tiles.height],
        },
        chunks,
    )
    with Image.open(io.BytesIO(gray_tiff), formats=("TIFF",)) as gray:
        return np.asarray(gray)


def _undo_predictor(packed: U8Array, tiles: _Tiles, tags: ImageFileDirectory_v2) -> AnyArray:
    """Samples (rows, pixels, channels), native byte order, from a tile's unpacked rows."""
    stored, native = tiles.sample_type, tiles.sample_type.newbyteorder("=")
    shape = (len(packed), tiles.width, tiles.channels)
    predictor = NO_PREDICTOR
    if tags.get(COMPRESSION, 1) in HAVE_PREDICTOR:
        predictor = tags.get(PREDICTOR, NO_PREDICTOR)
    if predictor == FLOAT_BYTES:
        # per row: the highest bytes of all samples, then the next ones, …; each as a difference
        summed = packed.reshape(len(packed), -1, tiles.channels).cumsum(axis=1, dtype=np.uint8)
        planes = summed.reshape(len(packed), stored.itemsize, -1)
        highest_first = np.ascontiguousarray(planes.swapaxes(1, 2))
        return highest_first.view(stored.newbyteorder(">")).reshape(shape).astype(native)
    if predictor == DIFFERENCES:
        whole = np.dtype(f"u{stored.itemsize}")
        differences = packed.view(whole.newbyteorder(stored.byteorder)).reshape(shape)
        return differences.cumsum(axis=1, dtype=whole).view(native)
    return packed.view(stored).reshape(shape).astype(native)


def _packed_rows(samples: AnyArray) -> bytes:
    """Rows as they are compressed, little-endian: integers as differences."""
    if samples.dtype.kind == "u":
        first = np.zeros_like(samples[:, :1])
        samples = np.diff(samples, axis=1, prepend=first)  # modulo 2**n
    return samples.astype(samples.dtype.newbyteorder("<")).tobytes()


def _find_alpha(
    tags: ImageFileDirectory_v2, colours: int, channels: int
) -> tuple[int | None, bool]:
    """Where alpha is among the channels, and whether colours are multiplied with it."""
    extra = _tuple(tags, EXTRA_SAMPLES, ())
    if not extra and channels == colours + 1:
        return colours, False  # left out by some writers
    for index, meaning in enumerate(extra[: channels - colours], colours):
        if meaning in (ASSOCIATED_ALPHA, STRAIGHT_ALPHA):
            return index, meaning == ASSOCIATED_ALPHA
    return None, False


def _divide_by_alpha(samples: AnyArray, white: float) -> None:
    """Straight colour from premultiplied, in place; transparent pixels keep what they have."""
    alpha = samples[..., -1:]
    is_visible = alpha[..., 0] > 0
    straight = samples[is_visible][:, :-1] * (white / alpha[is_visible].astype(np.float64))
    if samples.dtype.kind == "u":
        straight = np.minimum(np.rint(straight), white)
    samples[is_visible, :-1] = straight


def _tuple(tags: ImageFileDirectory_v2, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """A tag's numbers; Pillow gives a lone one bare."""
    value: Any = tags.get(tag, default)
    return value if isinstance(value, tuple) else (value,)


def _assemble(
    tags: dict[int, Sequence[int] | bytes], strips: Sequence[bytes | memoryview]
) -> bytes:
    """A little-endian TIFF of one page: header, tags, longer values, strips."""
    sizes = [len(strip) for strip in strips]
    tags = {**tags, STRIP_OFFSETS: [0] * len(sizes), STRIP_COUNTS: sizes}
    values_at = 8 + 2 + 12 * len(tags) + 4
    bodies = {tag: _packed(tag, value) for tag, value in tags.items()}
    strips_at = values_at + sum(len(body) for body in bodies.values() if len(body) > INLINE_BYTES)
    if strips_at + sum(sizes) > LARGEST_FILE:
        raise OverflowError("more than the 4 GiB of a TIFF file")
    offsets = list(itertools.accumulate(sizes, initial=strips_at))[:-1]
    bodies[STRIP_OFFSETS] = _packed(STRIP_OFFSETS, offsets)

    entries, values = bytearray(), bytearray()
    for tag, value in sorted(tags.items()):
        body = bodies[tag]
        kind = UNDEFINED if isinstance(value, bytes) else LONG if tag in LONG_TAGS else SHORT
        entries += struct.pack("<HHI", tag, kind, len(value))
        if len(body) > INLINE_BYTES:
            entries += struct.pack("<I", values_at + len(values))
            values += body
        else:
            entries += body.ljust(INLINE_BYTES, b"\0")
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    return b"".join([header, entries, struct.pack("<I", 0), values, *strips])


def _packed(tag: int, value: Sequence[int] | bytes) -> bytes:
    """A tag's value, of even length."""
    if not isinstance(value, bytes):
        value = struct.pack(f"<{len(value)}{'I' if tag in LONG_TAGS else 'H'}", *value)
    return value + b"\0" * (len(value) % 2)

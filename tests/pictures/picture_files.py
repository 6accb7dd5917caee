"""Builds small files byte by byte, independently of the code under test."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tifffile

Primaries = tuple[tuple[float, float], ...]

D50 = (0.9642, 1.0, 0.8249)
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
PNG_CHANNELS = {1: 0, 2: 4, 3: 2, 4: 6}


def noise(shape: tuple[int, ...], dtype: npt.DTypeLike, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def chunk(name: str, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    samples: np.ndarray, *chunks: bytes, depth: int | None = None, interlaced: bool = False
) -> bytes:
    """PNG of (H, W, C) samples; *chunks* go before the pixels."""
    height, width, channels = samples.shape
    depth = depth or samples.dtype.itemsize * 8

    def rows(part: np.ndarray) -> bytes:
        if depth < 8:
            bits = np.unpackbits(part[..., 0][..., None], axis=-1)[..., 8 - depth :]
            packed = np.packbits(bits.reshape(len(part), -1), axis=-1)
        else:
            packed = part.astype(part.dtype.newbyteorder(">"))
        return b"".join(b"\0" + row.tobytes() for row in packed)

    # Adam7: first column and row, steps across and down
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4)]
    passes += [(1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes] if interlaced else [samples]
    body = b"".join(rows(part) for part in parts if part.size)
    header = struct.pack(
        ">IIBBBBB", width, height, depth, PNG_CHANNELS[channels], 0, 0, int(interlaced)
    )
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", zlib.compress(body)),
            chunk(b"IEND", b""),
        ]
    )


def png_profile(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))


def exif(orientation: int) -> bytes:
    """An EXIF block that holds nothing but the orientation."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def tiff(samples: np.ndarray, **options: object) -> bytes:
    """TIFF by tifffile, of (H, W) or (H, W, C) samples."""
    channels = samples.shape[2] if samples.ndim == 3 else 1
    options.setdefault("photometric", "rgb" if channels >= 3 else "minisblack")
    if channels in (2, 4):
        options.setdefault("extrasamples", ["unassalpha"])
    if options.get("planarconfig") == "separate":
        samples = np.moveaxis(samples, -1, 0)
    file = io.BytesIO()
    tifffile.imwrite(file, samples, metadata=None, **options)
    return file.getvalue()


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def xyz_tag(values: npt.ArrayLike) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def gamma_tag(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table_tag(values: npt.ArrayLike) -> bytes:
    points = np.rint(np.asarray(values) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(points)) + points.tobytes()


def parametric_tag(kind: str, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*numbers)


SRGB_TAG = parametric_tag(3, *SRGB_CURVE)
LINEAR_TAG = b"curv\0\0\0\0" + struct.pack(">I", 0)


def icc(
    model: bytes,
    tags: dict[bytes, bytes],
    *,
    device: bytes = b"mntr",
    connection: bytes = b"XYZ ",
    version: int = 4,
) -> bytes:
    """An ICC profile of these tags."""
    tags = {
        b"desc": b"mluc\0\0\0\0"
        + struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, 8, 28)
        + b"\0t\0e\0s\0t",
        b"cprt": b"mluc\0\0\0\0"
        + struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, 8, 28)
        + b"\0n\0o\0n\0e",
        b"wtpt": xyz_tag(D50),
        **tags,
    }
    at = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    size = at + len(bodies)
    head = struct.pack(">I4sI4s4s4s", size, b"test", version << 24, device, model, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += fixed(*D50)
    return head.ljust(128, b"\0") + table + bodies


def to_d50(primaries: Primaries) -> np.ndarray:
    """Linear RGB of a D65 space to XYZ under D50 (Bradford)."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    matrix = columns * np.linalg.solve(columns, white)
    cone = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    scale = np.diag((cone @ D50) / (cone @ white))
    return np.linalg.inv(cone) @ scale @ cone @ matrix


def matrix_profile(primaries: Primaries, curve: bytes) -> bytes:
    """A display profile: the same curve for all channels."""
    red, green, blue = to_d50(primaries).T
    colorants = {b"rXYZ": xyz_tag(red), b"gXYZ": xyz_tag(green), b"bXYZ": xyz_tag(blue)}
    return icc(b"RGB ", {**colorants, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def gray_profile(curve: bytes) -> bytes:
    return icc(b"GRAY", {b"kTRC": curve})


def lab_from_xyz(xyz: np.ndarray) -> np.ndarray:
    ratio = xyz / np.array(D50)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (ratio * 24389 / 27 + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def table_profile(
    model: bytes, inputs: int, to_xyz: Callable[[np.ndarray], np.ndarray], grid: int
) -> bytes:
    """A profile of nothing but a table from device values to Lab (lut16Type), with no way back."""
    nodes = np.stack(np.meshgrid(*[np.linspace(0, 1, grid)] * inputs, indexing="ij"), -1)
    lab = lab_from_xyz(to_xyz(nodes)).reshape(-1, 3)
    coded = np.clip((lab + np.array([0, 128, 128])) * (65280 / 100, 256, 256), 0, 65535)
    ramp = struct.pack(">2H", 0, 65535)
    lut = b"mft2\0\0\0\0" + bytes([inputs, 3, grid, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += struct.pack(">2H", 2, 2) + ramp * inputs
    lut += np.rint(coded).astype(">u2").tobytes() + ramp * 3
    return icc(model, {b"A2B0": lut}, device=b"scnr", connection=b"Lab ", version=2)


def decoded_srgb(values: npt.ArrayLike) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded_srgb(light: npt.ArrayLike) -> np.ndarray:
    light = np.clip(np.asarray(light, np.float64), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)

"""The curves and the matrix inside an ICC profile."""

import struct

import numpy as np
from numpy.typing import NDArray

CURVE_SAMPLES = 65536
"""Curves are sampled at every 16-bit value."""

PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}
"""Names of a parametric curve's numbers, by its function type (ICC.1:2022, table 68)."""


def colour_model(icc_profile: bytes) -> str:
    """What a profile's colours are made of: "RGB", "GRAY", "CMYK", "Lab", …; "" when damaged."""
    return icc_profile[16:20].decode("ascii", "replace").strip()


def read_matrix_and_curves(
    icc_profile: bytes,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """
    Read an RGB profile that is three curves and a matrix.

        XYZ = matrix @ curves(RGB)

    Returns:
        The matrix (3, 3) to XYZ under D50, and the curves (3, n): light at n equally spaced
        values in [0, 1]. None when the profile is made of tables.

    Raises:
        ValueError, ArithmeticError, struct.error, KeyError: it is damaged or holds no RGB space.
    """
    if colour_model(icc_profile) != "RGB":
        raise ValueError("not a profile of an RGB space")
    tags = _read_tags(icc_profile)
    if {b"A2B0", b"A2B1", b"D2B0", b"D2B1"} & tags.keys():
        return None  # tables go before the matrix wherever both are there
    matrix = [struct.unpack(">3i", tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    curves = [_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return np.array(matrix).T / 65536, np.stack(curves)


def read_gray_curve(icc_profile: bytes) -> NDArray[np.float64]:
    """
    Read a gray profile's curve.

    Returns:
        Light at n equally spaced values in [0, 1], (n,).

    Raises:
        ValueError, ArithmeticError, struct.error, KeyError: it is damaged or of another kind.
    """
    if icc_profile[20:24] != b"XYZ ":
        raise ValueError("its curve does not lead to light")
    return _read_curve(_read_tags(icc_profile)[b"kTRC"])


def _read_tags(icc_profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc_profile, 128)
    entries = struct.iter_unpack(">4sII", icc_profile[132 : 132 + 12 * count])
    return {name: icc_profile[offset : offset + size] for name, offset, size in entries}


def _read_curve(tag: bytes) -> NDArray[np.float64]:
    """Sample a curve of type "curv" or "para" (ICC.1:2022, 10.6 and 10.18)."""
    value = np.linspace(0, 1, CURVE_SAMPLES)
    if tag[:4] == b"para":
        with np.errstate(all="raise", under="ignore"):
            light = _parametric(tag, value)
    else:
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count == 0:
            light = value
        elif count == 1:
            light = value ** (points[0] / 256)
        else:
            light = np.interp(value, np.linspace(0, 1, count), points / 65535)
    light = np.maximum.accumulate(np.clip(light, 0, 1))
    if tag[:4] not in (b"curv", b"para") or not light[0] < light[-1]:
        raise ValueError("a curve that leads nowhere")
    return light


def _parametric(tag: bytes, value: NDArray[np.float64]) -> NDArray[np.float64]:
    (kind,) = struct.unpack_from(">H", tag, 8)
    names = PARAMETERS[kind]
    numbers = np.array(struct.unpack_from(f">{len(names)}i", tag, 12)) / 65536
    p = {"a": 1.0, "b": 0.0, "c": 0.0, "e": 0.0, "f": 0.0, **dict(zip(names, numbers, strict=True))}
    if kind in (1, 2):  # constant below -b / a; the later kinds name the place and the slope
        floor = p["c"]
        p |= {"d": -p["b"] / p["a"], "c": 0.0, "e": floor, "f": floor}
    power = np.maximum(p["a"] * value + p["b"], 0) ** p["g"] + p["e"]
    light: NDArray[np.float64] = np.where(value >= p.get("d", 0.0), power, p["c"] * value + p["f"])
    return light

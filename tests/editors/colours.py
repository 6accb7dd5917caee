"""Colours from one space to another, by the equations: what GIMP's pixels are held against."""

import numpy as np

D65 = (0.3127, 0.3290)
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256


def srgb_decoded(values: np.ndarray) -> np.ndarray:
    """Linear light of sRGB-coded values (IEC 61966-2-1); below zero it goes on straight."""
    size = np.maximum(values, 0.04045)
    return np.where(values <= 0.04045, values / 12.92, ((size + 0.055) / 1.055) ** 2.4)


def srgb_coded(values: np.ndarray) -> np.ndarray:
    """The inverse of srgb_decoded."""
    size = np.maximum(values, 0.0031308)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * size ** (1 / 2.4) - 0.055)


def srgb_from_adobe(linear: np.ndarray) -> np.ndarray:
    """Linear sRGB of linear Adobe RGB (1998), (…, 3)."""
    return linear @ np.linalg.solve(_to_xyz(SRGB), _to_xyz(ADOBE_RGB)).T


def adobe_from_srgb(linear: np.ndarray) -> np.ndarray:
    """The inverse of srgb_from_adobe."""
    return linear @ np.linalg.solve(_to_xyz(ADOBE_RGB), _to_xyz(SRGB)).T


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The matrix from linear RGB to XYZ, both with white D65."""

    def xyz(x: float, y: float) -> list[float]:
        return [x / y, 1.0, (1 - x - y) / y]

    columns = np.array([xyz(*primary) for primary in primaries]).T
    return columns * np.linalg.solve(columns, xyz(*D65))

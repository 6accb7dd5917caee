"""Shapes of bodies: smooth, angular, with limbs and holes; and their boundaries."""

import cv2
import numpy as np

from smart_matte.engine.types import FloatArray
from smart_matte.training.chance import draw_log_uniform, happens
from smart_matte.training.textures import make_noise

SUPERSAMPLING = 4
_SHIFT = 4  # OpenCV counts in sixteenths of a pixel
_MARGIN = 0.03  # of the side: stays free at the border, where a drawing must not be cut off


def draw_outline(
    random: np.random.Generator, roughness: float, corner_count: int | None = None
) -> FloatArray:
    """
    Draw a closed outline around the origin.

    Args:
        random: where the randomness comes from.
        roughness: of the radius against a circle's, about 0.05 to 0.6.
        corner_count: straight edges between so many corners; None for a smooth outline.

    Returns:
        Points (x, y), float32 (N, 2), with the longest side of their box 1, centred on 0.
    """
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    harmonics = np.arange(1, 10)
    strength = roughness * random.standard_normal(9) / harmonics**1.2
    phase = random.uniform(0, 2 * np.pi, 9)
    radius = 1 + (strength * np.cos(angle[:, None] * harmonics + phase)).sum(axis=1)
    radius = np.clip(radius, 0.3, 2.2)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points *= random.uniform(0.6, 1, 2)
    if corner_count is not None:
        points = points[np.sort(random.choice(len(points), corner_count, replace=False))]
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - (low + high) / 2) / (high - low).max(), np.float32)


def fill_outline(points_px: FloatArray, size_px: int) -> FloatArray:
    """
    Coverage of a polygon, float32 (S, S), [0, 1].

    OpenCV draws the outline as well as what is in it: the shape gets up to 0.2 pixels larger.

    Args:
        points_px: (x, y), float32 (N, 2); a pixel's centre lies at its index plus 0.5.
        size_px: S.
    """
    side = size_px * SUPERSAMPLING
    fine = np.zeros((side, side), np.uint8)
    corners = np.rint((points_px * SUPERSAMPLING - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(fine, [corners], 255, cv2.LINE_AA, _SHIFT)
    coverage = cv2.resize(fine, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(coverage / np.float32(255), np.float32)


def draw_shape(
    random: np.random.Generator,
    size_px: int,
    extent: tuple[float, float],
    roughness: tuple[float, float] = (0.05, 0.4),
    corner_share: float = 0.0,
) -> FloatArray:
    """
    Draw one closed shape somewhere inside the picture.

    Args:
        random: where the randomness comes from.
        size_px: side S of the picture.
        extent: least and largest longer side, as shares of S.
        roughness: least and largest, see draw_outline.
        corner_share: probability of straight edges.

    Returns:
        Coverage, float32 (S, S), [0, 1]; 0 at the border.
    """
    corners = int(random.integers(4, 18)) if happens(random, corner_share) else None
    side_px = random.uniform(*extent) * size_px
    points = draw_outline(random, random.uniform(*roughness), corners) * side_px
    free_px = (1 - 2 * _MARGIN) * size_px - np.ptp(points, axis=0)
    centre = size_px / 2 + random.uniform(-0.5, 0.5, 2) * np.maximum(free_px, 0)
    return fill_outline((points + centre).astype(np.float32), size_px)


def draw_body_shape(
    random: np.random.Generator, size_px: int, extent: tuple[float, float]
) -> FloatArray:
    """
    Draw a body: one large shape, often with a few smaller ones grown together with it.

    Returns:
        Coverage, float32 (S, S), [0, 1]; 0 at the border.
    """
    coverage = draw_shape(random, size_px, extent, corner_share=0.15)
    for _ in range(random.integers(0, 4)):
        limb = draw_shape(random, size_px, (0.1, 0.7 * extent[1]), corner_share=0.2)
        if (limb * coverage).sum() > 0.05 * limb.sum():  # else an island
            coverage = np.maximum(coverage, limb)
    return coverage


def cut_holes(random: np.random.Generator, coverage: FloatArray, count: int) -> FloatArray:
    """Cut *count* holes of all sizes into coverage (S, S)."""
    for _ in range(count):
        largest = draw_log_uniform(random, 0.015, 0.25)
        hole = draw_shape(random, len(coverage), (largest / 2, largest), corner_share=0.3)
        coverage = coverage * (1 - hole)
    return coverage


def find_boundary(coverage: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    List the pixels where a shape ends, and which way is out.

    Returns:
        Points (x, y) in pixels, float32 (N, 2), and outward angles in radians, float32 (N,).
    """
    inside = (coverage > 0.5).astype(np.uint8)  # noqa: PLR2004
    rim = inside - cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=0)
    return _points_and_outward(coverage, rim)


def find_inside(coverage: FloatArray) -> tuple[FloatArray, FloatArray]:
    """List the pixels inside a shape as find_boundary does its rim."""
    return _points_and_outward(coverage, (coverage > 0.5).astype(np.uint8))  # noqa: PLR2004


def make_flow(random: np.random.Generator, size_px: int, strength: float) -> FloatArray:
    """Make a smooth field of angles to add to directions, float32 (S, S), radians."""
    return strength * make_noise(random, size_px, random.uniform(1, 4), 2)


def _points_and_outward(coverage: FloatArray, where: FloatArray) -> tuple[FloatArray, FloatArray]:
    rows, columns = np.nonzero(where)
    smooth = cv2.GaussianBlur(coverage, (0, 0), max(1.5, len(coverage) / 40))
    down = -cv2.Sobel(smooth, cv2.CV_32F, 0, 1)[rows, columns]
    right = -cv2.Sobel(smooth, cv2.CV_32F, 1, 0)[rows, columns]
    points = np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)
    return points, np.arctan2(down, right)

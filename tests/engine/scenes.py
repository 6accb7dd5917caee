"""Small pictures with known truth, drawn by the tests themselves."""

import cv2
import numpy as np

from smart_matte.engine.types import FloatArray

HEIGHT, WIDTH = 120, 160
CENTRE = (80, 60)  # (x, y)
RADIUS_PX = 35


def soft_disc(radius_px: float = RADIUS_PX, softness_px: float = 3.0) -> FloatArray:
    """Alpha of a disc whose edge falls from 1 to 0 over 2 * softness_px; float32 (H, W)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - CENTRE[0], y - CENTRE[1])
    return np.clip((radius_px - distance) / (2 * softness_px) + 0.5, 0, 1).astype(np.float32)


def textured(colour: tuple[float, float, float], seed: int) -> FloatArray:
    """A gently varying colour, float32 (H, W, 3), [0, 1]."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (HEIGHT, WIDTH, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 8)
    return np.clip(np.float32(colour) + smooth, 0, 1).astype(np.float32)


FOREGROUND = textured((0.8, 0.4, 0.2), seed=1)
BACKGROUND = textured((0.2, 0.4, 0.7), seed=2)


def composite(alpha: FloatArray) -> FloatArray:
    """I = alpha F + (1 - alpha) B, float32 (H, W, 3)."""
    image: FloatArray = alpha[..., None] * FOREGROUND + (1 - alpha[..., None]) * BACKGROUND
    return image


def banded_trimap(alpha: FloatArray, margin_px: int = 3) -> FloatArray:
    """The true trimap of *alpha* with the unknown band widened by margin_px."""
    kernel = np.ones((2 * margin_px + 1, 2 * margin_px + 1), np.uint8)
    trimap = np.full(alpha.shape, 0.5, np.float32)
    trimap[cv2.erode((alpha == 1).astype(np.uint8), kernel) == 1] = 1
    trimap[cv2.dilate((alpha > 0).astype(np.uint8), kernel) == 0] = 0
    return trimap

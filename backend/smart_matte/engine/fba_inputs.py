"""What FBA Matting's network is given: a padded picture and eleven channels derived from it."""

import cv2
import numpy as np

from smart_matte.engine.types import BoolArray, FloatArray

STRIDE_PX = 8
"""The network's smallest features are this many times smaller: sides are multiples of it."""

IMAGE_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGE_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet's sRGB-coded colours, which the encoder was first trained on."""

DISTANCE_SIGMAS_PX = (6.4, 25.6, 51.2)
"""0.02, 0.08 and 0.16 of 320 px, the side of a training crop; pixels at any picture size."""


def pad_to_stride(
    image: FloatArray, trimap: FloatArray, stride_px: int = STRIDE_PX
) -> tuple[FloatArray, FloatArray]:
    """
    Mirror picture and trimap at the bottom and on the right, up to multiples of a stride.

    The authors' program stretches both instead, which shifts the picture by parts of a pixel and
    smears the trimap.

    Args:
        image: (H, W, 3).
        trimap: (H, W).
        stride_px: what the sides shall be multiples of.

    Returns:
        Both, larger by less than the stride in each direction.
    """
    height, width = trimap.shape
    down, right = (0, -height % stride_px), (0, -width % stride_px)
    return (
        np.pad(image, (down, right, (0, 0)), mode="reflect"),
        np.pad(trimap, (down, right), mode="reflect"),
    )


def encode_inputs(image: FloatArray, trimap: FloatArray) -> FloatArray:
    """
    Build the channels that the network's encoder reads.

    Args:
        image: sRGB-coded colour, float32 (H, W, 3), [0, 1].
        trimap: float32 (H, W); 0 background, 0.5 unknown, 1 foreground.

    Returns:
        float32 (11, H, W): normalised red, green, blue; the distance maps, three to the
        background and three to the foreground; is it background, is it foreground.

    Source:
        Forte and Pitié, "F, B, Alpha Matting", arXiv:2003.07711, and the authors' code.
    """
    channels = np.empty((11, *trimap.shape), np.float32)
    channels[:3] = ((image - IMAGE_MEAN) / IMAGE_STD).transpose(2, 0, 1)
    for index, is_class in enumerate((trimap == 0, trimap == 1)):  # background first
        channels[3 + 3 * index : 6 + 3 * index] = distance_maps(is_class)
        channels[9 + index] = is_class
    return channels


def distance_maps(is_class: BoolArray) -> FloatArray:
    """
    Say how near the nearest pixel of a class is, at three scales.

        exp(-d^2 / (2 sigma^2)),    sigma in DISTANCE_SIGMAS_PX

    Args:
        is_class: bool (H, W).

    Returns:
        float32 (3, H, W), 1 on the class itself; 0 everywhere when there is no such pixel.
    """
    return nearness(squared_distances(is_class))


def squared_distances(is_class: BoolArray) -> FloatArray:
    """How far the nearest pixel of a class is: squared px, float32 (H, W); inf without such."""
    if not is_class.any():
        return np.full(is_class.shape, np.inf, np.float32)
    distance_px = cv2.distanceTransform(
        (~is_class).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    # Squares between pixels are whole numbers; OpenCV's last bit differs from call to call.
    return np.rint(np.square(distance_px, dtype=np.float64)).astype(np.float32)


def nearness(squared_px: FloatArray) -> FloatArray:
    """The three ``distance_maps`` (3, H, W) of ``squared_distances``."""
    maps = np.empty((len(DISTANCE_SIGMAS_PX), *squared_px.shape), np.float32)
    for scale, sigma_px in zip(maps, DISTANCE_SIGMAS_PX, strict=True):
        scale[:] = np.exp(squared_px.astype(np.float64) / (-2 * sigma_px**2))
    return maps

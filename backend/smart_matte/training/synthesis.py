"""Draws training samples: a picture as a camera gives it, its trimap, and the truth behind it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from smart_matte.engine.types import U8Array
from smart_matte.errors import PictureError
from smart_matte.training.camera import take_picture
from smart_matte.training.composition import composite, draw_scenes
from smart_matte.training.foregrounds import Foreground
from smart_matte.training.trimaps import draw_trimaps

LONGEST_SIDE_PX = 1024
"""Of a photo in memory: pieces of it are cut at sizes that need no more."""

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}


class Samples(NamedTuple):
    """
    A batch to learn from, all on one device.

    Attributes:
        image: sRGB-coded colour with a camera's noise, uint8 (N, 3, H, W).
        alpha: float32 (N, 1, H, W), [0, 1].
        foreground: straight sRGB-coded colour, defined everywhere, float32 (N, 3, H, W), [0, 1].
        background: the same for what lies behind.
        trimap: float32 (N, 1, H, W); 0 background, 0.5 unknown, 1 foreground.
    """

    image: Tensor
    alpha: Tensor
    foreground: Tensor
    background: Tensor
    trimap: Tensor


def draw_samples(
    foregrounds: Sequence[Foreground],
    photos: Sequence[U8Array],
    count: int,
    size_px: int,
    random: np.random.Generator,
    *,
    device: torch.device | str = "cpu",
) -> Samples:
    """
    Compose foregrounds and backgrounds picked at random, photograph them and draw trimaps.

    Args:
        foregrounds: to pick from, of any sizes.
        photos: to pick from as backgrounds, sRGB-coded colour (H, W, 3), of any sizes.
        count: of samples.
        size_px: height and width.
        random: the same state gives the same samples, on the same device.
        device: to compute on, and of what is returned.
    """
    noise = torch.Generator(device).manual_seed(int(random.integers(2**63)))
    with torch.no_grad():
        scene = draw_scenes(foregrounds, photos, count, size_px, random, noise=noise)
        trimap = draw_trimaps(scene.alpha, random, noise)
        image = take_picture(composite(scene), random, noise)
    return Samples(image, *scene, trimap)


def read_photos(folder: Path) -> list[U8Array]:
    """
    Read all pictures of a folder and of those within, by name.

    Args:
        folder: holds JPEG, PNG, WebP or TIFF files; others are passed over.

    Returns:
        sRGB-coded colour, uint8 (H, W, 3), the longer side at most LONGEST_SIDE_PX.

    Raises:
        PictureError: there is none, or one of them is damaged.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise PictureError(f"“{folder}” holds no photos; name a folder with JPEG or PNG files.")
    return [_read_photo(path) for path in paths]


def _read_photo(path: Path) -> U8Array:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if photo is None:
        raise PictureError(f"“{path}” can't be read; it may be damaged. Take it out of the folder.")
    height, width = photo.shape[:2]
    share = LONGEST_SIDE_PX / max(height, width)
    if share < 1:
        size = (max(1, round(share * width)), max(1, round(share * height)))
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return np.asarray(photo, np.uint8)

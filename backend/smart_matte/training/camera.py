"""What happens to a picture between the lens and the file, to the image alone."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)

from smart_matte.training.blurring import blur_gaussian
from smart_matte.training.draws import change_some, choose, column, log_uniform
from smart_matte.training.jpeg import compress_jpeg


def take_picture(image: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """
    Add what cameras and files do, each effect of ``EFFECTS`` to its share of the batch.

    Args:
        image: sRGB-coded colour, float32 (N, 3, H, W), [0, 1].
        random: for the parameters.
        noise: for fields, on the image's device.

    Returns:
        uint8 (N, 3, H, W).
    """
    for effect in EFFECTS:
        indices = choose(random, len(image), effect.share)
        apply = effect.apply
        image = change_some(image, indices, lambda some, apply=apply: apply(some, random, noise))  # type: ignore[misc]
        image = image.clamp(0, 1)
    return (image * 255).round().to(torch.uint8)


def add_noise(image: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """
    Add grain: stronger in bright places, less coloured than white noise, often a little blurred.

    Its variance is read + shot I, as photons and electronics make it. Raw converters soften it,
    colour above all.
    """
    count = len(image)
    sigma = column(log_uniform(random, 0.002, 0.03, count), image)
    shot = column(random.uniform(0, 1, count), image)
    colourfulness = column(random.uniform(0.2, 1, count), image)
    grain_px = column(random.choice([0.2, 0.5, 0.7, 1.0], count, p=[0.5, 0.2, 0.2, 0.1]), image)
    white = torch.randn(image.shape, generator=noise, device=noise.device)
    soft = blur_gaussian(white, grain_px)
    soft = soft / soft.std(dim=(1, 2, 3), keepdim=True)
    grey = soft.mean(dim=1, keepdim=True) * 3**0.5
    grain = grey + colourfulness * (soft - grey)
    # where the picture is middle grey, sigma is the noise's
    strength = sigma * torch.sqrt(1 - shot + 2 * shot * image)
    return image + strength * grain


def soften(image: Tensor, random: np.random.Generator, _: torch.Generator) -> Tensor:
    """Blur slightly: denoising, a filter before the sensor, a shaking hand."""
    return blur_gaussian(image, column(random.uniform(0.3, 0.6, len(image)), image))


def sharpen(image: Tensor, random: np.random.Generator, _: torch.Generator) -> Tensor:
    """Unsharp masking, I + amount (I - blurred I): halos included."""
    sigma_px = column(random.uniform(0.5, 1.5, len(image)), image)
    amount = column(random.uniform(0.2, 1.0, len(image)), image)
    return image + amount * (image - blur_gaussian(image, sigma_px))


def resize(image: Tensor, random: np.random.Generator, _: torch.Generator) -> Tensor:
    """Make it smaller by a small factor and as large again, all of the batch by the same."""
    size_px = (image.shape[2], image.shape[3])
    factor = random.uniform(0.7, 0.95)
    small_px = tuple(max(1, round(factor * side)) for side in size_px)
    mode = str(random.choice(["bilinear", "bicubic"]))
    small = F.interpolate(image, size=small_px, mode=mode, antialias=True)
    return F.interpolate(small, size=size_px, mode=mode)


def save_jpeg(image: Tensor, random: np.random.Generator, _: torch.Generator) -> Tensor:
    """Save as JPEG of quality 50 to 97 with all of its colour, as cameras do."""
    quality = column(random.integers(50, 98, len(image)), image)
    return compress_jpeg(image, quality, is_chroma_halved=False)


def save_small_jpeg(image: Tensor, random: np.random.Generator, _: torch.Generator) -> Tensor:
    """Save as JPEG of quality 50 to 97 with colour at half the resolution, as the web does."""
    quality = column(random.integers(50, 98, len(image)), image)
    return compress_jpeg(image, quality, is_chroma_halved=True)


class Effect(NamedTuple):
    """What is done to a picture, and to which share of them."""

    share: float
    apply: Callable[[Tensor, np.random.Generator, torch.Generator], Tensor]


EFFECTS = (
    Effect(0.60, add_noise),
    Effect(0.15, soften),
    Effect(0.10, resize),
    Effect(0.25, sharpen),
    Effect(0.20, save_small_jpeg),
    Effect(0.15, save_jpeg),
)
"""In the order in which they happen; a picture may go through several."""

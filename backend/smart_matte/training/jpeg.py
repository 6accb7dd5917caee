"""What JPEG does to pictures, in torch: for batches, each sample with its own quality."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)

BLOCK_PX = 8
UNIT_PX = 16
"""Side of the smallest unit that 4:2:0 codes; pictures are filled up to whole ones."""

LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Rows go down in frequency of y, columns in frequency of x."""

CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)

TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def compress_jpeg(image: Tensor, quality: Tensor, *, is_chroma_halved: bool) -> Tensor:
    """
    Encode as JPEG and decode again.

    Args:
        image: sRGB-coded colour, float32 (N, 3, H, W), [0, 1].
        quality: libjpeg's, 1 to 100, (N, 1, 1, 1).
        is_chroma_halved: whether colour has half the resolution (4:2:0) or all of it (4:4:4).

    Returns:
        float32 (N, 3, H, W), [0, 1], whole 8-bit levels.

    Source:
        ITU-T T.81, Annex A.3 (transform and quantisation) and Annex K.1 (tables); JFIF 1.02
        (colours); the tables' scaling, the halving by means and the doubling by a triangle filter
        as in libjpeg, with exact arithmetic where that has integers.
    """
    height, width = image.shape[-2:]
    filling = (0, -width % UNIT_PX, 0, -height % UNIT_PX)
    levels = F.pad((image * 255).round(), filling, mode="replicate")
    planes = torch.einsum("kc,nchw->nkhw", levels.new_tensor(TO_YCBCR), levels).round()
    luma, chroma = planes[:, :1] - 128, planes[:, 1:]
    if is_chroma_halved:
        chroma = F.avg_pool2d(chroma, 2).round()
    luma = _quantise(luma, _scale(LUMA_STEPS, quality)) + 128
    chroma = _quantise(chroma, _scale(CHROMA_STEPS, quality))
    luma, chroma = luma.round().clamp(0, 255), chroma.round().clamp(-128, 127)
    if is_chroma_halved:
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear").round()
    planes = torch.cat([luma, chroma], dim=1)
    levels = torch.einsum("ck,nkhw->nchw", planes.new_tensor(TO_RGB), planes)
    return levels[..., :height, :width].round().clamp(0, 255) / 255


def _scale(steps: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Quantisation steps (N, 1, 1, 1, 8, 8) of a quality, as libjpeg's jpeg_quality_scaling."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)  # noqa: PLR2004  (libjpeg's)
    table = quality.new_tensor(steps)
    return ((table * percent + 50) / 100).floor().clamp(1, 255)[:, :, None, None]


def _quantise(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the cosine transform of each 8 x 8 block to whole steps, and transform it back."""
    count, channels, height, width = planes.shape
    rows, columns = height // BLOCK_PX, width // BLOCK_PX
    blocks = planes.view(count, channels, rows, BLOCK_PX, columns, BLOCK_PX).transpose(3, 4)
    cosines = _cosines(planes)
    # one product works on the last axis, so blocks stand transposed in between
    spectrum = (blocks @ cosines.T).transpose(-1, -2) @ cosines.T
    steps = steps.transpose(-1, -2)
    spectrum = (spectrum / steps).round() * steps
    blocks = (spectrum @ cosines).transpose(-1, -2) @ cosines
    return blocks.transpose(3, 4).reshape(planes.shape)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal DCT-II of 8 values: row k holds the cosine of frequency k."""
    place = torch.arange(BLOCK_PX, device=like.device, dtype=like.dtype)
    cosines = torch.cos(math.pi / BLOCK_PX * place[:, None] * (place + 0.5))
    cosines[0] *= math.sqrt(0.5)
    return cosines * math.sqrt(2 / BLOCK_PX)

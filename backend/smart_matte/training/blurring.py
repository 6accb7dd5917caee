"""Blurs of a different width for each sample of a batch."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name all of torch's users know)

KERNEL_REACH = 3
"""Standard deviations on either side at which a Gaussian is cut off."""


def blur_gaussian(batch: Tensor, sigma_px: Tensor) -> Tensor:
    """
    Convolve with narrow Gaussians; the border's pixels are repeated outwards.

    Args:
        batch: (N, C, H, W).
        sigma_px: standard deviations above 0, (N, 1, 1, 1); the time grows with the largest.

    Returns:
        (N, C, H, W). Values stay within the range of what was given.
    """
    count, channels, height, width = batch.shape
    reach_px = math.ceil(KERNEL_REACH * float(sigma_px.max()))
    offset = torch.arange(-reach_px, reach_px + 1, device=batch.device, dtype=batch.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma_px.view(count, 1)) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = F.pad(batch, (reach_px,) * 4, mode="replicate").view(
        1, count * channels, height + 2 * reach_px, width + 2 * reach_px
    )
    planes = F.conv2d(planes, kernel[:, None, None, :], groups=count * channels)
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=count * channels)
    return planes.view(batch.shape)


def blur_wide(batch: Tensor, sigma_px: Tensor, is_disc: Tensor) -> Tensor:
    """
    Convolve with wide Gaussians or discs, in the frequency domain; the border mirrors.

        Gaussian: exp(-2 (pi sigma f)^2)
        disc of radius r = 2 sigma: 2 J1(2 pi r f) / (2 pi r f)

    A disc, what a lens out of focus makes of a point, has that standard deviation, too.

    Args:
        batch: (N, C, H, W).
        sigma_px: standard deviations along x and along y, above 0, (N, 1, 1, 1).
        is_disc: 1 for a disc, 0 for a Gaussian, (N, 1, 1, 1).

    Returns:
        (N, C, H, W). A disc may overshoot the given range a little.
    """
    height, width = batch.shape[-2:]
    margin_px = min(round(2 * float(sigma_px.max())) + 1, height - 1, width - 1)
    padded = F.pad(batch, (margin_px,) * 4, mode="reflect")
    size = padded.shape[-2:]
    along_y = torch.fft.fftfreq(size[0], device=batch.device)[:, None]
    along_x = torch.fft.rfftfreq(size[1], device=batch.device)
    turn = 2 * math.pi * sigma_px * torch.sqrt(along_y**2 + along_x**2)
    gaussian = torch.exp(-0.5 * turn**2)
    radians = (2 * turn).clamp(min=1e-4)
    disc = 2 * torch.special.bessel_j1(radians) / radians
    response = torch.where(is_disc > 0, disc, gaussian)
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * response, s=size)
    return blurred[..., margin_px : margin_px + height, margin_px : margin_px + width]

"""Samples to look at: what the network learns is what is seen there."""

import numpy as np
import torch
from torch import Tensor, nn

from smart_matte.engine.models.fba_compact import GUESS
from smart_matte.engine.types import AnyArray, U8Array
from smart_matte.pictures.sheets import contact_sheet, over_backdrop
from smart_matte.training.losses import Truth
from smart_matte.training.shards import SampleFiles

HEIGHT_PX = 160


def sample_sheet(
    samples: SampleFiles, count: int, network: nn.Module | None = None, device: str = "cpu"
) -> U8Array:
    """
    Lay some samples out, one in a row.

    Args:
        samples: where to take them from.
        count: how many, spread over all of them.
        network: what to show the answer of, besides the guess; None shows the guess alone.
        device: where the network is.

    Returns:
        The sheet, uint8 (H, W, 3).
    """
    rows = [
        _row(*samples[int(index), 0], None if network is None else (network, device))
        for index in np.linspace(0, len(samples) - 1, min(count, len(samples)), dtype=int)
    ]
    panels = [panel for row in rows for panel in row]
    return contact_sheet(panels, height_px=HEIGHT_PX, columns=len(rows[0]))


def _row(
    channels: Tensor, truth: Truth, network: tuple[nn.Module, str] | None
) -> list[tuple[str, AnyArray]]:
    """The panels of one sample."""
    trimap = torch.where(truth.is_unknown > 0, 0.5, channels[10:11])
    panels = [
        ("image", _picture(truth.image)),
        ("trimap", _picture(trimap)),
        ("true alpha", _picture(truth.alpha)),
        ("true foreground", _picture(truth.foreground)),
    ]
    answers = {"guess": channels[GUESS:]}
    if network is not None:
        module, device = network
        with torch.inference_mode():
            answers["network"] = module.eval()(channels[None].to(device))[0].float().cpu()
    for name, answer in answers.items():
        values = torch.where(truth.is_unknown > 0, answer.clamp(0, 1), channels[GUESS:])
        alpha, foreground = _picture(values[:1]), _picture(values[1:4])
        panels += [(name, alpha), (f"{name} on a backdrop", over_backdrop(foreground, alpha))]
    return panels


def _picture(planes: Tensor) -> AnyArray:
    """(C, H, W) to (H, W, C), or (H, W) of a single plane."""
    picture: AnyArray = planes.permute(1, 2, 0).numpy()
    return picture[..., 0] if picture.shape[2] == 1 else picture

"""Our own matting network: a guess by equations goes in, what they get wrong is corrected."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (as everybody calls it)
from torch.nn.utils.fusion import fuse_conv_bn_eval

from smart_matte.engine.models.weights_check import check_weights

CHANNELS = 18
"""FBA's eleven; then the guess: alpha, foreground (3), background (3)."""

GUESS = 11
"""The first channel of the guess."""

OUTPUTS = 7
"""Alpha, foreground (3), background (3)."""

CONTEXT_SCALE = 4
"""How many times smaller the picture is for ``Context``."""

STRIDE_PX = 16
"""Of the smallest features: the context's picture has sides that are multiples of it."""

CONTEXT_WIDTHS = (48, 80, 128)
"""Features at 1/4, 1/8 and 1/16 of the picture's size."""

DETAIL_WIDTH = 32
"""Features at half the picture's size."""

DETAIL_REACH_PX = 16
"""
How far ``Detail`` looks around a pixel: six 3 x 3 filters at half size reach 12 px, and what it
takes of the context, enlarged, is one pixel of half size more; on to a multiple of the scale.
"""


CONTEXT_REACH_PX = 336
"""
How far ``Context`` looks: its filters reach 79 pixels of the shrunken picture, of four each; on to
a multiple of the stride.
"""


class FbaCompact(nn.Module):
    """
    Corrects a guess at alpha, foreground and background: ours, much smaller than FBA's network.

    It answers as FBA's does, seven channels before fusion. What has to see far sees the picture
    at a quarter of its size (``context``); what has to see every pixel needs only a few around it
    (``detail``), so it can run in tiles that give what the whole gives. No layer looks at
    statistics of the picture: normalisation is folded into the filters after training.

    With its last layer at zero, as it begins, it returns the guess.
    """

    def __init__(self) -> None:
        super().__init__()
        self.context = Context()
        self.detail = Detail()

    def forward(self, channels: Tensor) -> Tensor:
        """
        Correct the guess for whole pictures.

        Args:
            channels: (N, CHANNELS, H, W), sides multiples of STRIDE_PX.

        Returns:
            (N, OUTPUTS, H, W), not limited to [0, 1].
        """
        corrected: Tensor = self.detail(channels, self.context(shrink(channels)))
        return corrected


def shrink(channels: Tensor) -> Tensor:
    """The channels as ``Context`` sees them: the mean of every CONTEXT_SCALE squared pixels."""
    return F.avg_pool2d(channels, CONTEXT_SCALE)


class Context(nn.Module):
    """What the surroundings say: a U-Net on the shrunken picture."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = CONTEXT_WIDTHS
        self.fine = nn.Sequential(ConvNorm(CHANNELS, fine), nn.ReLU(), Residual(fine))
        self.middle = nn.Sequential(
            ConvNorm(fine, middle, stride=2), nn.ReLU(), Residual(middle), Residual(middle)
        )
        self.coarse = nn.Sequential(
            ConvNorm(middle, coarse, stride=2),
            nn.ReLU(),
            Residual(coarse),
            Residual(coarse, dilation=2),
            Residual(coarse, dilation=4),
        )
        self.up_middle = Merge(coarse, middle)
        self.up_fine = Merge(middle, fine)

    def forward(self, shrunken: Tensor) -> Tensor:
        """Features (N, CONTEXT_WIDTHS[0], h, w) of a picture whose sides are multiples of 4."""
        fine = self.fine(shrunken)
        middle = self.middle(fine)
        merged: Tensor = self.up_fine(self.up_middle(self.coarse(middle), middle), fine)
        return merged


class Detail(nn.Module):
    """What every pixel becomes, from those nearby and what the context says."""

    def __init__(self) -> None:
        super().__init__()
        self.own = ConvNorm(4 * CHANNELS, DETAIL_WIDTH)
        self.told = ConvNorm(CONTEXT_WIDTHS[0], DETAIL_WIDTH, side=1)
        self.refine = nn.Sequential(nn.ReLU(), Residual(DETAIL_WIDTH), Residual(DETAIL_WIDTH))
        self.out = nn.Conv2d(DETAIL_WIDTH, 4 * OUTPUTS, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, channels: Tensor, context: Tensor) -> Tensor:
        """
        Correct the guess.

        Args:
            channels: (N, CHANNELS, H, W), sides multiples of CONTEXT_SCALE.
            context: (N, CONTEXT_WIDTHS[0], H / 4, W / 4), the same part of the picture.

        Returns:
            (N, OUTPUTS, H, W).
        """
        halved = self.own(F.pixel_unshuffle(channels, 2))
        halved = halved + enlarge(self.told(context))
        correction = F.pixel_shuffle(self.out(self.refine(halved)), 2)
        return channels[:, GUESS:] + correction


class Residual(nn.Module):
    """Two filters whose result is added to what they were given."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(width, width, dilation=dilation)
        self.second = ConvNorm(width, width, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """(N, width, H, W) to the same."""
        return F.relu(features + self.second(F.relu(self.first(features))))


class Merge(nn.Module):
    """Brings features up to twice their size and joins them with what was there before."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.coarse = ConvNorm(coarse, fine, side=1)
        self.both = ConvNorm(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, coarse, H, W) and (N, fine, 2 H, 2 W) to the latter's shape."""
        return F.relu(self.both(F.relu(enlarge(self.coarse(coarse)) + fine)))


class ConvNorm(nn.Module):
    """A filter and its normalisation, which ``fold`` makes one filter with an offset."""

    def __init__(
        self, inputs: int, outputs: int, side: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (side // 2)
        self.conv = nn.Conv2d(inputs, outputs, side, stride, padding, dilation, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        filtered: Tensor = self.norm(self.conv(features))
        return filtered

    def fold(self) -> None:
        """Leave one filter that computes the same."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


def enlarge(features: Tensor) -> Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def fold_norms(network: nn.Module) -> nn.Module:
    """Turn a trained network, in place, into what is shipped: filters alone."""
    network.eval()
    for module in network.modules():
        if isinstance(module, ConvNorm):
            module.fold()
    return network


def build_fba_compact(state_dict: Mapping[str, Tensor]) -> FbaCompact:
    """
    Make the network, ready to run, from weights as shipped.

    Args:
        state_dict: tensors by name, normalisation folded; of any floating-point type.

    Raises:
        WeightsError: a tensor is missing, has the wrong shape, or doesn't belong to the network.
    """
    network = FbaCompact()
    fold_norms(network)
    check_weights("fba-compact", state_dict, network.state_dict())
    network.load_state_dict({key: tensor.to(torch.float32) for key, tensor in state_dict.items()})
    return network.requires_grad_(requires_grad=False)

"""
FBA Matting, the published network: alpha, foreground and background in one pass.

    image, distance maps, trimap: 11 channels
      │
      │ Encoder, a ResNet-50 that ends at 1/8
      ├── half: 64 channels at 1/2 ──────────────────────────┐
      ├── quarter: 256 at 1/4 ────────────────┐              │        image, trimap
      │                                       │              │              │
      │ Decoder                               │              │              │
      └── deep: 2048 at 1/8 ── conv_up1 ── x2 conv_up2 ── x2 conv_up3 ── x2 conv_up4
                with a pyramid                                              │
                                        alpha, foreground, background: 7 channels

Features are normalised by GroupNorm (which the checkpoint calls "bn") and filters are
standardised, so that the network could be trained on one image at a time.

Everything here is for inference: features are overwritten where they are no longer read, and wide
ones never exist whole. That takes 384 bytes a pixel at most, instead of 1252, and changes nothing.

Source: Forte and Pitié, "F, B, Alpha Matting", arXiv:2003.07711; names, sizes and constants from
the authors' code and checkpoint, https://github.com/MarcoForte/FBA_Matting.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, product
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name it has everywhere)

from smart_matte.engine.models.weights_check import check_weights

GROUPS = 32
"""Groups of every GroupNorm."""

PYRAMID_BINS = (1, 2, 3, 6)
"""Sides of the grids that the deepest features are averaged over."""

TILE_PX = 128
"""Side of the tiles for wide features: 512 channels of one take 35 MB."""

PROJECTION_PART = 256
"""Channels of a block's last, widest features that are computed at a time."""

DEEP_PART = 512
"""Channels of the deepest features that are convolved at a time."""


def build_fba(state_dict: Mapping[str, Tensor]) -> "FBA":
    """
    Make the network, ready to run, from the weights as published.

    Args:
        state_dict: the 197 tensors of the published checkpoint by name. Left as they are.

    Returns:
        The network in inference mode with its filters standardised once and for all.

    Raises:
        WeightsError: a tensor is missing, has the wrong shape, or doesn't belong to the network.
    """
    with torch.device("meta"):  # shapes alone: the memory comes with the weights
        network = FBA()
    check_weights("fba", state_dict, network.state_dict())
    network.load_state_dict(state_dict, assign=True)
    for module in network.modules():
        if isinstance(module, StandardisedConv2d):
            module.fold()
    return network.eval().requires_grad_(requires_grad=False)


class FBA(nn.Module):
    """
    The published network; ``build_fba`` makes one that is ready to run.

    Its 197 tensors, 34,693,031 numbers, are named, ordered and shaped as in the checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, image: Tensor, features: Tensor, wanted: Tensor | None = None) -> Tensor:
        """
        Predict alpha and both colours, before fusion.

        Args:
            image: sRGB-coded RGB, (N, 3, H, W), [0, 1]; H and W multiples of 8.
            features: (N, 11, H, W): the normalised image (3), distance maps (6), and whether a
                pixel is known background, known foreground (2).
            wanted: (N, 1, H, W), not 0 where the prediction is wanted; everywhere if None.
                Elsewhere it may be anything.

        Returns:
            (N, 7, H, W): alpha, foreground RGB, background RGB, in [0, 1].
        """
        half, quarter, deep = self.encoder(features)
        x = self.decoder.gather(deep)
        del deep  # the largest of all, not needed to enlarge
        x = self.decoder.enlarge(x, quarter, half)
        return self.decoder.finish(x, [features[:, :3], image, features[:, 9:]], wanted)


class Encoder(nn.Module):
    """ResNet-50, its stride on the 3x3, whose last two stages dilate where they used to stride."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = StandardisedConv2d(11, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.GroupNorm(GROUPS, 64)
        self.layer1 = _stage(64, 64, 1, (1, 1, 1))
        self.layer2 = _stage(256, 128, 2, (1, 1, 1, 1))
        self.layer3 = _stage(512, 256, 1, (1, 2, 2, 2, 2, 2))
        self.layer4 = _stage(1024, 512, 1, (2, 4, 4))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 11, H, W) to (N, 64, H/2, W/2), (N, 256, H/4, W/4) and (N, 2048, H/8, W/8)."""
        half = self.bn1(self.conv1(features)).relu_()
        deep = quarter = self.layer1(F.max_pool2d(half, kernel_size=3, stride=2, padding=1))
        # Block by block, as calling a whole stage would hold on to what went into it.
        for block in chain(self.layer2, self.layer3, self.layer4):
            deep = block(deep)
        return half, quarter, deep


def _stage(channels: int, width: int, stride: int, dilations: Sequence[int]) -> nn.Sequential:
    """Bottlenecks in a row; the first one takes *channels* and strides, all give 4 *width*."""
    blocks = []
    for dilation in dilations:
        blocks.append(Bottleneck(channels, width, stride, dilation))
        channels, stride = 4 * width, 1
    return nn.Sequential(*blocks)


class Bottleneck(nn.Module):
    """
    A residual block: 1x1 to fewer channels, 3x3 there, 1x1 to four times as many, plus the input.

    A block that keeps the number of channels writes its output over its input.
    """

    def __init__(self, channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = StandardisedConv2d(channels, width, 1, bias=False)
        self.bn1 = nn.GroupNorm(GROUPS, width)
        self.conv2 = StandardisedConv2d(
            width, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.GroupNorm(GROUPS, width)
        self.conv3 = StandardisedConv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.GroupNorm(GROUPS, 4 * width)
        self.downsample = None
        if channels != 4 * width:
            self.downsample = nn.Sequential(
                StandardisedConv2d(channels, 4 * width, 1, stride=stride, bias=False),
                nn.GroupNorm(GROUPS, 4 * width),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, 4 width, H / stride, W / stride)."""
        inner = self.bn1(self.conv1(x)).relu_()
        inner = self.bn2(self.conv2(inner)).relu_()
        out: Tensor = x
        if self.downsample is not None:
            conv, norm = cast("tuple[StandardisedConv2d, nn.GroupNorm]", (*self.downsample,))
            out = x.new_zeros(len(x), norm.num_channels, *inner.shape[2:])
            _add_projection_(out, x, conv, norm)
        _add_projection_(out, inner, self.conv3, self.bn3)
        return out.relu_()


class Decoder(nn.Module):
    """The deepest features and their pyramid, enlarged beside finer and finer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.ppm = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), *_conv_norm_act(2048, 256, side=1))
            for bins in PYRAMID_BINS
        )
        self.conv_up1 = nn.Sequential(
            *_conv_norm_act(2048 + 256 * len(PYRAMID_BINS), 256), *_conv_norm_act(256, 256)
        )
        self.conv_up2 = nn.Sequential(*_conv_norm_act(256 + 256, 256))
        self.conv_up3 = nn.Sequential(*_conv_norm_act(256 + 64, 64))
        self.conv_up4 = nn.Sequential(  # neither standardised nor normalised
            nn.Conv2d(64 + 8, 32, 3, padding=1),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.LeakyReLU(inplace=True),
            nn.Conv2d(16, 7, 1),
        )

    def gather(self, deep: Tensor) -> Tensor:
        """(N, 2048, H/8, W/8) to (N, 256, H/8, W/8): what is there and what is all around."""
        size = deep.shape[2:]
        pyramid = [F.interpolate(level(deep), size, mode="bilinear") for level in self.ppm]
        conv = cast("StandardisedConv2d", self.conv_up1[0])
        x = _convolve_parts(conv, [*torch.split(deep, DEEP_PART, dim=1), *pyramid])
        return cast("Tensor", self.conv_up1[1:](x))

    def enlarge(self, x: Tensor, quarter: Tensor, half: Tensor) -> Tensor:
        """(N, 256, H/8, W/8) to (N, 64, H/2, W/2), with the encoder's finer features."""
        x = _convolve_enlarged(self.conv_up2[0], x, [quarter], channels=256, halo=1)
        x = _convolve_enlarged(self.conv_up3[0], self.conv_up2[1:](x), [half], channels=64, halo=1)
        return cast("Tensor", self.conv_up3[1:](x))

    def finish(self, x: Tensor, beside: Sequence[Tensor], wanted: Tensor | None) -> Tensor:
        """(N, 64, H/2, W/2) to (N, 7, H, W): alpha clamped, colours by sigmoid."""
        out = _convolve_enlarged(self.conv_up4, x, beside, channels=7, halo=2, wanted=wanted)
        out[:, :1].clamp_(0, 1)
        out[:, 1:].sigmoid_()
        return out


def _conv_norm_act(inputs: int, outputs: int, side: int = 3) -> tuple[nn.Module, ...]:
    return (
        StandardisedConv2d(inputs, outputs, side, padding=side // 2),
        nn.GroupNorm(GROUPS, outputs),
        nn.LeakyReLU(inplace=True),
    )


class StandardisedConv2d(nn.Conv2d):
    """
    A convolution with standardised filters.

    It holds them raw, as published, and standardises at every use, until ``fold`` puts the
    standardised ones in their place: a buffer instead of a parameter, and no part of
    ``state_dict()``, so that no filter can be standardised twice.
    """

    def fold(self) -> None:
        """Standardise once and for all."""
        filters = self.filters().detach()
        del self.weight
        self.register_buffer("weight", filters, persistent=False)

    def filters(self) -> Tensor:
        """The filters to convolve with."""
        is_raw = isinstance(self.weight, nn.Parameter)
        return standardise(self.weight) if is_raw else self.weight

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return cast("Tensor", self._conv_forward(x, self.filters(), self.bias))


def standardise(weight: Tensor) -> Tensor:
    """
    Give every filter mean 0 and standard deviation 1.

        (w - mean(w)) / (sqrt(var(w) + 1e-12) + 1e-5),    var with N - 1

    Args:
        weight: filters (O, I, h, w); mean and variance run over the last three axes.

    Source:
        Qiao et al., "Weight Standardization", arXiv:1903.10520, in the form that the published
        weights were trained with. Since 2021 the authors' code divides by sqrt(var + 1e-5), var
        with N, for the same weights: that gives a different matte.
    """
    exact = weight.double()
    variance, mean = torch.var_mean(exact, dim=(1, 2, 3), keepdim=True)
    return ((exact - mean) / ((variance + 1e-12).sqrt() + 1e-5)).to(weight.dtype)


def _add_projection_(out: Tensor, x: Tensor, conv: StandardisedConv2d, norm: nn.GroupNorm) -> None:
    """
    Add norm(conv(x)), conv being 1x1, into *out*, some groups of channels at a time.

    Groups don't meet in GroupNorm, so the widest features need to exist only once: in *out*.
    """
    filters = conv.filters()
    groups = PROJECTION_PART * GROUPS // norm.num_channels
    for first in range(0, norm.num_channels, PROJECTION_PART):
        channels = slice(first, first + PROJECTION_PART)
        part = F.conv2d(x, filters[channels], stride=conv.stride)
        weight, bias = norm.weight[channels], norm.bias[channels]
        out[:, channels] += F.group_norm(part, groups, weight, bias, norm.eps)


def _convolve_parts(conv: StandardisedConv2d, parts: Sequence[Tensor]) -> Tensor:
    """conv(cat(parts)) without the cat: the sum of what its filters make of each part."""
    filters = torch.split(conv.filters(), [part.shape[1] for part in parts], dim=1)
    out = F.conv2d(parts[0], filters[0], conv.bias, padding=1)
    for part, its_filters in zip(parts[1:], filters[1:], strict=True):
        out += F.conv2d(part, its_filters, padding=1)
    return out


def _convolve_enlarged(
    convolve: nn.Module,
    x: Tensor,
    beside: Sequence[Tensor],
    *,
    channels: int,
    halo: int,
    wanted: Tensor | None = None,
) -> Tensor:
    """
    convolve(cat(x enlarged twice, *beside)), a tile at a time: its input never exists whole.

    Args:
        convolve: convolutions without normalisation, so that tiles change nothing.
        x: (N, C, H/2, W/2).
        beside: tensors (N, any, H, W).
        channels: how many come out.
        halo: how far the convolutions look, in pixels.
        wanted: (N, 1, H, W); where a whole tile of it is 0, the output stays 0.
    """
    n, _, height, width = beside[0].shape
    out = x.new_zeros(n, channels, height, width)
    for top, left in product(range(0, height, TILE_PX), range(0, width, TILE_PX)):
        rows, columns = slice(top, top + TILE_PX), slice(left, left + TILE_PX)
        if wanted is not None and not wanted[:, :, rows, columns].any():
            continue
        seen_rows = slice(max(top - halo, 0), min(top + TILE_PX + halo, height))
        seen_columns = slice(max(left - halo, 0), min(left + TILE_PX + halo, width))
        seen = [tensor[:, :, seen_rows, seen_columns] for tensor in beside]
        tile = convolve(torch.cat([_enlarge(x, seen_rows, seen_columns), *seen], dim=1))
        tile = tile[:, :, top - seen_rows.start :, left - seen_columns.start :]
        out[:, :, rows, columns] = tile[:, :, :TILE_PX, :TILE_PX]
    return out


def _enlarge(x: Tensor, rows: slice, columns: slice) -> Tensor:
    """Some rows and columns of *x* enlarged twice, bilinear; one more pixel of *x* decides."""
    top, left = max(rows.start // 2 - 1, 0), max(columns.start // 2 - 1, 0)
    part = x[:, :, top : rows.stop // 2 + 2, left : columns.stop // 2 + 2]
    part = F.interpolate(part, scale_factor=2.0, mode="bilinear")
    top, left = 2 * top, 2 * left
    return part[
        :, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]

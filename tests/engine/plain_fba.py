"""FBA Matting written out plainly, nothing saved or reordered: what the real one must equal."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name it has everywhere)

Weights = dict[str, Tensor]

# (stage, blocks, stride of the first 3x3, dilation of the first 3x3, dilation of the others)
STAGES = ((1, 3, 1, 1, 1), (2, 4, 2, 1, 1), (3, 6, 1, 1, 2), (4, 3, 1, 2, 4))


def plain_fba(weights: Weights, image: Tensor, features: Tensor) -> Tensor:
    """The network's seven channels before fusion, from its raw filters."""
    x = _conv(weights, "encoder.conv1", features, stride=2, padding=3)
    half = F.relu(_norm(weights, "encoder.bn1", x))
    x = F.max_pool2d(half, 3, 2, 1)
    after = {}
    for stage, blocks, stride, first_dilation, dilation in STAGES:
        x = _bottleneck(weights, f"encoder.layer{stage}.0", x, stride, first_dilation)
        for block in range(1, blocks):
            x = _bottleneck(weights, f"encoder.layer{stage}.{block}", x, 1, dilation)
        after[stage] = x

    pyramid = [x]
    for level, bins in enumerate((1, 2, 3, 6)):
        pooled = _conv(weights, f"decoder.ppm.{level}.1", F.adaptive_avg_pool2d(x, bins))
        pooled = F.leaky_relu(_norm(weights, f"decoder.ppm.{level}.2", pooled), 0.01)
        size = (x.shape[2], x.shape[3])
        pyramid.append(F.interpolate(pooled, size=size, mode="bilinear", align_corners=False))
    x = torch.cat(pyramid, dim=1)
    x = _up(weights, "conv_up1", 0, x)
    x = _up(weights, "conv_up1", 3, x)
    x = _up(weights, "conv_up2", 0, torch.cat([_double(x), after[1]], dim=1))
    x = _up(weights, "conv_up3", 0, torch.cat([_double(x), half], dim=1))
    x = torch.cat([_double(x), features[:, :3], image, features[:, 9:]], dim=1)
    x = F.leaky_relu(_plain_conv(weights, "decoder.conv_up4.0", x, 1), 0.01)
    x = F.leaky_relu(_plain_conv(weights, "decoder.conv_up4.2", x, 1), 0.01)
    x = _plain_conv(weights, "decoder.conv_up4.4", x, 0)
    return torch.cat([x[:, :1].clamp(0, 1), torch.sigmoid(x[:, 1:])], dim=1)


def damped_random_weights(shapes: dict[str, torch.Size], seed: int = 0) -> Weights:
    """
    Weights of a network that behaves: every residual branch counts 0.3 as much as usual.

    Undamped, a random network of this depth amplifies rounding until float32 shows nothing. The
    alpha head is scaled so that alpha spreads over [0, 1] and isn't vacuous to compare.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        if len(shape) > 1:
            values *= (2 / values[0].numel()) ** 0.5
        elif "bn3.weight" in name:
            values = 0.3 + 0.03 * values
        elif name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        weights[name] = values
    weights["decoder.conv_up4.4.bias"][0] += 0.5
    return weights


def _standardise(weight: Tensor) -> Tensor:
    fan_in = weight[0].numel()
    mean = weight.sum(dim=(1, 2, 3), keepdim=True) / fan_in
    variance = ((weight - mean) ** 2).sum(dim=(1, 2, 3), keepdim=True) / (fan_in - 1)
    return (weight - mean) / (torch.sqrt(variance + 1e-12) + 1e-5)


def _conv(
    weights: Weights, name: str, x: Tensor, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    filters = _standardise(weights[f"{name}.weight"])
    return F.conv2d(x, filters, weights.get(f"{name}.bias"), stride, padding, dilation)


def _plain_conv(weights: Weights, name: str, x: Tensor, padding: int) -> Tensor:
    return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.group_norm(x, 32, weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def _bottleneck(weights: Weights, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
    out = F.relu(_norm(weights, f"{name}.bn1", _conv(weights, f"{name}.conv1", x)))
    out = _conv(weights, f"{name}.conv2", out, stride=stride, padding=dilation, dilation=dilation)
    out = F.relu(_norm(weights, f"{name}.bn2", out))
    out = _norm(weights, f"{name}.bn3", _conv(weights, f"{name}.conv3", out))
    if f"{name}.downsample.0.weight" in weights:
        x = _conv(weights, f"{name}.downsample.0", x, stride=stride)
        x = _norm(weights, f"{name}.downsample.1", x)
    return F.relu(out + x)


def _up(weights: Weights, stage: str, at: int, x: Tensor) -> Tensor:
    x = _conv(weights, f"decoder.{stage}.{at}", x, padding=1)
    return F.leaky_relu(_norm(weights, f"decoder.{stage}.{at + 1}", x), 0.01)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

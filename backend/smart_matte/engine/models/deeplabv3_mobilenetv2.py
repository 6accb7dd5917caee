"""DeepLabV3 on MobileNetV2 at output stride 8: the small segmentation network."""

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASS_COUNT = 21  # PASCAL VOC: background and twenty things

# One row per inverted residual: channels out, stride, dilation. MobileNetV2's strides of 2 beyond
# the third become dilations, so that the features stay at an eighth of the picture's size.
BLOCKS = (
    (16, 1, 1),
    *((24, 2, 1), (24, 1, 1)),
    *((32, 2, 1), (32, 1, 1), (32, 1, 1)),
    *((64, 1, 1), (64, 1, 2), (64, 1, 2), (64, 1, 2)),
    *((96, 1, 2), (96, 1, 2), (96, 1, 2)),
    *((160, 1, 2), (160, 1, 4), (160, 1, 4)),
    (320, 1, 4),
)
STEM_CHANNELS = 32
ASPP_CHANNELS = 256
EXPANSION = 6  # of every block but the first


class StridedConv2d(nn.Conv2d):
    """
    A convolution that pads as TensorFlow's SAME does: the odd pixel goes below and to the right.

    With a stride the amount depends on the input's size, which no fixed padding can express.
    Without a stride SAME is plain symmetric padding, and ``nn.Conv2d`` does.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Pad as much as this size needs, then convolve without padding."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        sides: list[int] = []
        for size in (features.shape[3], features.shape[2]):  # pad takes the last axis first
            outputs = -(-size // stride)
            total = max((outputs - 1) * stride + kernel - size, 0)
            sides += [total // 2, total - total // 2]
        padded = functional.pad(features, sides)
        output: Tensor = super().forward(padded)
        return output


def convolution(
    channels_in: int, channels: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Make a 3x3 convolution with a bias and SAME padding."""
    if stride > 1:
        return StridedConv2d(channels_in, channels, 3, stride, groups=groups)
    return nn.Conv2d(channels_in, channels, 3, 1, dilation, dilation, groups)


class InvertedResidual(nn.Module):
    """
    Expand, filter each channel by itself, project; add the input where the shapes allow it.

    Source:
        Sandler et al. 2018, "MobileNetV2", figure 4d and table 1. Batch normalisation is folded
        into the convolutions' weights and biases, so the module runs but doesn't train well.
    """

    def __init__(
        self, channels_in: int, channels: int, stride: int, dilation: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand = nn.Conv2d(channels_in, hidden, 1) if expansion > 1 else None
        self.depthwise = convolution(
            hidden, hidden, stride=stride, dilation=dilation, groups=hidden
        )
        self.project = nn.Conv2d(hidden, channels, 1)
        self.is_residual = stride == 1 and channels_in == channels

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to (N, C', h/stride, w/stride), rounded up."""
        hidden: Tensor = features
        if self.expand is not None:
            hidden = functional.relu6(self.expand(hidden))
        hidden = functional.relu6(self.depthwise(hidden))
        hidden = self.project(hidden)
        return features + hidden if self.is_residual else hidden


class DeepLabV3MobileNetV2(nn.Module):
    """
    DeepLabV3 with a MobileNetV2 backbone and a pyramid of image pooling and one 1x1 convolution.

    Takes RGB (N, 3, H, W), [0, 255], sRGB-coded, of any size, and gives logits (N, 21, H, W).
    It was trained on 513x513, and at H and W of the form 8n + 1 its coarse grid meets the
    picture's corners exactly.

    Source:
        Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation", and the
        published ``deeplabv3_mnv2_pascal_train_aug``. The input is scaled inside, as there.
    """

    input_scale: Tensor
    input_offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        # To [-1, 1]. Buffers, because published files hold the scale rounded to half precision.
        self.register_buffer("input_scale", torch.tensor(2 / 255))
        self.register_buffer("input_offset", torch.tensor(-1.0))
        self.stem = convolution(3, STEM_CHANNELS, stride=2)
        self.blocks = nn.Sequential()
        channels_in, expansion = STEM_CHANNELS, 1
        for channels, stride, dilation in BLOCKS:
            self.blocks.append(InvertedResidual(channels_in, channels, stride, dilation, expansion))
            channels_in, expansion = channels, EXPANSION
        self.image_pooling = nn.Conv2d(channels_in, ASPP_CHANNELS, 1)
        self.aspp = nn.Conv2d(channels_in, ASPP_CHANNELS, 1)
        self.projection = nn.Conv2d(2 * ASPP_CHANNELS, ASPP_CHANNELS, 1)
        self.classifier = nn.Conv2d(ASPP_CHANNELS, CLASS_COUNT, 1)

    def coarse_logits(self, image: Tensor) -> Tensor:
        """Score every class at an eighth of the size: (N, 21, ceil(H/8), ceil(W/8))."""
        features = functional.relu6(self.stem(image * self.input_scale + self.input_offset))
        features = self.blocks(features)  # (N, 320, h, w)
        local = functional.relu(self.aspp(features))
        whole = functional.relu(self.image_pooling(features.mean((2, 3), keepdim=True)))
        pyramid = torch.cat([whole.expand_as(local), local], 1)  # (N, 512, h, w)
        logits: Tensor = self.classifier(functional.relu(self.projection(pyramid)))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Score every class at every pixel of *image*: raw logits, (N, 21, H, W)."""
        return functional.interpolate(
            self.coarse_logits(image), image.shape[2:], mode="bilinear", align_corners=True
        )

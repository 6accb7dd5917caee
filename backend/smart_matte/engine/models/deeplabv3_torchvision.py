"""Torchvision's DeepLabV3 networks, built without weights, giving logits and nothing else."""

from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.segmentation import (
    DeepLabV3_MobileNet_V3_Large_Weights,
    DeepLabV3_ResNet50_Weights,
    DeepLabV3_ResNet101_Weights,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)

NETWORKS = {
    "deeplabv3-resnet101": deeplabv3_resnet101,
    "deeplabv3-resnet50": deeplabv3_resnet50,
    "deeplabv3-mobilenet": deeplabv3_mobilenet_v3_large,
}

PUBLISHED: dict[str, WeightsEnum] = {
    "deeplabv3-resnet101": DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
    "deeplabv3-resnet50": DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "deeplabv3-mobilenet": DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
}
"""What torchvision says of the weights made for each network: preprocessing and class names."""


class TorchvisionDeepLabV3(nn.Module):
    """
    One of torchvision's DeepLabV3 networks with random weights.

    Takes normalised RGB (N, 3, H, W) and gives logits (N, 21, H, W). The auxiliary classifier is
    left out: it serves training alone.

    Source:
        Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation".
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = NETWORKS[name](weights=None, weights_backbone=None, aux_loss=False)

    def forward(self, image: Tensor) -> Tensor:
        """Score every class at every pixel of *image*."""
        logits: Tensor = self.network(image)["out"]
        return logits

"""Our own network with weights by chance, as if it had been trained."""

import torch
from torch import nn

from smart_matte.engine.models.fba_compact import FbaCompact

CORRECTION_STD = 0.03
"""Of the last layer's weights: corrections are then about 0.2, and few answers leave [0, 1]."""


def random_fba_compact(seed: int = 0) -> FbaCompact:
    """A network that corrects at random, with statistics by chance; evaluation mode, float32."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FbaCompact()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    nn.init.normal_(network.detail.out.weight, 0, CORRECTION_STD, generator=generator)
    nn.init.normal_(network.detail.out.bias, 0, CORRECTION_STD, generator=generator)
    return network.eval().requires_grad_(requires_grad=False)

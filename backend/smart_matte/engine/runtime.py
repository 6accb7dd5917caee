"""The one place where arrays meet torch: a network as a function from arrays to arrays."""

import numpy as np
import torch
from torch import nn

from smart_matte.engine.types import FloatArray
from smart_matte.errors import OptionError


def choose_device(wanted: str = "auto") -> str:
    """
    Name the torch device to run on.

    Args:
        wanted: "auto" (CUDA, then MPS, then the CPU), or a torch device name.

    Raises:
        OptionError: this machine has no such device.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"This machine has no device “{wanted}”; choose auto or cpu.") from error
    return wanted


class Network:
    """
    A module in inference mode on one device, called with arrays.

    Everything is float32: on CPUs without AVX-512 half precision is 60 to 90 times slower.
    """

    def __init__(self, module: nn.Module, device: str = "cpu") -> None:
        self.device = device
        self._module = module.eval().to(device=device, dtype=torch.float32)

    def moved_to(self, device: str) -> "Network":
        """The same network on another device; this one is of no use afterwards."""
        return Network(self._module, device)

    def __call__(self, *inputs: FloatArray) -> FloatArray:
        """
        Run the module.

        Args:
            inputs: float32 arrays (N, C, H, W), one for each argument of the module's forward.

        Returns:
            Its output, float32 (N, C', H', W').
        """
        with torch.inference_mode():
            tensors = [
                torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in inputs
            ]
            output: FloatArray = self._module(*tensors).float().cpu().numpy()
        return output

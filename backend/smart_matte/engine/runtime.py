"""The one place where arrays meet torch: a network as a function from arrays to arrays."""

from collections.abc import Callable

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


def ignore_fraction(fraction: float) -> None:
    """Tell nobody."""


class Network:
    """
    A module in inference mode on one device, called with arrays.

    Everything is float32: on CPUs without AVX-512 half precision is 60 to 90 times slower.
    """

    def __init__(self, module: nn.Module, device: str = "cpu") -> None:
        self.device = device
        self._module = module.eval().to(device=device, dtype=torch.float32)
        self._layers = [part for part in module.modules() if isinstance(part, nn.Conv2d)]

    def moved_to(self, device: str) -> "Network":
        """The same network on another device; this one is of no use afterwards."""
        return Network(self._module, device)

    def __call__(
        self, *inputs: FloatArray, progress: Callable[[float], None] = ignore_fraction
    ) -> FloatArray:
        """
        Run the module.

        Args:
            inputs: float32 arrays (N, C, H, W), one for each argument of the module's forward.
            progress: called before each convolution with the share of them that is done,
                [0, 1]; what it raises ends the run.

        Returns:
            Its output, float32 (N, C', H', W').
        """
        done = 0

        def count(*_: object) -> None:
            nonlocal done
            progress(min(done / len(self._layers), 1.0))  # some are called more than once
            done += 1

        hooks = [layer.register_forward_pre_hook(count) for layer in self._layers]
        try:
            return self._run(inputs)
        finally:
            for hook in hooks:
                hook.remove()

    def _run(self, inputs: tuple[FloatArray, ...]) -> FloatArray:
        with torch.inference_mode():
            tensors = [
                torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in inputs
            ]
            output: FloatArray = self._module(*tensors).float().cpu().numpy()
        return output

"""The one place where arrays meet torch: a network as a function from arrays to arrays."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

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


GUESSED_BYTES = 4_000_000_000
"""Taken where a system doesn't say what is free: half of what a small computer has."""


def usable_bytes(device: str) -> int:
    """
    Say how much memory of a device a job may take.

    Of a graphics card nearly all that is free: it says so when that was too much. Of the computer
    half, as the others' programs need some, and Linux kills rather than says no.
    """
    if device.startswith("cuda"):
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (torch.cuda.mem_get_info(device)[0] + cached) * 9 // 10
    if device == "cpu" and sys.platform == "linux":
        with suppress(OSError, ValueError, StopIteration):
            lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
            line = next(line for line in lines if line.startswith("MemAvailable:"))
            return int(line.split()[1]) * 1024 // 2
    return GUESSED_BYTES


TOO_LITTLE_MEMORY = (
    "There is too little memory to matte this picture: close other programs, or try a smaller"
    " picture."
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch's words, which differ by device, mean that memory ran out."""
    words = ("out of memory", "allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def ignore_fraction(fraction: float) -> None:
    """Tell nobody."""


HALF_DEVICES = ("cuda",)
"""Where half precision is quicker: on CPUs without AVX-512 it is 60 to 90 times slower."""


class Network:
    """
    A module in inference mode on one device, called with arrays.

    Args:
        module: any.
        device: torch device.
        may_be_half: whether half precision is enough for it, where that is quicker; else it is
            float32 everywhere.
    """

    def __init__(
        self, module: nn.Module, device: str = "cpu", *, may_be_half: bool = False
    ) -> None:
        self.device = device
        self._may_be_half = may_be_half
        is_half = may_be_half and device.startswith(HALF_DEVICES)
        self._dtype = torch.float16 if is_half else torch.float32
        self._module = module.eval().to(device=device, dtype=self._dtype)
        self._layers = [part for part in module.modules() if isinstance(part, nn.Conv2d)]

    @property
    def precision(self) -> str:
        """Sample type it computes in: "float32", "float16"."""
        return str(self._dtype).removeprefix("torch.")

    def usable_bytes(self) -> int:
        """How much memory its device has for a run."""
        return usable_bytes(self.device)

    def moved_to(self, device: str) -> "Network":
        """The same network on another device; this one is of no use afterwards."""
        return Network(self._module, device, may_be_half=self._may_be_half)

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
                torch.from_numpy(np.ascontiguousarray(array)).to(self.device, self._dtype)
                for array in inputs
            ]
            output: FloatArray = self._module(*tensors).float().cpu().numpy()
        return output

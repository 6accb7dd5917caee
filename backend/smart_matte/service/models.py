"""The engine's models as one worker holds them: loading, using, forgetting, telling."""

import gc
import importlib
import os
import platform
import sys
from collections import deque
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from smart_matte import loading
from smart_matte.engine.cutout import Engines, RawCutout, compute_raw
from smart_matte.engine.options import MATTERS, SEGMENTERS, Options
from smart_matte.engine.types import AnyArray, Progress
from smart_matte.service.memory import give_back_memory
from smart_matte.weights import store
from smart_matte_link.messages import Device, Facts, Model

WITHOUT_WEIGHTS = ("closed-form", "grabcut", "selection")

LOADED_MOST = 2
"""As many of each kind as ``smart_matte.loading`` keeps."""

SLOW_IMPORT = "pymatting.foreground.estimate_foreground_ml"
"""What our own matting models need; numba compiles it for a minute the very first time."""

PACKAGES = ("smart-matte", "numpy", "opencv-python-headless", "pymatting", "pyzmq", "torch")


class Models:
    """
    Loads what jobs need, and knows what is loaded.

    Args:
        device: what options mean by "auto" in this worker: "auto", or the device it is for.
    """

    def __init__(self, device: str = "auto") -> None:
        self._wanted_device = device
        self._device = "cpu"
        self._matters: deque[str] = deque(maxlen=LOADED_MOST)
        self._segmenters: deque[str] = deque(maxlen=LOADED_MOST)

    def compute(
        self,
        image: AnyArray,
        selection: AnyArray | None,
        options: Options,
        progress: Progress,
    ) -> RawCutout:
        """
        Load what is missing, told as stage "loading", and compute.

        Raises:
            SmartMatteError: as load_engines and compute_raw.
        """
        progress("loading", 0.0)
        engines = self._load(options)
        progress("loading", 1.0)
        device = engines.matter.device
        raw = compute_raw(image, selection, options, engines, progress)
        if engines.matter.device != device:  # it fled to the CPU: a smaller picture needn't
            self.unload()
        return raw

    def unload(self) -> None:
        """Forget all models and give their memory back."""
        self._matters.clear()
        self._segmenters.clear()
        loading.unload()
        gc.collect()
        torch = sys.modules.get("torch")  # never imported for this
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        give_back_memory()

    def facts(self) -> Facts:
        """What this process is and holds."""
        cpu = Device("cpu", platform.machine(), _physical_memory_bytes())
        others = () if self._device == "cpu" else (Device(self._device),)
        return Facts(
            pid=os.getpid(),
            device=self._device,
            devices=(*others, cpu),
            models=(*self._list("matter", MATTERS), *self._list("segmenter", SEGMENTERS)),
            memory_bytes=_resident_bytes(),
            versions={"python": platform.python_version(), **_installed_versions()},
        )

    def _load(self, options: Options) -> Engines:
        if options.device == "auto":
            options = options.with_changes(device=self._wanted_device)
        engines = loading.load_engines(options)
        if engines.matter.name in {"closed-form", "fba-compact"}:
            importlib.import_module(SLOW_IMPORT)
        self._remember(self._matters, engines.matter.name)
        self._device = engines.matter.device
        if engines.segmenter is not None:
            self._remember(self._segmenters, engines.segmenter.name)
            if self._device == "cpu":
                self._device = engines.segmenter.device
        return engines

    @staticmethod
    def _remember(names: deque[str], name: str) -> None:
        if name in names:
            names.remove(name)
        names.append(name)

    def _list(self, kind: str, names: tuple[str, ...]) -> list[Model]:
        loaded = (*self._matters, *self._segmenters)
        return [
            Model(name, kind, name in WITHOUT_WEIGHTS or store.is_installed(name), name in loaded)
            for name in names
        ]


@cache
def _installed_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _resident_bytes() -> int:
    """Resident memory of this process; 0 where the system doesn't say."""
    with suppress(OSError, ValueError, AttributeError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def _physical_memory_bytes() -> int:
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0

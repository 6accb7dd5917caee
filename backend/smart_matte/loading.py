"""From names to loaded models: the only place where weights meet the engine."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from smart_matte.engine.cutout import Engines
from smart_matte.engine.matting import Matter
from smart_matte.engine.options import MATTERS, NETWORK_SEGMENTERS, Options
from smart_matte.engine.report import Fallback
from smart_matte.engine.segmentation import Segmenter
from smart_matte.errors import OptionError, WeightsError
from smart_matte.weights import store

if TYPE_CHECKING:
    from smart_matte.weights.store import StateDict

Model = TypeVar("Model")


def load_engines(options: Options) -> Engines:
    """
    Load what *options* name; ``auto`` takes the best that works and says what ails the others.

    Raises:
        WeightsError: a model that was named has no weights here, or broken ones.
        OptionError: this machine has no such device.
    """
    device = options.device
    if device != "auto":  # said even when nothing that runs would use it
        from smart_matte.engine.runtime import choose_device  # noqa: PLC0415

        choose_device(device)

    def matter_of(name: str) -> Matter:
        return load_matter(name, device, store.fingerprint(name))

    def segmenter_of(name: str) -> Segmenter | None:
        if name not in NETWORK_SEGMENTERS:
            return None
        return load_segmenter(name, device, store.fingerprint(name))

    auto_segmenters = (NETWORK_SEGMENTERS[0], "grabcut")
    matters = MATTERS if options.matter == "auto" else (options.matter,)
    segmenters = auto_segmenters if options.segmenter == "auto" else (options.segmenter,)
    _, matter, matter_fallbacks = _load_first(matters, matter_of)
    segmenter_name, segmenter, segmenter_fallbacks = _load_first(segmenters, segmenter_of)
    return Engines(matter, segmenter, segmenter_name, (*matter_fallbacks, *segmenter_fallbacks))


@lru_cache(maxsize=2)
def load_matter(name: str, device: str, _version: tuple[str | int, ...]) -> Matter:
    """
    Load a matting model; the last two stay in memory.

    Args:
        name: one of ``options.MATTERS``.
        device: torch device, or "auto".
        _version: ``store.fingerprint(name)``, so that weights that were replaced are loaded anew.

    Raises:
        WeightsError: its weights are missing, broken or another network's.
        OptionError: there is no such model, or this machine has no such device.
    """
    if name == "closed-form":
        from smart_matte.engine.closed_form import ClosedFormMatter  # noqa: PLC0415

        # a graphics card only for who names it: on the CPU it takes seconds anyway
        return ClosedFormMatter(device if device.startswith("cuda") else "cpu")
    if name not in MATTER_BUILDERS:
        raise OptionError(
            f"There is no matting model “{name}”; choose one of: {', '.join(MATTERS)}."
        )
    return MATTER_BUILDERS[name](store.load_state_dict(name), device)


@lru_cache(maxsize=2)
def load_segmenter(name: str, device: str, _version: tuple[str | int, ...]) -> Segmenter:
    """
    Load a segmentation network; the last two stay in memory.

    Args:
        name: one of ``options.NETWORK_SEGMENTERS``.
        device: torch device, or "auto".
        _version: ``store.fingerprint(name)``, so that weights that were replaced are loaded anew.

    Raises:
        WeightsError: its weights are missing, broken or another network's.
        OptionError: there is no such network, or this machine has no such device.
    """
    return _build_segmenter(name, store.load_state_dict(name), device)


def unload() -> None:
    """Let go of every model."""
    load_matter.cache_clear()
    load_segmenter.cache_clear()


def check_weights(name: str, state_dict: "StateDict") -> None:
    """
    Make sure that a network can be built from tensors, before they are installed.

    Raises:
        WeightsError: they are not the weights of *name*; the sentence names one that doesn't fit.
        OptionError: there is no network of that name.
    """
    if name in MATTER_BUILDERS:
        MATTER_BUILDERS[name](state_dict, "cpu")
    else:
        _build_segmenter(name, state_dict, "cpu")


# torch takes seconds to import: only a network that has its weights pays.


def _build_fba(state_dict: "StateDict", device: str) -> Matter:
    from smart_matte.engine.fba_matter import FbaMatter  # noqa: PLC0415
    from smart_matte.engine.models.fba import build_fba  # noqa: PLC0415
    from smart_matte.engine.runtime import Network, choose_device  # noqa: PLC0415

    return FbaMatter(Network(build_fba(state_dict), choose_device(device)))


def _build_fba_compact(state_dict: "StateDict", device: str) -> Matter:
    from smart_matte.engine.fba_compact_matter import FbaCompactMatter  # noqa: PLC0415
    from smart_matte.engine.models.fba_compact import build_fba_compact  # noqa: PLC0415
    from smart_matte.engine.runtime import choose_device  # noqa: PLC0415

    return FbaCompactMatter(build_fba_compact(state_dict), choose_device(device))


def _build_segmenter(name: str, state_dict: "StateDict", device: str) -> Segmenter:
    from smart_matte.engine.deeplab import build_segmenter  # noqa: PLC0415
    from smart_matte.engine.runtime import choose_device  # noqa: PLC0415

    return build_segmenter(name, state_dict, choose_device(device))


MATTER_BUILDERS: dict[str, Callable[["StateDict", str], Matter]] = {
    "fba": _build_fba,
    "fba-compact": _build_fba_compact,
}
"""Makes a matting network on a device from its weights, by name."""


def _load_first(
    names: Sequence[str], load: Callable[[str], Model]
) -> tuple[str, Model, list[Fallback]]:
    """Load the first of *names* whose weights work, with its name and why not those before it."""
    name, *others = names
    try:
        return name, load(name), []
    except WeightsError as error:
        if not others:
            raise
        used, model, fallbacks = _load_first(others, load)
        return used, model, [Fallback(name, used, str(error)), *fallbacks]

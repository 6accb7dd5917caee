"""From names to loaded models: the only place where weights meet the engine."""

from functools import lru_cache

from smart_matte.engine.cutout import Engines
from smart_matte.engine.matting import Matter
from smart_matte.engine.options import MATTERS, NETWORK_SEGMENTERS, Options
from smart_matte.engine.report import Fallback
from smart_matte.engine.segmentation import Segmenter
from smart_matte.weights import store


def load_engines(options: Options) -> Engines:
    """
    Load what *options* name; ``auto`` takes the best that is installed and says what is missing.

    Raises:
        WeightsError: a model that was named has no weights here, or broken ones.
        OptionError: this machine has no such device.
    """
    if options.device != "auto":  # said even when nothing that runs would use it
        from smart_matte.engine.runtime import choose_device  # noqa: PLC0415

        choose_device(options.device)
    fallbacks: list[Fallback] = []
    matter_name = options.matter
    if matter_name == "auto":
        matter_name = next(name for name in MATTERS if _is_ready(name))
        if matter_name != MATTERS[0]:
            fallbacks.append(_missing(MATTERS[0], matter_name))
    segmenter_name = options.segmenter
    if segmenter_name == "auto":
        segmenter_name = NETWORK_SEGMENTERS[0] if _is_ready(NETWORK_SEGMENTERS[0]) else "grabcut"
        if segmenter_name == "grabcut":
            fallbacks.append(_missing(NETWORK_SEGMENTERS[0], segmenter_name))
    return Engines(
        matter=load_matter(matter_name, options.device),
        segmenter=load_segmenter(segmenter_name, options.device)
        if segmenter_name in NETWORK_SEGMENTERS
        else None,
        segmenter_name=segmenter_name,
        fallbacks=tuple(fallbacks),
    )


@lru_cache(maxsize=2)
def load_matter(name: str, device: str = "auto") -> Matter:
    """
    Load a matting model; the last two stay in memory.

    Raises:
        WeightsError: its weights are missing, broken or of the wrong shape.
        OptionError: this machine has no such device.
    """
    if name == "closed-form":
        from smart_matte.engine.closed_form import ClosedFormMatter  # noqa: PLC0415

        return ClosedFormMatter()
    # torch takes seconds to import: only a network pays
    from smart_matte.engine.fba_matter import FbaMatter  # noqa: PLC0415
    from smart_matte.engine.models.fba import build_fba  # noqa: PLC0415
    from smart_matte.engine.runtime import Network, choose_device  # noqa: PLC0415

    return FbaMatter(Network(build_fba(store.load_state_dict(name)), choose_device(device)))


@lru_cache(maxsize=2)
def load_segmenter(name: str, device: str = "auto") -> Segmenter:
    """
    Load a segmentation network; the last two stay in memory.

    Raises:
        WeightsError: its weights are missing, broken or of the wrong shape.
        OptionError: this machine has no such device.
    """
    from smart_matte.engine.deeplab import build_segmenter  # noqa: PLC0415
    from smart_matte.engine.runtime import choose_device  # noqa: PLC0415

    return build_segmenter(name, store.load_state_dict(name), choose_device(device))


def _is_ready(name: str) -> bool:
    return name == "closed-form" or store.is_installed(name)


def _missing(wanted: str, used: str) -> Fallback:
    return Fallback(
        wanted,
        used,
        f"its weights are not installed; “smart-matte weights fetch {wanted}” gets them.",
    )

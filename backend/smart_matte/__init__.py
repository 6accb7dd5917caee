"""Smart Matte: from a rough selection to a fine hair mask and a clean foreground."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smart_matte.api import cutout
    from smart_matte.engine.cutout import Cutout
    from smart_matte.engine.options import Options
    from smart_matte.engine.report import Fallback, Report
    from smart_matte.errors import (
        Cancelled,
        OptionError,
        OutputError,
        PictureError,
        SelectionError,
        SmartMatteError,
        WeightsError,
    )

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Cutout",
    "Fallback",
    "OptionError",
    "Options",
    "OutputError",
    "PictureError",
    "Report",
    "SelectionError",
    "SmartMatteError",
    "WeightsError",
    "__version__",
    "cutout",
]

_HOMES = {
    "cutout": "smart_matte.api",
    "Cutout": "smart_matte.engine.cutout",
    "Options": "smart_matte.engine.options",
    "Fallback": "smart_matte.engine.report",
    "Report": "smart_matte.engine.report",
}
"""Where names live that cost numpy and OpenCV; all others are errors."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: ``import smart_matte`` stays quick."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "smart_matte.errors")), name)

"""Smart Matte: from a rough selection to a fine hair mask and a clean foreground."""

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

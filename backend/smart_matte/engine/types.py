"""The array types and the two callables that the engine's parts share."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
U8Array = NDArray[np.uint8]
AnyArray = NDArray[Any]

UNKNOWN = 0.5
"""A trimap's value between 0, background, and 1, foreground."""

Progress = Callable[[str, float], None]
"""
Called with (stage, fraction of that stage in [0, 1]) whenever there is something to tell.
Raising ``Cancelled`` from it stops the job at that point.
"""


def ignore_progress(stage: str, fraction: float) -> None:
    """Tell nobody."""

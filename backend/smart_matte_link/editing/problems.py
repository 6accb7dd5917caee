"""What goes wrong in a plug-in itself, for the user and for a report."""

from __future__ import annotations

import traceback
from pathlib import Path


class RefusedError(Exception):
    """It can't be done; ``str(error)`` tells the user why and what to do, in their language."""


def brief_of(error: Exception) -> str:
    """What failed and where, without what it failed on: that may be the picture."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} ({Path(place.filename).name}:{place.lineno})"

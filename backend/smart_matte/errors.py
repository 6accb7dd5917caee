"""
Every error a user can meet, each one sentence that says what to do.

    SmartMatteError
    ├── PictureError     the picture can't be read or is unusable         exit code 3
    ├── SelectionError   the selection can't work with this picture       exit code 4
    ├── OutputError      the result can't be written                      exit code 5
    ├── WeightsError     weights are missing, broken or can't be fetched  exit code 6
    ├── OptionError      an option has an impossible value                exit code 2
    └── Cancelled        the user stopped the job                         exit code 130
"""

from typing import ClassVar


class SmartMatteError(Exception):
    """
    A failure the user can act on; ``str(error)`` is the sentence to show.

    Attributes:
        code: stable machine-readable name, for ``--json`` and the wire protocol.
        exit_code: what the command line exits with when this is the only failure.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1


class OptionError(SmartMatteError):
    """An option has an impossible value."""

    code = "option"
    exit_code = 2


class PictureError(SmartMatteError):
    """The picture can't be read, or can't be worked on."""

    code = "picture"
    exit_code = 3


class SelectionError(SmartMatteError):
    """The selection can't work with this picture."""

    code = "selection"
    exit_code = 4


class OutputError(SmartMatteError):
    """The result can't be written."""

    code = "output"
    exit_code = 5


class WeightsError(SmartMatteError):
    """Weights are missing, broken, of the wrong shape, or can't be fetched."""

    code = "weights"
    exit_code = 6


class Cancelled(SmartMatteError):  # noqa: N818  (it is an outcome, not a fault)
    """The user stopped the job."""

    code = "cancelled"
    exit_code = 130

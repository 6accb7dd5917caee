"""A link of some protocol versions meets a backend of others."""

import sys
import time
from pathlib import Path
from typing import NamedTuple

from broker_harness import cutout, is_right

from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError
from smart_matte_link.session import Identity

RUN_VERSION = Path(__file__).with_name("run_version.py")
RANGES = {"older": (1, 1), "same": (1, 2), "newer": (2, 3)}
"""By the name of the side that speaks them; the oldest and the newest have none in common."""


class Meeting(NamedTuple):
    """
    How it went.

    Attributes:
        outcome: "done", or the code and the sentence of the error.
        hint: what the user is told to do.
        protocol: the version agreed on; 0 without one.
        seconds: until they had agreed, or the user was told.
    """

    outcome: str
    hint: str
    protocol: int
    seconds: float


def command_of(protocols: tuple[int, int], folder: Path) -> list[str]:
    low, high = map(str, protocols)
    return [sys.executable, str(RUN_VERSION), "broker", low, high, str(folder / "log")]


def client_of(
    folder: Path, protocols: tuple[int, int], start: tuple[int, int] | None = None
) -> Client:
    command = command_of(start, folder) if start else None
    client = Client("test", "0", start=bool(start), start_command=command, folder=folder)
    client._identity = Identity("test", "0", protocols)
    return client


def meet(
    folder: Path, protocols: tuple[int, int], *, start: tuple[int, int] | None = None
) -> Meeting:
    """A client of some versions wants a picture cut out; it may *start* a backend of others."""
    client = client_of(folder, protocols, start)
    outcome, hint, protocol = "wrong", "", 0
    started = time.monotonic()
    with client:
        try:
            protocol = client.connect().protocol
            seconds = time.monotonic() - started
            if is_right(cutout(client)):
                outcome = "done"
        except LinkError as error:
            seconds = time.monotonic() - started
            outcome, hint = f"{error.code}: {error.sentence}", error.hint
    return Meeting(outcome, hint, protocol, seconds)

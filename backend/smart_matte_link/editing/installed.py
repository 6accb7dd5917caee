"""What ``smart-matte install`` wrote beside a plug-in: which backend belongs to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError

FILE_NAME = "backend.json"

IN_FLATPAK = Path("/.flatpak-info")
"""Only programs inside a Flatpak see it; theirs may be the same plug-in folder as the host's."""


class Installed(NamedTuple):
    """
    The backend of an installed plug-in.

    Attributes:
        command: program and first arguments that start it; empty looks for "smart-matte" on PATH.
        version: the plug-in's version.
        folder: the runtime folder that a sandboxed editor shares with the backend; empty else.
        serve: what users type where an editor can't start programs; empty else.
    """

    command: tuple[str, ...] = ()
    version: str = "unknown"
    folder: str = ""
    serve: str = ""

    def client(self, application: str) -> Client:
        """A client that finds this backend, or starts it where that is possible."""
        return Client(
            application,
            self.version,
            start=not self.serve,
            start_command=self.command or None,
            folder=Path(self.folder) if self.folder else None,
        )

    def explained(self, error: LinkError) -> LinkError:
        """The error, with the command to type where the editor can't start the backend."""
        if error.code != "unreachable" or not self.serve:
            return error
        return LinkError(
            error.code,
            "The backend isn't running, and from in here it can't be started.",
            f"Open a terminal and type: {self.serve}",
        )


def read_installed(plug_in: Path) -> Installed:
    """
    Read what belongs to a plug-in.

    Args:
        plug_in: its folder.

    Returns:
        The defaults where the plug-in was put there by hand.
    """
    try:
        facts = json.loads((plug_in / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Installed()
    if IN_FLATPAK.exists():
        facts = {**facts, **facts.get("sandbox", {})}
    known = {name: facts[name] for name in Installed._fields if name in facts}
    return Installed(**{**known, "command": tuple(known.get("command", ()))})

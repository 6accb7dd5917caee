"""Licences that forbid commercial use: shown, accepted once, and remembered beside the weights."""

import json
from datetime import UTC, datetime
from pathlib import Path

from smart_matte.errors import WeightsError
from smart_matte.weights.files import disk_troubles, write_whole
from smart_matte.weights.manifest import Entry
from smart_matte.weights.store import folder


class LicenceError(WeightsError):
    """
    A licence forbids commercial use and was not accepted.

    Attributes:
        entry: whose licence it is.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__(
            f"The weights “{entry.name}” may not be used commercially ({entry.licence}; see"
            f" {entry.source}); if you accept that, add: --accept-licence"
        )
        self.entry = entry


def is_accepted(entry: Entry) -> bool:
    """Whether nothing needs to be accepted, or these very terms were accepted before."""
    if entry.commercial_use:
        return True
    try:
        noted = json.loads(_path(entry).read_text(encoding="utf-8"))
        return bool(noted["licence"] == entry.licence)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def accept(entry: Entry) -> None:
    """
    Remember that the user accepted an entry's licence.

    Raises:
        WeightsError: it can't be written down.
    """
    noted = {
        "licence": entry.licence,
        "accepted_at": datetime.now(UTC).isoformat("T", "seconds"),
    }
    with disk_troubles(folder()):
        folder().mkdir(parents=True, exist_ok=True)
    write_whole(_path(entry), json.dumps(noted, indent=2).encode())


def demand(entry: Entry, *, accept_licence: bool) -> None:
    """
    Let only those go on who have accepted the licence, now or before.

    Raises:
        LicenceError: it forbids commercial use and was not accepted; the sentence shows it.
    """
    if is_accepted(entry):
        return
    if not accept_licence:
        raise LicenceError(entry)
    accept(entry)


def _path(entry: Entry) -> Path:
    return folder() / f"{entry.name}.licence.json"

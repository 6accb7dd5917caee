"""
What is installed: one ``<name>.safetensors`` for each entry, described by ``<name>.json``.

The folder is the user's data folder, or what SMART_MATTE_WEIGHTS names. Nothing here imports
torch before tensors are asked for, so that listing stays quick.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open

from smart_matte.errors import WeightsError
from smart_matte.weights.files import disk_troubles, require_free_bytes, sha256_of, write_together
from smart_matte.weights.manifest import SHIPPED, Entry, entries, find_entry, shipped_path

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]

FOLDER_VARIABLE = "SMART_MATTE_WEIGHTS"
CHANGED = "the bytes have changed, their SHA-256 is wrong"
CONVERTER = 1  # raised when converted files must be made anew


@dataclass(frozen=True)
class Installed:
    """
    The facts about an installed file, kept beside it.

    Attributes:
        name: of the entry it serves.
        bytes: size of the safetensors file.
        sha256: SHA-256 of the safetensors file.
        sources: SHA-256 of each file it was made from, by that file's name.
        verified_source: whether those are the files that the manifest lists; False for a user's
            own variant.
        licence: the terms, as they were in the manifest when it was installed.
        accepted_licence: whether the user had to accept them, and did.
        converter: CONVERTER of the program that made it.
        installed_at: when, ISO 8601, UTC.
    """

    name: str
    bytes: int
    sha256: str
    sources: dict[str, str]
    verified_source: bool
    licence: str
    accepted_licence: bool
    converter: int = CONVERTER
    installed_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat("T", "seconds"))


@dataclass(frozen=True)
class State:
    """
    How an entry stands on this machine.

    Attributes:
        name: of the entry.
        kind: "missing", "broken" or "installed".
        problem: what is wrong, for a sentence; empty when installed.
        installed: the facts kept beside the file, where they can be read.
        is_shipped: whether these are the weights that came with the program.
    """

    name: str
    kind: Literal["missing", "broken", "installed"]
    problem: str = ""
    installed: Installed | None = None
    is_shipped: bool = False

    @property
    def sentence(self) -> str:
        """What is wrong and the command that mends it; empty when installed."""
        if self.kind == "installed":
            return ""
        if self.is_shipped:
            return f"The weights “{self.name}” are {self.problem}; install Smart Matte again."
        mend = f"smart-matte weights fetch {self.name}"
        if self.installed and not self.installed.verified_source:
            files = shlex.join(self.installed.sources)
            mend = f"smart-matte weights import {files} --as {self.name}"
        return f"The weights “{self.name}” are {self.problem}; run: {mend}"


def folder() -> Path:
    """The folder of the installed weights; it need not exist yet."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_data_path("smart-matte", appauthor=False) / "weights"


def path_of(name: str) -> Path:
    """Where the user's installed file of an entry lies, or would lie."""
    return folder() / f"{name}.safetensors"


def fingerprint(name: str) -> tuple[str | int, ...]:
    """Tell one installed file from the next: it changes with the folder and with every import."""
    for path in (path_of(name), shipped_path(name)):
        with suppress(OSError):
            found = path.stat()
            return str(path), found.st_ino, found.st_mtime_ns, found.st_size
    return (str(path_of(name)),)


def is_installed(name: str) -> bool:
    """
    Whether an entry can be loaded, as far as a quick look tells.

    Raises:
        WeightsError: there is no entry of that name.
    """
    return look(find_entry(name).name).kind == "installed"


def load_state_dict(name: str) -> "StateDict":
    """
    Load the tensors of an installed entry from bytes whose SHA-256 is right.

    The file is read once: what is checked is what is loaded, whoever swaps it meanwhile.

    Raises:
        WeightsError: they are missing or broken; the sentence names the command that helps.
    """
    state = look(find_entry(name).name)
    if state.kind != "installed" or state.installed is None:
        raise WeightsError(state.sentence)
    from safetensors.torch import load  # noqa: PLC0415  (torch takes seconds to import)

    try:
        path = shipped_path(name) if state.is_shipped else path_of(name)
        with path.open("rb") as file:
            content = file.read(state.installed.bytes + 1)
        if hashlib.sha256(content).hexdigest() == state.installed.sha256:
            return load(content)
        problem = CHANGED
    except (OSError, SafetensorError) as error:
        problem = str(error)
    broken = replace(state, kind="broken", problem=f"broken ({problem})")
    raise WeightsError(broken.sentence)


def look(name: str, *, whole: bool = False) -> State:
    """
    See how an entry stands.

    Args:
        name: of the entry.
        whole: also read the whole file and compare its SHA-256.
    """
    path = path_of(name)
    try:
        if not _facts_path(name).exists():  # written last: an installation stopped midway is none
            return _look_shipped(name, whole=whole)
        installed = _read_facts(name)
    except (OSError, ValueError, TypeError):
        return State(name, "broken", "broken (what is noted about them can't be read)")
    problem = _problem_of(path, installed, whole=whole)
    if problem:
        return State(name, "broken", f"broken ({problem})", installed)
    return State(name, "installed", installed=installed)


def _look_shipped(name: str, *, whole: bool) -> State:
    """See how an entry stands of which the user has no file of their own."""
    shipped_entries = {entry.name: entry for entry in entries() if entry.format == SHIPPED}
    if name not in shipped_entries:
        return State(name, "missing", "not installed")
    entry = shipped_entries[name]
    [file] = entry.files
    shipped = Installed(
        name=entry.name,
        bytes=file.bytes,
        sha256=file.sha256,
        sources={file.name: file.sha256},
        verified_source=True,
        licence=entry.licence,
        accepted_licence=False,
        installed_at="with Smart Matte",
    )
    problem = _problem_of(shipped_path(entry.name), shipped, whole=whole)
    if problem:
        return State(entry.name, "broken", f"broken ({problem})", shipped, is_shipped=True)
    return State(entry.name, "installed", installed=shipped, is_shipped=True)


def verify(names: list[str] | None = None) -> list[State]:
    """
    Check entries to the last byte.

    Args:
        names: of entries; None checks all that are there.

    Returns:
        How each stands, in the order asked for.

    Raises:
        WeightsError: there is no entry of one of these names.
    """
    if names is not None:
        return [look(find_entry(name).name, whole=True) for name in names]
    states = [look(entry.name, whole=True) for entry in entries()]
    return [state for state in states if state.kind != "missing"]


def keep(
    entry: Entry,
    tensors: "StateDict",
    sources: dict[str, str],
    *,
    verified_source: bool,
) -> Installed:
    """
    Install tensors as an entry, replacing what was there; the caller holds the entry's lock.

    Args:
        entry: which weights these are.
        tensors: the state dict.
        sources: SHA-256 of each file they were read from, by its name.
        verified_source: whether these are the files that the manifest lists.

    Raises:
        WeightsError: the disk is full, or refuses.
    """
    from safetensors.torch import save  # noqa: PLC0415  (torch takes seconds to import)

    content = save(tensors, metadata={"format": "pt"})
    installed = Installed(
        name=entry.name,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        sources=sources,
        verified_source=verified_source,
        licence=entry.licence,
        accepted_licence=not entry.commercial_use,
    )
    require_free_bytes(folder(), len(content))
    facts = json.dumps(asdict(installed), indent=2).encode()
    # Stopped between these two, nothing counts as installed, or the new file fails the old facts.
    write_together({path_of(entry.name): content, _facts_path(entry.name): facts})
    return installed


def return_to_shipped(name: str) -> Installed:
    """
    Let go of the user's variant of weights that came with the program.

    Raises:
        WeightsError: those that came with it are broken, or the disk refuses.
    """
    with locked(name):
        for path in (_facts_path(name), path_of(name)):  # without its facts it counts as none
            path.unlink(missing_ok=True)
    state = look(name, whole=True)
    if state.kind != "installed" or state.installed is None:
        raise WeightsError(state.sentence)
    return state.installed


@contextmanager
def locked(name: str) -> Iterator[None]:
    """
    Be the only process that changes an entry; wait for another one to finish.

    Raises:
        WeightsError: the disk is full, or refuses, here or in what is done under the lock.
    """
    with disk_troubles(folder()):
        folder().mkdir(parents=True, exist_ok=True)
        with FileLock(folder() / f"{name}.lock"):
            yield


def _facts_path(name: str) -> Path:
    return folder() / f"{name}.json"


def _read_facts(name: str) -> Installed:
    values = json.loads(_facts_path(name).read_text(encoding="utf-8"))
    if not isinstance(values, dict) or values.keys() != {item.name for item in fields(Installed)}:
        raise ValueError("not what this version notes about weights")
    return Installed(**values)


def _problem_of(path: Path, installed: Installed, *, whole: bool) -> str:
    """What is wrong with an installed file, in a few words; "" when nothing is."""
    if installed.converter != CONVERTER:
        return "another version of Smart Matte made them"
    try:
        if not path.is_file():
            return "the file is gone"
        if path.stat().st_size != installed.bytes:
            return f"{path.stat().st_size} bytes instead of {installed.bytes}"
        with safe_open(path, framework="numpy"):  # reads the header and checks it against the size
            pass
        if whole and sha256_of(path) != installed.sha256:
            return CHANGED
    except (OSError, SafetensorError) as error:
        return str(error)
    return ""

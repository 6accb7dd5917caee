"""How weights come into the store: fetched from their publishers, or imported from the user."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smart_matte.errors import WeightsError
from smart_matte.weights import licences, store
from smart_matte.weights.download import PATIENCE, Patience, Progress, download, size_of_part
from smart_matte.weights.files import require_free_bytes, sha256_of
from smart_matte.weights.manifest import SHIPPED, Entry, WeightsFile, entries, find_entry
from smart_matte.weights.store import Installed

if TYPE_CHECKING:
    from smart_matte.weights.store import StateDict

Check = Callable[[str, "StateDict"], None]
"""Given an entry's name and its tensors before they are kept; raises WeightsError against them."""


def ignore_progress(file_name: str, bytes_done: int, bytes_total: int) -> None:
    """Tell nobody."""


def check_nothing(name: str, state_dict: "StateDict") -> None:
    """Let any tensors pass."""


def fetch(
    name: str,
    progress: Progress = ignore_progress,
    *,
    check: Check = check_nothing,
    accept_licence: bool = False,
) -> Installed:
    """
    Download an entry's files, verify and convert them; do nothing where that is done already.

    A second process that asks for the same entry waits for the first. A user's own variant under
    the same name is replaced.

    Args:
        name: of the entry.
        progress: told (file name, bytes so far, bytes in all); may raise to stop.
        check: has the last word on the tensors; ``loading.check_weights`` knows the networks.
        accept_licence: whether the user accepts a licence that forbids commercial use.

    Raises:
        WeightsError: no such entry, its licence was not accepted, no address delivered its
            files, or the disk is full. What was downloaded is kept for the next try.
    """
    return fetch_entry(find_entry(name), progress, check=check, accept_licence=accept_licence)


def fetch_entry(
    entry: Entry,
    progress: Progress = ignore_progress,
    *,
    check: Check = check_nothing,
    accept_licence: bool = False,
    patience: Patience = PATIENCE,
) -> Installed:
    """As `fetch`, for an entry at hand and with a patience of one's own."""
    licences.demand(entry, accept_licence=accept_licence)
    if entry.format == SHIPPED:
        return store.return_to_shipped(entry.name)
    downloads = _downloads(entry)
    with store.locked(entry.name):
        state = store.look(entry.name, whole=True)
        if state.kind == "installed" and state.installed and state.installed.verified_source:
            shutil.rmtree(downloads, ignore_errors=True)  # of a process that was killed here
            return state.installed
        downloads.mkdir(parents=True, exist_ok=True)
        originals = [downloads / file.name for file in entry.files]
        missing_bytes = sum(
            file.bytes - (file.bytes if path.is_file() else size_of_part(path))
            for file, path in zip(entry.files, originals, strict=True)
        )
        # What is kept is about as large as what is fetched, and the two exist side by side.
        require_free_bytes(downloads, missing_bytes + entry.bytes)
        for file, path in zip(entry.files, originals, strict=True):
            download(file, path, progress, patience)
        return _install(entry, originals, check)


def import_files(
    paths: Iterable[Path],
    name: str | None = None,
    *,
    check: Check = check_nothing,
    accept_licence: bool = False,
) -> list[Installed]:
    """
    Install files that the user already has, which stay where they are.

    Args:
        paths: files or folders. Of files that belong together (``.xml`` and ``.bin``) one is
            enough where the other lies beside it.
        name: take the files as this entry whatever their SHA-256, for a variant of one's own;
            None recognises published files by their SHA-256.
        check: has the last word on the tensors; ``loading.check_weights`` knows the networks.
        accept_licence: whether the user accepts licences that forbid commercial use.

    Returns:
        What was installed.

    Raises:
        WeightsError: a file is not recognised, incomplete, damaged, holds other tensors, its
            licence was not accepted, or the disk is full. What was installed before stays.
    """
    paths = [path.expanduser().absolute() for path in paths]
    for path in paths:
        if not path.is_file() and not path.is_dir():
            raise WeightsError(f"There is no file or folder {path}; check the path.")
    found = _recognise(paths) if name is None else [_take_as(find_entry(name), paths)]
    for entry, _ in found:
        licences.demand(entry, accept_licence=accept_licence)
    installed = []
    for entry, originals in found:
        with store.locked(entry.name):
            installed.append(_install(entry, originals, check))
    return installed


def _downloads(entry: Entry) -> Path:
    """Where published files lie until they are converted."""
    return store.folder() / "downloads" / entry.name


def _install(entry: Entry, originals: Sequence[Path], check: Check) -> Installed:
    from smart_matte.weights.convert import convert  # noqa: PLC0415  (torch takes seconds to import)

    sources = {path.name: sha256_of(path) for path in originals}
    state_dict = convert(entry.format, originals)
    check(entry.name, state_dict)
    installed = store.keep(
        entry,
        state_dict,
        sources,
        verified_source=list(sources.values()) == [file.sha256 for file in entry.files],
    )
    shutil.rmtree(_downloads(entry), ignore_errors=True)
    return installed


def _recognise(paths: Sequence[Path]) -> list[tuple[Entry, list[Path]]]:
    """Find the entries that files belong to, by SHA-256, and complete those of several files."""
    found: dict[Entry, dict[WeightsFile, Path]] = {}
    for path in paths:
        matches = [(match, file) for file in _files_at(path) if (match := _match(file))]
        if not matches:
            trouble = "holds" if path.is_dir() else "is"
            raise WeightsError(
                f"{path} {trouble} none of the published weights files; to use a variant of your"
                " own, name its file and say which weights it replaces: --as NAME"
            )
        for (entry, wanted), file in matches:
            found.setdefault(entry, {})[wanted] = file
    return [
        (entry, [files.get(wanted) or _beside(files, entry, wanted) for wanted in entry.files])
        for entry, files in found.items()
    ]


def _beside(files: dict[WeightsFile, Path], entry: Entry, wanted: WeightsFile) -> Path:
    """Find a missing file of an entry in the folder of one that was given."""
    given = next(iter(files.values()))
    for sibling in _files_at(given.parent):
        if _match(sibling) == (entry, wanted):
            return sibling
    raise WeightsError(
        f"{given} belongs together with {wanted.name}, which isn't beside it; put the two into one"
        " folder."
    )


def _match(path: Path) -> tuple[Entry, WeightsFile] | None:
    """Which published file this is; one of another size isn't read at all."""
    try:
        size = path.stat().st_size
        like = [(entry, file) for entry in entries() for file in entry.files if file.bytes == size]
        sha256 = sha256_of(path) if like else ""
    except OSError as error:
        raise WeightsError(f"{path} can't be read ({error.strerror}); check the file.") from error
    return next(((entry, file) for entry, file in like if file.sha256 == sha256), None)


def _take_as(entry: Entry, paths: Sequence[Path]) -> tuple[Entry, list[Path]]:
    """Take files as an entry by the way they look, since their SHA-256 says nothing."""
    files = [file for path in paths for file in _files_at(path)]
    suffixes = [Path(file.name).suffix for file in entry.files]
    if len(files) == 1 and (len(suffixes) == 1 or files[0].suffix == ".safetensors"):
        return entry, files
    together = [files[0].with_suffix(suffix) for suffix in suffixes] if files else []
    if files and set(files) <= set(together) and all(file.is_file() for file in together):
        return entry, together
    raise WeightsError(
        f"The weights “{entry.name}” are read from {' and '.join(suffixes)} with the same name, or"
        " from one .safetensors; give exactly that."
    )


def _files_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.is_file())

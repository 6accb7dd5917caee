"""The runtime folder and the connection file in it: where the backend is, for its owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.messages import ConnectionInfo
from smart_matte_link.processes import start_of_process
from smart_matte_link.strict_json import JSON_BYTES_MAX, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER_VARIABLE = "SMART_MATTE_RUNTIME"
"""Environment variable that names the runtime folder."""

FILE_NAME = "connection.json"
OTHERS = 0o077
"""The permission bits of everybody but the owner."""


def runtime_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """
    Say where the connection file is; nothing is created or checked.

    Raises:
        LinkError: the environment names a folder by halves.
    """
    chosen = environment.get(FOLDER_VARIABLE, "")
    if chosen:
        if not Path(chosen).is_absolute():
            raise _not_private(f"{FOLDER_VARIABLE} is {chosen!r}, which is no full path.")
        return Path(chosen)
    session = environment.get("XDG_RUNTIME_DIR", "")
    if session and Path(session).is_absolute() and Path(session).is_dir():
        return Path(session) / "smart-matte"
    return _cache_folder(environment) / "smart-matte" / "run"


def prepare_folder(folder: Path) -> None:
    """
    Create the runtime folder if need be, for its owner only, and check it.

    Raises:
        LinkError: it can't be created, or isn't private.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # whatever the umask took away
    except OSError as error:
        raise _not_private(f"The folder {folder} can't be created: {error.strerror}.") from error
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """
    Make sure that only its owner, who is the user, can enter the runtime folder.

    Raises:
        LinkError: it is missing, a link, another's, or open to others.
    """
    try:
        status = folder.lstat()
    except OSError as error:
        raise _not_private(f"The folder {folder} can't be read: {error.strerror}.") from error
    if not stat.S_ISDIR(status.st_mode):
        raise _not_private(f"{folder} is a link or no folder.")
    _check_owner(folder, status)


def write_connection(folder: Path, info: ConnectionInfo) -> None:
    """
    Write the connection file in one step: nobody ever sees half of it.

    Raises:
        LinkError: the folder isn't private.
        OSError: the file can't be written; an older one is untouched.
    """
    check_folder(folder)
    temporary = folder / f".{FILE_NAME}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            temporary.chmod(0o600)  # whatever the umask took away
            file.write(to_json(info))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / FILE_NAME)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_connection(folder: Path) -> ConnectionInfo | None:
    """
    Read the connection file.

    Returns:
        None where there is none, or one that makes no sense: a new backend replaces it.

    Raises:
        LinkError: the folder or the file isn't private.
    """
    if not os.path.lexists(folder):
        return None
    check_folder(folder)
    path = folder / FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _not_private(f"{path} can't be opened: {error.strerror}.") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_private(f"{path} is no file.")
        _check_owner(path, status)
        encoded = os.read(descriptor, JSON_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    try:
        return from_json(ConnectionInfo, encoded)
    except ProtocolError:
        return None


def is_running(info: ConnectionInfo) -> bool:
    """Whether the very process that wrote the file is still there."""
    return start_of_process(info.pid) == info.started


def remove_connection(folder: Path, info: ConnectionInfo) -> None:
    """Remove the connection file if it still is the one of *info*."""
    with contextlib.suppress(OSError, LinkError):
        if read_connection(folder) == info:
            (folder / FILE_NAME).unlink()


def _cache_folder(environment: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        local = environment.get("LOCALAPPDATA", "")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    cache = environment.get("XDG_CACHE_HOME", "")
    return Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"


def _check_owner(path: Path, status: os.stat_result) -> None:
    if sys.platform == "win32":
        return  # the user's own folders are private there by their access lists
    if status.st_uid != os.geteuid():
        raise _not_private(f"{path} belongs to somebody else.")
    if status.st_mode & OTHERS:
        raise _not_private(f"{path} is open to other users.")


def _flag(name: str) -> int:
    """A flag of os.open that Windows lacks."""
    return int(getattr(os, name, 0))


def _not_private(sentence: str) -> LinkError:
    return LinkError(
        "unreachable",
        sentence,
        f"Remove it, or let {FOLDER_VARIABLE} name a folder of your own.",
    )

"""Find the backend that runs, or start one; one start however many clients want it at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from smart_matte_link.connection import (
    FOLDER_VARIABLE,
    is_running,
    prepare_folder,
    read_connection,
)
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import ConnectionInfo, Shutdown, Upgrade, Welcome
from smart_matte_link.processes import kill_process
from smart_matte_link.session import Identity, Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMAND_VARIABLE = "SMART_MATTE_BACKEND"
"""Environment variable that names the program, in place of "smart-matte" on PATH."""

START_S = 8.0
"""From starting the backend to its connection file."""

GONE_S = 15.0
"""For a backend that was asked to go; it lets running jobs end for 10 s."""

LOOK_AGAIN_S = 0.05

LOCK_NAME = "start.lock"

EDITORS_OWN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
)
"""Variables that editors set for themselves; they would lead the backend to the wrong files."""


def open_session(
    folder: Path,
    identity: Identity,
    start_command: Sequence[str] | None,
    *,
    start: bool,
    check: Callable[[], None] = lambda: None,
) -> Session:
    """
    Connect to the backend of this user; start it if need be.

    Args:
        folder: the runtime folder.
        identity: who this client is.
        start_command: the program and its first arguments; None looks for it.
        start: whether a backend may be started.
        check: called again and again; what it raises ends the wait.

    Raises:
        LinkError: "unreachable" none runs and none can be started; "not_authorised" an impostor;
            "version" the two don't fit and this side is the older one.
    """
    with _Starter(folder, start_command) as starter:
        while True:
            check()
            info = read_connection(folder)
            session = None if info is None else _try_session(folder, info, identity)
            if session is not None:
                return session
            if info is not None and read_connection(folder) not in {None, info}:
                continue  # another backend has started in between
            if not start:
                raise LinkError(
                    "unreachable", "No backend is running.", "Start one with “smart-matte serve”."
                )
            starter.go_on()
            time.sleep(LOOK_AGAIN_S)


def wait_until_gone(
    folder: Path,
    info: ConnectionInfo,
    timeout_s: float = GONE_S,
    check: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until a backend has ended; False if it still hasn't. What *check* raises ends this."""
    deadline = time.monotonic() + timeout_s
    while is_running(info) and read_connection(folder) == info:
        check()
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN_S)
    return True


def find_command() -> list[str]:
    """
    The program that is the backend.

    Raises:
        LinkError: there is none.
    """
    command = os.environ.get(COMMAND_VARIABLE) or shutil.which("smart-matte")
    if not command:
        raise LinkError(
            "unreachable",
            "The program “smart-matte” isn't found.",
            f"Install Smart Matte, or let {COMMAND_VARIABLE} name the program.",
        )
    return [command]


def _try_session(folder: Path, info: ConnectionInfo, identity: Identity) -> Session | None:
    """Connect; None where this connection file leads nowhere (any more)."""
    try:
        session = Session(info, identity)
    except LinkError as error:
        if error.code == "lost":
            return None
        if error.code == "deadline":
            if info.pid != os.getpid() and is_running(info):
                kill_process(info.pid)  # stopped or hung: a broker computes nothing
                wait_until_gone(folder, info)
            return None
        if read_connection(folder) != info:
            return None
        raise
    if isinstance(session.answer, Welcome):
        return session
    _make_room(folder, session, session.answer)
    return None


def _make_room(folder: Path, session: Session, upgrade: Upgrade) -> None:
    """Ask an older backend to go; raise if this side is the older one."""
    try:
        if upgrade.older == "client":
            _ = session.welcome
        session.send(Shutdown())
        if not wait_until_gone(folder, session.info):
            _ = session.welcome
    finally:
        session.close()


class _Starter:
    """Starts the backend at most once, and only while no other client does."""

    def __init__(self, folder: Path, command: Sequence[str] | None) -> None:
        self._folder = folder
        self._command = command
        self._lock: Any = None
        self._process: subprocess.Popen[bytes] | None = None
        self._has_started = False
        self._deadline = 0.0

    def __enter__(self) -> _Starter:  # noqa: PYI034  (Self is newer than Python 3.9)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def go_on(self) -> None:
        """
        Do the next thing that starts a backend.

        Raises:
            LinkError: it can't be started, or takes too long.
        """
        now = time.monotonic()
        if not self._deadline:
            self._deadline = now + START_S
            prepare_folder(self._folder)
        if self._process is None and self._has_lock():
            self._process = _start_detached(self._command or find_command(), self._folder)
            if not self._has_started:
                self._has_started, self._deadline = True, now + START_S
        code = None if self._process is None else self._process.poll()
        if code:
            raise _start_error(f"The backend ended at its start with code {code}.")
        if code == 0:
            self._process = None  # it found another that was about to go, or was idle too long
        if now > self._deadline:
            raise _start_error(f"The backend didn't start within {START_S:g} s.")

    def _has_lock(self) -> bool:
        """Take the lock that the one client holds that starts the backend."""
        if self._lock is None:
            try:
                self._lock = (self._folder / LOCK_NAME).open("ab")
            except OSError as error:
                raise _start_error(
                    f"The folder {self._folder} can't be written: {error.strerror}."
                ) from error
        return _try_lock(self._lock.fileno())


def _try_lock(descriptor: int) -> bool:
    """The system lets go of it when the file is closed, or its process ends in any way."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415  (only there)

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415  (only there)

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _start_detached(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start ``serve`` so that it lives on when this process ends."""
    environment = {name: value for name, value in os.environ.items() if name not in EDITORS_OWN}
    environment[FOLDER_VARIABLE] = str(folder)
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        process = subprocess.Popen(  # noqa: S603  (the user's own program)
            [*command, "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            start_new_session=True,
            creationflags=flags,
        )
    except OSError as error:
        raise _start_error(f"“{command[0]}” can't be started: {error.strerror}.") from error
    # Collects the process when it ends, as long as this one lives: no zombie stays.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def _start_error(sentence: str) -> LinkError:
    return LinkError("unreachable", sentence, "“smart-matte serve” in a terminal shows why.")

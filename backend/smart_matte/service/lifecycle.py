"""From the start of the broker's process to its end: one instance, its files, its limits."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import zmq
from filelock import FileLock, Timeout

from smart_matte import __version__
from smart_matte.service.broker import Broker
from smart_matte.service.clock import LoopClock
from smart_matte.service.log import default_folder, open_log
from smart_matte.service.memory import keep_freed_memory, use_one_heap
from smart_matte.service.sockets import Router
from smart_matte_link.authentication import new_token
from smart_matte_link.connection import (
    is_running,
    prepare_folder,
    read_connection,
    remove_connection,
    runtime_folder,
    write_connection,
)
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import SPECIFICATION, ConnectionInfo
from smart_matte_link.processes import start_of_process
from smart_matte_link.strict_json import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from smart_matte.service.settings import Settings

LOCK_NAME = "backend.lock"
SOCKET_NAME = "backend.sock"
IPC_PATH_MAX = 100
"""Bytes; the systems allow 103 to 107."""

DESCRIPTORS = 4096
"""Open files wanted: libzmq aborts when an ipc listener has none left."""

WINNER_S = 8.0
"""For the one that holds the lock to write its connection file."""

LOOK_AGAIN_S = 0.02
WORKER_COMMAND = (sys.executable, "-m", "smart_matte.service.worker")
LOOPBACK = ("127.0.0.1", "[::1]")

TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)

EXIT_FAILED = 1
EXIT_REFUSED = 78
"""EX_CONFIG of sysexits.h: what was asked for is not safe."""

LOG = logging.getLogger(__name__)


class ServeError(Exception):
    """The backend can't start; ``str(error)`` says why and what to do."""

    def __init__(self, sentence: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def serve(settings: Settings, worker_command: Sequence[str] = WORKER_COMMAND) -> int:
    """
    Be the backend, unless there is one.

    Args:
        settings: all figures.
        worker_command: starts a worker.

    Returns:
        The exit code of the process; 0 also where another backend runs.

    Raises:
        ServeError: it can't start.
    """
    check_endpoint(settings.endpoint)
    _limit_process()
    keep_freed_memory()
    use_one_heap()
    try:
        folder = runtime_folder()
        prepare_folder(folder)
    except LinkError as error:
        raise ServeError(str(error)) from error
    lock = _take_lock(folder)
    if lock is None:
        return 0
    with lock:
        return _serve_alone(folder, settings, worker_command)


def check_endpoint(endpoint: str) -> None:
    """
    Make sure that clients can only come from this machine.

    Args:
        endpoint: "" for the usual one, or "tcp://127.0.0.1:PORT" or "tcp://[::1]:PORT".

    Raises:
        ServeError: it is something else.
    """
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    is_port = port == "*" or (port.isascii() and port.isdecimal() and int(port) < 1 << 16)
    if endpoint and not (scheme == "tcp" and host in LOOPBACK and is_port):
        raise ServeError(
            f"The backend doesn't listen on {endpoint}: nothing would be encrypted. Use"
            " tcp://127.0.0.1:PORT, and for another machine an SSH tunnel to it.",
            EXIT_REFUSED,
        )


def _take_lock(folder: Path) -> FileLock | None:
    """
    Become the one backend; None where another is, and can be connected to.

    The system frees the lock with the process that holds it, whatever ends that.
    """
    lock = FileLock(folder / LOCK_NAME, mode=0o600)
    deadline = time.monotonic() + WINNER_S
    while True:
        try:
            return lock.acquire(timeout=0).lock
        except Timeout:
            pass
        except OSError as error:
            raise ServeError(f"{folder / LOCK_NAME} can't be locked: {error.strerror}.") from error
        winner = _running(folder)
        if winner:
            sys.stdout.write(f"A backend is running already: process {winner.pid}.\n")
            return None
        if time.monotonic() > deadline:
            raise ServeError(
                "Another backend is starting and doesn't get ready. End it and try again."
            )
        time.sleep(LOOK_AGAIN_S)


def _running(folder: Path) -> ConnectionInfo | None:
    with contextlib.suppress(LinkError):
        info = read_connection(folder)
        return info if info and is_running(info) else None
    return None


def _serve_alone(folder: Path, settings: Settings, worker_command: Sequence[str]) -> int:
    """Serve with the lock held."""
    log_file = open_log(
        (settings.log_folder or default_folder()) / "broker.log", on_terminal=_is_watched()
    )
    _remove_leftovers(folder)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with contextlib.ExitStack() as cleaning:
        # Last in, first out: first no client finds this backend any more, then it hangs up.
        cleaning.callback(context.term)
        routers = (
            cleaning.enter_context(
                _bound(context, settings.endpoint or _usual(folder, SOCKET_NAME))
            ),
            cleaning.enter_context(_bound(context, _usual(folder, _worker_socket_name()))),
        )
        signals = cleaning.enter_context(_caught_signals())
        info = _describe(routers[0].endpoint)
        broker = Broker(
            info, routers, LoopClock(), settings, worker_command=worker_command, log_file=log_file
        )
        cleaning.callback(broker.end)
        try:
            write_connection(folder, info)
        except (OSError, LinkError) as error:
            needed = len(to_json(info))
            raise ServeError(
                f"The connection file can't be written to {folder}, which needs {needed} bytes of"
                f" space there: {error}."
            ) from error
        cleaning.callback(remove_connection, folder, info)
        LOG.info("Smart Matte %s serves at %s", __version__, info.endpoint)
        try:
            code = broker.run(signals, lambda: _is_there(folder, info))
        except Exception:
            LOG.exception("the broker failed")  # a traceback without values
            raise
        LOG.info("the backend ends with %d", code)
    return code


def _describe(endpoint: str) -> ConnectionInfo:
    return ConnectionInfo(
        specification=SPECIFICATION,
        pid=os.getpid(),
        started=start_of_process(os.getpid()),
        endpoint=endpoint,
        token=new_token().hex(),
        backend_version=__version__,
        epoch=secrets.token_hex(16),
    )


def _is_there(folder: Path, info: ConnectionInfo) -> bool:
    try:
        return read_connection(folder) == info
    except LinkError as error:
        cause = error.__cause__
        return isinstance(cause, OSError) and cause.errno in TOO_MANY_OPEN  # nobody can tell now


def _worker_socket_name() -> str:
    return f"worker-{secrets.token_hex(4)}.sock"


def _usual(folder: Path, name: str) -> str:
    """Where to bind: in the private folder, or on a port of this machine where that can't be."""
    if not zmq.has("ipc"):
        return "tcp://127.0.0.1:*"
    path = str(folder / name)
    if len(os.fsencode(path)) > IPC_PATH_MAX:
        raise ServeError(
            f"The path {path} is too long for a socket; let SMART_MATTE_RUNTIME name a folder"
            " with a shorter one."
        )
    return f"ipc://{path}"


@contextlib.contextmanager
def _bound(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> Iterator[Router]:
    router = Router(context)
    path = endpoint.removeprefix("ipc://") if endpoint.startswith("ipc://") else None
    try:
        try:
            router.bind(endpoint)
            if path:
                os.chmod(path, 0o600)  # noqa: PTH101  (a text is at hand)
        except (zmq.ZMQError, OSError) as error:
            raise ServeError(f"The backend can't listen at {endpoint}: {error}.") from error
        yield router
    finally:
        router.close()
        if path:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108  (as above)


def _remove_leftovers(folder: Path) -> None:
    """With the lock held, whatever is here is of a backend that was killed."""
    for pattern in ("connection.json", ".connection.json.*", "*.sock"):
        for path in folder.glob(pattern):
            LOG.info("removing %s of a backend that was killed", path.name)
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def _caught_signals() -> Iterator[socket.socket]:
    """Gives the socket that a byte is written to for each signal; the poll loop wakes up by it."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        reading.close()
        writing.close()


def _limit_process() -> None:
    """No core dumps, files for the owner only, descriptors enough for a flood of connections."""
    os.umask(0o077)
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  (not on Windows)

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_watched() -> bool:
    """Whether somebody sits before a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()

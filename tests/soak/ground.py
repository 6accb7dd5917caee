"""What the programs about strangers stand on: a real broker, a fake worker, and a good client."""

import contextlib
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

sys.path.append(str(Path(__file__).parents[1] / "service"))

from broker_harness import Backend, running
from figures import Figure

from smart_matte_link.zmtp import GREETING, READY

MIB = 1 << 20
IPC, TCP = "", "tcp://127.0.0.1:*"
HANDSHAKE = GREETING + b"\x04" + bytes([len(READY)]) + READY
LONG, MORE, COMMAND = 2, 1, 4
LOOK_S = 0.01
PATIENCE_S = 10.0


@contextlib.contextmanager
def broker(endpoint: str = IPC, **settings: object) -> Iterator[Backend]:
    """A broker in a private folder; it has to be alive in the end."""
    with folder() as path, running(path, endpoint=endpoint, **settings) as backend:
        yield backend
        if backend.process.poll() is not None:
            sys.exit(f"the broker has died with {backend.process.returncode}")


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A private folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="soak-") as path:
        yield Path(path)


def connect(endpoint: str) -> socket.socket:
    """A socket that leads to a broker, on which nothing was said yet."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "ipc":
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(address)
    else:
        stranger = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
    stranger.settimeout(PATIENCE_S)
    return stranger


def push(stranger: socket.socket, data: bytes) -> None:
    """Send, to somebody who may hang up meanwhile."""
    with contextlib.suppress(ConnectionError):
        stranger.sendall(data)


def drain(stranger: socket.socket, until: float) -> tuple[bytes, bool]:
    """All that comes until a moment or the end; whether the other side has hung up."""
    heard = b""
    while (left := until - time.monotonic()) > 0:
        stranger.settimeout(left)
        try:
            part = stranger.recv(1 << 16)
        except TimeoutError:
            break
        except ConnectionError:
            return heard, True
        if not part:
            return heard, True
        heard += part
    return heard, False


def zmtp_frame(message: bytes, flags: int = 0) -> bytes:
    return bytes([flags | LONG]) + len(message).to_bytes(8) + message


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


class Peak(threading.Thread):
    """
    Looks at the memory of a process until it is told to stop.

    Attributes:
        first: bytes at the beginning.
        most: most bytes seen.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.first = self.most = resident_bytes(pid)
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            with contextlib.suppress(OSError, IndexError):  # the process has ended
                self.most = max(self.most, resident_bytes(self.pid))

    @property
    def growth(self) -> int:
        return self.most - self.first


def faults_in(log: str) -> int:
    """Lines that no client's doing may bring about."""
    return len(re.findall(r" (?:ERROR|CRITICAL) \d", log))


def mib(count: float) -> str:
    """A change of memory."""
    return f"{count / MIB:+.1f} MiB"


def is_served(goal: str, is_fine: bool) -> Figure:  # noqa: FBT001  (it is the figure)
    """The invariant of every block: a well-behaved client is served, and right."""
    return Figure(
        f"{goal} a good client is served, and right", "yes" if is_fine else "no", "yes", is_fine
    )

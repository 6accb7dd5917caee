"""Where faults are tried: a backend in a folder of its own, which its clients start."""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import soak_backend
from fault_requests import DEADLINE_S, WatchedClient
from soak_backend import children_of

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

from broker_harness import Backend, Raw, is_alive, running

from smart_matte_link.client import Client
from smart_matte_link.connection import ConnectionInfo, read_connection
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import MessageType
from smart_matte_link.starting import wait_until_gone

FAKE_WORKER = Path(__file__).parents[1] / "service" / "fake_worker.py"


class Place:
    """
    A runtime folder of its own, whose clients start the backend when they want it.

    Attributes:
        folder: where the backend is found.
        log_folder: where it logs.
        start_command: what starts it.
    """

    def __init__(self, worker: Path = FAKE_WORKER, **settings: object) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fault-"))
        self.folder, self.log_folder = self.root / "run", self.root / "log"
        self.folder.mkdir(mode=0o700)
        self.log_folder.mkdir(mode=0o700)
        program = [sys.executable, soak_backend.__file__, str(worker)]
        self.start_command = [*program, json.dumps(settings), str(self.log_folder)]

    @property
    def info(self) -> ConnectionInfo | None:
        return read_connection(self.folder)

    def client(self, *, start: bool = True) -> WatchedClient:
        command = self.start_command if start else None
        return WatchedClient("faults", "0", start=start, start_command=command, folder=self.folder)

    def broker(self) -> int:
        """Process id; 0 when none runs."""
        info = self.info
        return info.pid if info and is_alive(info.pid) else 0

    def worker(self) -> int:
        """Process id; 0 when none runs."""
        workers = [pid for pid in children_of(self.broker() or -1) if is_alive(pid)]
        return workers[0] if workers else 0

    def wait_for_worker(self, client: Client) -> None:
        """Return when a worker is there that does nothing."""
        until = time.monotonic() + DEADLINE_S
        while [worker.state for worker in client.status().workers] != ["idle"]:
            if time.monotonic() > until:
                raise TimeoutError("no worker got ready")
            time.sleep(0.01)

    def log(self) -> str:
        return (self.log_folder / "broker.log").read_text()

    def close(self) -> None:
        info = self.info
        if info:
            with contextlib.suppress(LinkError), self.client(start=False) as client:
                client.shutdown(0)
            if not wait_until_gone(self.folder, info, 1):
                os.kill(info.pid, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)


@contextlib.contextmanager
def place(worker: Path = FAKE_WORKER, **settings: object) -> Iterator[Place]:
    here = Place(worker, **settings)
    try:
        yield here
    finally:
        here.close()


@contextlib.contextmanager
def own_backend(here: Place) -> Iterator[Backend]:
    """A backend that no client started: a child of this process, whose exit code it hears."""
    with running(here.folder) as backend:
        yield backend


@contextlib.contextmanager
def occupied(here: Place) -> Iterator[None]:
    """Somebody else's job keeps the worker busy for a while."""
    with Raw(here).greet() as raw:
        job = raw.begin(seconds=0.4)
        raw.upload(job)
        raw.expect(MessageType.PROGRESS, job)
        yield


def in_lanes(tries: int, lanes: int, seed: str, lane: Callable[[Random, int], list]) -> list:
    """Share *tries* among threads; each has a random generator, and a place, of its own."""
    found, errors = [], []

    def run(number: int) -> None:
        count = tries // lanes + (number < tries % lanes)
        try:
            found.extend(lane(Random(f"{seed}/{number}"), count))  # noqa: S311  (to be repeated)
        except BaseException as error:  # noqa: BLE001  (told when all have ended)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found


def seconds_until(condition: Callable[[], object], timeout_s: float = 30.0) -> float:
    """How long it takes to become true; *timeout_s* when it doesn't."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            return timeout_s
        time.sleep(0.005)
    return time.monotonic() - began

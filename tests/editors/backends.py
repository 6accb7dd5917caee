"""Backends for editors to talk to, outside the root: the real one, and one that follows orders."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from editor_worker import BEHAVIOUR
from programs import wait_for

from smart_matte_link.client import Client
from smart_matte_link.connection import read_connection

START_S = 30.0
STOP_S = 15.0
REAL = ("-m", "smart_matte.service")
FAKE = (str(Path(__file__).with_name("editor_worker.py")), "serve")


class EditorBackend:
    """
    A broker that runs.

    Attributes:
        folder: its runtime folder.
        env: what leads a plug-in to it, for gimp.batch, krita.script, …, and what a backend that
            is started in its place needs.
        process: the broker's.
        orders: the file that ``order`` writes; a batch inside may do it as well.
    """

    def __init__(self, folder: Path, command: tuple[str, ...]) -> None:
        self.folder = folder / "run"
        self.folder.mkdir(mode=0o700)
        self.orders = folder / "behaviour.json"
        self.env = {"SMART_MATTE_RUNTIME": str(self.folder), BEHAVIOUR: str(self.orders)}
        own = {
            "SMART_MATTE_WEIGHTS": str(folder / "weights"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603  (our own program)
                [sys.executable, *command],
                env={**os.environ, **self.env, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._is_up, "the backend starts", START_S)

    def client(self) -> Client:
        """A client of the test's own."""
        return Client("test", "0", start=False, folder=self.folder)

    def worker_pid(self) -> int:
        """The process that computes, as soon as there is one."""

        def find() -> int:
            with self.client() as client:
                workers = client.status().workers
            return next((w.pid for w in workers if w.state in {"idle", "busy"}), 0)

        return wait_for(find, "a worker is there", START_S)

    def jobs_running(self) -> int:
        """How many jobs it computes just now."""
        with self.client() as client:
            return client.status().jobs_running

    def order(self, **orders: Any) -> None:
        """From now on every job has these options on top; only of the one that follows orders."""
        part = self.orders.with_suffix(".new")
        part.write_text(json.dumps(orders))
        part.rename(self.orders)

    def seen(self) -> list[dict[str, Any]]:
        """The jobs that came: planes, outputs, options; only of the one that follows orders."""
        file = self.orders.with_name("seen.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def came(self, number: int) -> bytes:
        """The pixels of a job of ``seen``, plane after plane; none where it wasn't answered."""
        file = self.orders.with_name(f"came-{number}")
        return file.read_bytes() if file.exists() else b""

    def stop(self) -> None:
        """End it, gently at first."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        info = read_connection(self.folder)
        return info is not None and info.pid == self.process.pid


@contextmanager
def running(command: tuple[str, ...]) -> Iterator[EditorBackend]:
    """A backend of its own; its path is short, for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="backend-"))
    backend = EditorBackend(folder, command)
    try:
        yield backend
    finally:
        backend.stop()
        shutil.rmtree(folder, ignore_errors=True)

"""The real broker with a worker of the soak: ``soak_backend.py WORKER SETTINGS_AS_JSON LOG``."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from smart_matte.service.lifecycle import serve
from smart_matte.service.settings import Settings
from smart_matte_link.client import Client
from smart_matte_link.connection import read_connection

HERE = Path(__file__).parent
START_S = 20.0


class Backend:
    """
    A broker in folders of its own.

    Attributes:
        runtime: where it is found.
        temporary: what it and its worker take for the temporary folder.
        ledger: what its workers write to.
        process: the broker.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self.runtime = folder / "run"
        self.temporary = folder / "tmp"
        self.ledger = folder / "ledger"
        self.log_folder = folder / "log"
        for path in (self.runtime, self.temporary, self.log_folder):
            path.mkdir(mode=0o700)
        self.ledger.touch()
        settings = {"worker_settings": {"ledger": str(self.ledger)}}
        self.process = subprocess.Popen(  # noqa: S603  (our own script)
            [sys.executable, __file__, HERE / worker, json.dumps(settings), self.log_folder],
            env={
                **os.environ,
                "SMART_MATTE_RUNTIME": str(self.runtime),
                "TMPDIR": str(self.temporary),
            },
            stdin=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Return when it can be connected to."""
        until = time.monotonic() + START_S
        while read_connection(self.runtime) is None:
            if self.process.poll() is not None or time.monotonic() > until:
                sys.exit("the backend did not start")
            time.sleep(0.02)

    def client(self, name: str) -> Client:
        return Client(name, "0", start=False, folder=self.runtime)

    def children(self) -> list[int]:
        """Ids of its processes: of its worker, as a rule."""
        return children_of(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def children_of(pid: int) -> list[int]:
    """Ids of a process's own processes; none when it is gone."""
    lines = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
                lines.append((task / "children").read_text())
    return [int(child) for line in lines for child in line.split()]


@contextlib.contextmanager
def running(worker: str) -> Iterator[Backend]:
    """A backend whose worker is the named script of this folder."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        backend = Backend(Path(folder), worker)
        try:
            backend.wait()
            yield backend
        finally:
            backend.stop()


def main() -> int:
    worker, settings, log_folder = sys.argv[1:4]  # clients that start it add the word "serve"
    values = json.loads(settings)
    return serve(Settings(**values, log_folder=Path(log_folder)), (sys.executable, worker))


if __name__ == "__main__":
    sys.exit(main())

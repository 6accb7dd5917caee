"""
How soon the broker answers while 1.6 GB are on their way to its worker (L5).

As a program it is who sends them: ``large_answers.py RUNTIME_FOLDER`` sends one picture after the
other, and cancels each when it is all there, until it is ended; for each chunk it says a byte.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import ground  # noqa: F401  (finds the harness of tests/service)
from broker_harness import Raw
from figures import Figure
from large_pictures import Picture
from soak_backend import Backend

from smart_matte_link.client import Client
from smart_matte_link.connection import read_connection
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import CHUNK_BYTES_MAX, Cancel, MessageType, Output, Ping, Status

PINGS, OTHERS = 2000, 200
PAUSE_S = 0.005
"""Between questions, so that they come all through an upload and aren't most of the load."""

IDLE_MS, UPLOAD_MS = 50, 150


def send_for_ever(runtime: Path) -> None:
    with Client("large", "0", start=False, folder=runtime) as client:
        while True:
            picture, is_sent = Picture("f32"), threading.Event()

            def chunks(picture=picture, is_sent=is_sent) -> Iterator[bytes]:
                for chunk in picture.chunks():
                    yield chunk
                    os.write(sys.stdout.fileno(), b".")
                is_sent.set()

            planes = [(picture.plane, chunks())]
            try:
                client.cutout(planes, [Output("alpha", "GRAY", "u8")], {}, Wishes(cancel=is_sent))
            except LinkError as error:
                if error.code != "cancelled":
                    raise


class Asker:
    """One connection, and how long it waited for each answer, in ms."""

    def __init__(self, backend: Backend) -> None:
        self._raw = Raw(SimpleNamespace(info=read_connection(backend.runtime)))
        self._raw.greet()
        self.waits: dict[str, list[float]] = {"PING": [], "STATUS": [], "CANCEL": []}

    def ask(self) -> None:
        for number in range(PINGS):
            time.sleep(PAUSE_S)
            self._time("PING", lambda number=number: self._ping(number))
            if number % (PINGS // OTHERS) == 0:
                self._time("STATUS", self._status)
                job = self._raw.begin()
                self._raw.expect(MessageType.PROGRESS, job)
                self._time("CANCEL", lambda job=job: self._cancel(job))
        self._raw.close()

    def _time(self, what: str, task: Callable[[], None]) -> None:
        started = time.perf_counter()
        task()
        self.waits[what].append(1000 * (time.perf_counter() - started))

    def _ping(self, number: int) -> None:
        self._raw.send(Ping(number))
        assert self._raw.expect(MessageType.PONG).body.number == number

    def _status(self) -> None:
        self._raw.send(Status())
        self._raw.expect(MessageType.STATUS_REPLY)

    def _cancel(self, job: bytes) -> None:
        self._raw.send(Cancel(), job)
        self._raw.expect_error("cancelled", job)


def judge(backend: Backend) -> Iterator[Figure]:
    idle = Asker(backend)
    idle.ask()
    yield from describe("idle", idle, IDLE_MS)
    sent_bytes, busy = ask_during_upload(backend)
    yield from describe(f"while {sent_bytes / 1e9:.1f} GB were uploaded", busy, UPLOAD_MS)


def ask_during_upload(backend: Backend) -> tuple[int, Asker]:
    """Ask all questions, and count the bytes that another process sent meanwhile."""
    command = (sys.executable, __file__, str(backend.runtime))
    with tempfile.TemporaryFile() as sent, subprocess.Popen(command, stdout=sent) as sender:  # noqa: S603  (ours)
        try:
            while not os.fstat(sent.fileno()).st_size:
                time.sleep(0.05)
            before = os.fstat(sent.fileno()).st_size
            asker = Asker(backend)
            asker.ask()
            after = os.fstat(sent.fileno()).st_size
            if sender.poll() is not None:
                sys.exit("the upload ended before the questions did")
        finally:
            sender.kill()
    return (after - before) * CHUNK_BYTES_MAX, asker


def describe(when: str, asker: Asker, goal_ms: int) -> Iterator[Figure]:
    for what, unsorted in asker.waits.items():
        waits = sorted(unsorted)
        p99 = waits[len(waits) * 99 // 100]
        yield Figure(
            f"answers to {len(waits)} {what}, {when}: p99",
            f"{p99:.1f} ms (median {waits[len(waits) // 2]:.1f}, slowest {waits[-1]:.0f})",
            f"<= {goal_ms}",
            p99 <= goal_ms,
        )


if __name__ == "__main__":
    send_for_ever(Path(sys.argv[1]))

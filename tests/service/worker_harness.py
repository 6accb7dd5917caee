"""The broker's end of a worker, played by the test: starts one process and talks to it."""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zmq

from smart_matte_link.envelope import NO_JOB, Message, Numbering, chunk_header, decode, encode
from smart_matte_link.messages import (
    PROTOCOL_MAX,
    Begin,
    End,
    Error,
    Facts,
    Grant,
    MessageType,
    Output,
    Ping,
    Plane,
    Progress,
    Result,
    new_job_id,
    sent_by,
)

REAL = (sys.executable, "-m", "smart_matte.service.worker")
FAKE = (sys.executable, str(Path(__file__).with_name("fake_compute_worker.py")))
PATIENCE_S = 120.0
SAMPLE_TYPES = {"u8": "<u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}
CHANNELS = {"GRAY": 1, "GRAYA": 2, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}


@dataclass
class Answer:
    """All that a worker said about a job."""

    end: Result | Error
    data: bytes = b""
    progress: list[Progress] = field(default_factory=list)
    chunks: int = 0

    @property
    def result(self) -> Result:
        assert isinstance(self.end, Result), self.end
        return self.end

    @property
    def error(self) -> Error:
        assert isinstance(self.end, Error), self.end
        return self.end

    def planes(self) -> dict[str, np.ndarray]:
        """The result's planes by role, as they lay on the wire."""
        found, offset = {}, 0
        for plane in self.result.planes:
            data = self.data[offset : offset + plane.byte_count]
            shape = (plane.height, plane.width, CHANNELS[plane.order])
            found[plane.role] = np.frombuffer(data, SAMPLE_TYPES[plane.sample]).reshape(shape)
            offset += plane.byte_count
        assert offset == len(self.data)
        return found


class Harness:
    """One worker process and the ROUTER that it is connected to."""

    def __init__(
        self,
        command: Sequence[str] = REAL,
        **start: object,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sm")
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.ZAP_DOMAIN, b"test")
        endpoint = f"ipc://{self._folder.name}/worker.sock"
        self.socket.bind(endpoint)
        self.identity = secrets.token_hex(32)
        self.sent, self.came = Numbering(), Numbering()
        self.facts: list[Facts] = []
        self.process = subprocess.Popen(  # noqa: S603  (ours)
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        line = {"endpoint": endpoint, "identity": self.identity, **start}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.socket.close()
        self.context.term()
        self._folder.cleanup()

    def send_frame(self, *frames: bytes) -> None:
        self.socket.send_multipart([self.identity.encode(), *frames])

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        self.send_frame(encode(body, self.sent.take(job), job))

    def send_chunk(self, data: bytes, job: bytes) -> None:
        self.send_frame(chunk_header(data, self.sent.take(job), job) + data)

    def receive(self, timeout_s: float = PATIENCE_S) -> Message | None:
        """The next message; None when none comes in time."""
        until_s = time.monotonic() + timeout_s
        while not self.socket.poll(min(200, 1000 * timeout_s)):
            if self.process.poll() is not None and not self.socket.poll(0):
                assert self.process.stderr is not None
                raise AssertionError(f"the worker has ended: {self.process.stderr.read()!r}")
            if time.monotonic() > until_s:
                return None
        identity, frame = self.socket.recv_multipart()
        assert identity == self.identity.encode()
        message = decode(frame, sent_by("worker"), PROTOCOL_MAX)
        self.came.check(message)
        if message.type is MessageType.FACTS:
            self.facts.append(message.body)
        return message

    def wait_for(self, kind: MessageType, timeout_s: float = PATIENCE_S) -> Message:
        """The next message of one type; what comes before is dropped."""
        until_s = time.monotonic() + timeout_s
        while (left_s := until_s - time.monotonic()) > 0:
            message = self.receive(left_s)
            if message is not None and message.type is kind:
                return message
        raise AssertionError(f"no {kind.name} came within {timeout_s} s")

    def ping(self, number: int = 1) -> float:
        """Seconds until the pong."""
        started_s = time.monotonic()
        self.send(Ping(number))
        assert self.wait_for(MessageType.PONG).body.number == number
        return time.monotonic() - started_s

    def upload(self, begin: object, data: bytes, job: bytes, chunk_bytes: int = 5000) -> None:
        """Begin a job and send all its bytes as the worker grants credit."""
        self.send(begin, job)
        credit = 0
        for start in range(0, len(data), chunk_bytes):
            while credit == 0:
                message = self.wait_for(MessageType.GRANT)
                credit += message.body.chunks
            credit -= 1
            self.send_chunk(data[start : start + chunk_bytes], job)
        self.send(End(len(data)), job)

    def listen(self, job: bytes, credit: int = 2) -> Answer:
        """All until the job's end, with never more than *credit* chunks allowed ahead."""
        answer = Answer(Error("none", ""))
        while True:
            message = self.receive()
            assert message is not None, "the worker fell silent"
            if message.job != job:
                continue
            if message.type is MessageType.PROGRESS:
                answer.progress.append(message.body)
            elif message.type is MessageType.RESULT:
                answer.end = message.body
                self.send(Grant(credit), job)
            elif message.type is MessageType.CHUNK:
                answer.data += message.body
                answer.chunks += 1
                with suppress(zmq.ZMQError):  # it may have gone after its last chunk
                    self.send(Grant(1), job)
            elif message.type in {MessageType.END, MessageType.ERROR}:
                if message.type is MessageType.END:
                    assert message.body.byte_count == len(answer.data)
                else:
                    answer.end = message.body
                self.sent.forget(job)
                self.came.forget(job)
                return answer

    def run(self, begin: object, data: bytes = b"", job: bytes | None = None) -> Answer:
        """A whole job, from begin or refine to its end."""
        job = job or new_job_id()
        if isinstance(begin, Begin):
            self.upload(begin, data, job)
        else:
            self.send(begin, job)
        return self.listen(job)


@contextmanager
def started(command: Sequence[str] = REAL, **start: Any) -> Iterator[Harness]:
    """A worker that has said hello."""
    with Harness(command, **start) as harness:
        harness.wait_for(MessageType.FACTS)
        yield harness


def image_plane(
    image: np.ndarray, order: str, *, role: str = "image", encoding: str = "srgb"
) -> Plane:
    sample = {np.dtype(name): sample for sample, name in SAMPLE_TYPES.items()}[image.dtype]
    return Plane(role, image.shape[1], image.shape[0], order, sample, encoding)


def small_job(
    *classes: str,
    outputs: tuple[Output, ...] = (Output("alpha", "GRAY", "u8"),),
    size: tuple[int, int] = (8, 6),
    **fields: Any,
) -> tuple[Begin, bytes]:
    """A job for the fake: a gray picture and a selection of its left half."""
    width, height = size
    image = np.arange(width * height, dtype=np.uint8).reshape(height, width)
    selection = np.zeros((height, width), np.uint8)
    selection[:, : width // 2] = 255
    planes = (
        image_plane(image, "GRAY"),
        image_plane(selection, "GRAY", role="selection", encoding="coverage"),
    )
    options = {"classes": list(classes)} if classes else {}
    begin = Begin(planes, outputs, **({"options": options} | fields))
    return begin, image.tobytes() + selection.tobytes()

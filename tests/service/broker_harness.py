"""A real broker with fake workers in processes of their own, and a client that may misbehave."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import zmq

from smart_matte_link.authentication import Exchange, compute_proof, new_nonce
from smart_matte_link.client import Client
from smart_matte_link.connection import is_running, read_connection
from smart_matte_link.envelope import NO_JOB, Message, Numbering, chunk_header, decode, encode
from smart_matte_link.job import Answer, Wishes
from smart_matte_link.messages import (
    Begin,
    Challenge,
    ConnectionInfo,
    End,
    Grant,
    Hello,
    MessageType,
    Output,
    Plane,
    Proof,
    new_job_id,
)

RUN_BROKER = Path(__file__).with_name("run_broker.py")
START_S = 20.0
PATIENCE_S = 10.0
IMAGE = Plane("image", 8, 4, "RGBA", "u8", "srgb")
OUTPUTS = (Output("alpha", "GRAY", "u8"), Output("foreground", "RGBA", "u8"))
PIXELS = bytes(range(128))
HELLO = Hello(1, 1, "", "test", "0")


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


def start_process(
    folder: Path, command: Sequence[str] | None = None, **settings: object
) -> subprocess.Popen:
    usual = (sys.executable, str(RUN_BROKER), json.dumps(settings), str(folder / "log"))
    return subprocess.Popen(  # noqa: S603  (our own script)
        command or usual,
        env={**os.environ, "SMART_MATTE_RUNTIME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


class Backend:
    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.process = start_process(folder, **settings)
        try:
            wait_until(self.is_up, START_S)
        except AssertionError:
            self.process.kill()
            raise AssertionError(self.process.stderr.read().decode()) from None

    def is_up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError
        info = read_connection(self.folder)
        return info is not None and info.pid == self.process.pid

    @property
    def info(self) -> ConnectionInfo:
        return read_connection(self.folder)

    def client(self) -> Client:
        return Client("test", "0", start=False, folder=self.folder)

    def status(self):
        with self.client() as client:
            return client.status()

    def worker_pid(self) -> int:
        """Of a worker that is ready."""
        wait_until(lambda: [w for w in self.status().workers if w.state in {"idle", "busy"}])
        return self.status().workers[0].pid

    def is_healthy(self) -> bool:
        """A good client gets the right answer."""
        with self.client() as client:
            return is_right(cutout(client))

    def log(self) -> str:
        return (self.folder / "log" / "broker.log").read_text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def running(folder: Path, **settings: object) -> Iterator[Backend]:
    backend = Backend(folder, **settings)
    try:
        yield backend
    finally:
        backend.stop()


def cutout(client: Client, *, keep: bool = False, deadline_s=None, **options: object) -> Answer:
    planes = [(IMAGE, PIXELS)]
    return client.cutout(planes, OUTPUTS, options, Wishes(deadline_s=deadline_s), keep=keep)


def is_right(answer: Answer) -> bool:
    """Whether the fake worker's answer came to PIXELS, whole."""
    alpha = bytes([sum(PIXELS) % 256]) * 32
    foreground = bytes(answer.planes["foreground"].pixels)
    return foreground == PIXELS and bytes(answer.planes["alpha"].pixels) == alpha


class Raw:
    """A client that says whatever the test wants, on libzmq's own DEALER."""

    def __init__(self, backend: Backend, identity: bytes | None = None) -> None:
        self.info = backend.info
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE_S * 1000))
        if identity:
            self.socket.setsockopt(zmq.ROUTING_ID, identity)
        self.socket.connect(self.info.endpoint)
        self.sent, self.came = Numbering(), Numbering()
        self.agreed: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        self.socket.send(encode(body, self.sent.take(job), job))

    def send_chunk(self, pixels: bytes, job: bytes) -> None:
        self.socket.send(chunk_header(pixels, self.sent.take(job), job) + pixels)

    def receive(self, timeout_s: float = PATIENCE_S) -> Message | None:
        if not self.socket.poll(int(timeout_s * 1000)):
            return None
        frames = self.socket.recv_multipart()
        assert len(frames) == 1
        message = decode(frames[0], protocol=self.agreed)
        self.came.check(message)
        return message

    def expect(self, kind: MessageType, job: bytes | None = None) -> Message:
        """The next message of a kind; progress and life signs in between don't matter."""
        while True:
            message = self.receive()
            assert message is not None, f"no {kind.name} came"
            if message.type is kind and job in {None, message.job}:
                return message
            assert message.type in {
                MessageType.PROGRESS,
                MessageType.PING,
                MessageType.GRANT,
                MessageType.CHUNK,
                MessageType.RESULT,
            }, message

    def expect_error(self, code: str, job: bytes = NO_JOB) -> Message:
        message = self.expect(MessageType.ERROR, job)
        assert message.body.code == code, message.body
        return message

    def say_hello(self, hello: Hello = HELLO) -> Exchange:
        hello = replace(hello, nonce=new_nonce())
        self.send(hello)
        challenge: Challenge = self.expect(MessageType.CHALLENGE).body
        exchange = Exchange(hello.nonce, challenge.nonce, self.info.endpoint)
        token = bytes.fromhex(self.info.token)
        assert challenge.proof == compute_proof(token, "backend", exchange)
        return exchange

    def prove(self, exchange: Exchange) -> None:
        token = bytes.fromhex(self.info.token)
        self.send(Proof(compute_proof(token, "client", exchange)))

    def greet(self) -> Self:
        self.prove(self.say_hello())
        self.agreed = self.expect(MessageType.WELCOME).body.protocol
        return self

    def begin(
        self, image: Plane = IMAGE, *, keep: bool = False, deadline_s=None, **options
    ) -> bytes:
        job = new_job_id()
        self.send(Begin((image,), OUTPUTS, options, deadline_s, keep), job)
        return job

    def upload(self, job: bytes, pixels: bytes = PIXELS) -> None:
        self.expect(MessageType.GRANT, job)
        self.send_chunk(pixels, job)
        self.send(End(len(pixels)), job)

    def download(self, job: bytes) -> bytes:
        self.expect(MessageType.RESULT, job)
        self.send(Grant(1000), job)
        pixels = b""
        while True:
            message = self.receive()
            assert message is not None
            if message.job == job and message.type is MessageType.CHUNK:
                pixels += message.body
            elif message.job == job and message.type is MessageType.END:
                return pixels


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected doesn't."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in {"Z", "X"}
    return False


def is_backend_running(folder: Path) -> bool:
    info = read_connection(folder)
    return info is not None and is_running(info)

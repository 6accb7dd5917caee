"""A backend that follows a script: real libzmq, real messages, no computing."""

import contextlib
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from smart_matte_link.authentication import Exchange, compute_proof, is_proof, new_nonce, new_token
from smart_matte_link.connection import remove_connection, write_connection
from smart_matte_link.envelope import (
    FRAME_BYTES_MAX,
    NO_JOB,
    Message,
    Numbering,
    chunk_header,
    decode,
    encode,
)
from smart_matte_link.messages import (
    CHUNK_BYTES_MAX,
    JOB_BYTES_MAX,
    PIXELS_MAX,
    PROTOCOL_MAX,
    SPECIFICATION,
    Begin,
    Challenge,
    ConnectionInfo,
    Draining,
    End,
    Error,
    Grant,
    Limits,
    MessageType,
    Plane,
    Pong,
    Progress,
    Refine,
    Result,
    StatusReply,
    Upgrade,
    Welcome,
    choose_protocol,
    make_error,
    sent_by,
)
from smart_matte_link.processes import start_of_process

EPOCH = "ab" * 16
CREDIT = 8


class Line:
    """What belongs to one client's connection."""

    def __init__(self) -> None:
        self.sent, self.received = Numbering(), Numbering()
        self.exchange = Exchange("", "", "")
        self.protocol: int | None = None


class FakeBackend:
    """
    Many may connect, one may have a job; tests override the ``on_...`` method they are about.

    A cut-out's alpha is its selection (or zeros), its foreground the image, its trimap all 128.
    """

    lease_s = 6.0
    chunk_bytes = CHUNK_BYTES_MAX
    version = "1.0"

    def __init__(self, folder: Path, endpoint: str | None = None) -> None:
        self.folder = folder
        self.token = new_token()
        self.seen: list[MessageType] = []
        self.kept: Begin | None = None
        self.pixel_bytes = 0
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ZAP_DOMAIN, b"smart-matte")
        self.socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.bind(endpoint or f"ipc://{folder}/s")
        self.endpoint = self.socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        self.info = ConnectionInfo(
            SPECIFICATION,
            os.getpid(),
            start_of_process(os.getpid()),
            self.endpoint,
            self.token.hex(),
            self.version,
            EPOCH,
        )
        self._ended: set[bytes] = set()
        self._lines: dict[bytes, Line] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        write_connection(self.folder, self.info)
        return self.serve()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def serve(self) -> Self:
        """Answer, without telling anybody by a connection file."""
        self._thread.start()
        return self

    def die(self) -> None:
        """Hang up without a word; the thread ends after the message it is at."""
        self.socket.close(0)
        self._stop.set()

    # What tests override -------------------------------------------------------------------

    def on_hello(self, message: Message) -> None:
        hello = message.body
        self.line.protocol = choose_protocol(hello.protocol_min, hello.protocol_max)
        exchange = self.line.exchange = Exchange(hello.nonce, new_nonce(), self.endpoint)
        self.send(Challenge(exchange.backend_nonce, compute_proof(self.token, "backend", exchange)))

    def on_proof(self, message: Message) -> None:
        if not is_proof(message.body.proof, self.token, "client", self.line.exchange):
            self.send(make_error("not_authorised", "Wrong token."))
        elif self.line.protocol is None:
            self.send(Upgrade(1, 1, self.version, "client"))
        else:
            self.send(self.welcome())

    def on_begin(self, message: Message) -> None:
        self.begin: Begin = message.body
        self.pixels = bytearray()
        self.send(Progress("queued", 0, 2), message.job)
        self.send(Grant(CREDIT), message.job)

    def on_chunk(self, message: Message) -> None:
        self.pixels += message.body
        self.send(Grant(1), message.job)

    def on_end(self, message: Message) -> None:
        assert message.body.byte_count == self.begin.byte_count
        if len(self.pixels) != self.begin.byte_count:
            return  # the test ignores chunks: there is nothing to compute with
        self.kept = self.begin if self.begin.keep else None
        self.send_result(message.job)

    def on_refine(self, message: Message) -> None:
        refine: Refine = message.body
        if self.kept is None:
            self.send(make_error("not_kept", "It is gone."), message.job)
            return
        self.begin = Begin(self.kept.planes, refine.outputs, refine.options, keep=True)
        self.send_result(message.job)

    def on_grant(self, message: Message) -> None:
        self.credit += message.body.chunks
        while self.credit and self.outgoing:
            chunk = self.outgoing.pop(0)
            self.credit -= 1
            self.send_chunk(chunk, message.job)
            if not self.outgoing:
                self.send(End(self.result_bytes), message.job)

    def on_cancel(self, message: Message) -> None:
        self.send(make_error("cancelled", "Cancelled."), message.job)

    def on_ping(self, message: Message) -> None:
        self.send(Pong(message.body.number))

    def on_status(self, _: Message) -> None:
        self.send(
            StatusReply(self.version, 1, EPOCH, os.getpid(), 1.5, "running", 1, 0, 0, 0, "/log")
        )

    def on_shutdown(self, _: Message) -> None:
        self.send(Draining("shutdown"))
        remove_connection(self.folder, self.info)
        self._stop.set()

    # What they use -------------------------------------------------------------------------

    def welcome(self) -> Welcome:
        limits = Limits(self.chunk_bytes, PIXELS_MAX, JOB_BYTES_MAX, 4, self.lease_s)
        return Welcome(PROTOCOL_MAX, self.version, EPOCH, limits, ("refine",))

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        if isinstance(body, Error) and job != NO_JOB:
            self._ended.add(job)
        self.send_frame(encode(body, self.line.sent.take(job), job))

    def send_chunk(self, pixels: bytes, job: bytes) -> None:
        self.send_frame(chunk_header(pixels, self.line.sent.take(job), job) + pixels)

    def send_frame(self, frame: bytes) -> None:
        with contextlib.suppress(zmq.ZMQError):  # the client may have hung up
            self.socket.send_multipart([self.peer, frame])

    def send_result(self, job: bytes, **changes: object) -> None:
        planes, pixels = self.compute()
        self.send(Progress("matting", 0.5), job)
        fields = {"planes": planes, "report": {"device": "cpu"}, "epoch": EPOCH}
        self.send(Result(**(fields | {"kept": self.begin.keep} | changes)), job)  # type: ignore[arg-type]
        self.result_bytes = len(pixels)
        self.credit = 0
        size = self.chunk_bytes
        self.outgoing = [pixels[start : start + size] for start in range(0, len(pixels), size)]

    def compute(self) -> tuple[tuple[Plane, ...], bytes]:
        """The planes that were asked for, and their bytes one after the other."""
        inputs, start = {}, 0
        for plane in self.begin.planes:
            inputs[plane.role] = bytes(self.pixels[start : start + plane.byte_count])
            start += plane.byte_count
        image = self.begin.planes[0]
        planes, pixels = [], b""
        for output in self.begin.outputs:
            encoding = image.encoding if output.role == "foreground" else "coverage"
            plane = Plane(
                output.role, image.width, image.height, output.order, output.sample, encoding
            )
            if output.role == "foreground":
                pixels += inputs["image"]
            elif output.role == "alpha" and "selection" in inputs:
                pixels += inputs["selection"]
            else:
                pixels += b"\x80" * plane.byte_count
            planes.append(plane)
        return tuple(planes), pixels

    def _serve(self) -> None:
        try:
            while not self._stop.is_set():
                if self.socket.poll(20):
                    self._take(*self.socket.recv_multipart())
        finally:
            if not self.socket.closed:
                self.socket.close(1000)
            self._context.term()

    def _take(self, peer: bytes, frame: bytes) -> None:
        message = decode(frame, sent_by("client"), PROTOCOL_MAX)
        self.peer = peer
        self.line = self._lines.setdefault(peer, Line())
        self.seen.append(message.type)
        if message.type is MessageType.CHUNK:
            self.pixel_bytes += len(message.body)
        self.line.received.check(message)
        if message.job in self._ended:
            return
        name = f"on_{message.type.name.lower()}"
        getattr(self, name, lambda _: None)(message)


def wait_for(condition: object, timeout_s: float = 5) -> bool:
    """Whether a callable becomes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False

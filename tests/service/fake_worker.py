"""
A worker that computes nothing, quickly, and misbehaves on request.

``options`` of a job: {"do": one of the words below, "seconds": how long it computes}.
What it is told on its first line may hold {"at_start": "die" | "silent"}.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field

import zmq

from smart_matte_link.envelope import (
    HEADER_BYTES,
    NO_JOB,
    Message,
    Numbering,
    chunk_header,
    decode,
    decode_header,
    encode,
)
from smart_matte_link.messages import (
    PROTOCOL_MAX,
    Begin,
    Device,
    End,
    Facts,
    Grant,
    MessageType,
    Model,
    Output,
    Plane,
    Pong,
    Progress,
    Refine,
    Result,
    make_error,
    sent_by,
)
from smart_matte_link.strict_json import ProtocolError

FROM_BROKER = sent_by("broker")
CHUNK = 256 * 1024
PROGRESS_S = 0.05


@dataclass
class Task:
    job: bytes
    image: Plane
    outputs: tuple[Output, ...]
    options: dict
    keep: bool = False
    pixels: bytearray = field(default_factory=bytearray)
    until: float | None = None
    chunks: list[bytes] | None = None
    credit: int = 0
    sent_bytes: int = 0

    @property
    def do(self) -> str:
        return self.options.get("do", "")


class FakeWorker:
    def __init__(self, first_line: dict) -> None:
        self.at_start = first_line.get("at_start", "")
        if self.at_start == "die":
            sys.exit("dies at its start")
        self.socket = zmq.Context().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, first_line["identity"].encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(first_line["endpoint"])
        self.sent, self.came = Numbering(), Numbering()
        self.task: Task | None = None
        self.kept: dict[bytes, Task] = {}
        self.is_loaded = False
        if self.at_start != "silent":
            self.tell_facts()

    def tell_facts(self) -> None:
        self.send(
            Facts(
                os.getpid(),
                "cpu",
                (Device("cpu", "a fake"),),
                (Model("fake", "matter", is_installed=True, is_loaded=self.is_loaded),),
                123,
                {"fake": "1"},
            )
        )

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        self.socket.send(encode(body, self.sent.take(job), job))

    def run(self) -> None:
        while True:
            if self.socket.poll(10):
                self.read()
            self.go_on()

    def read(self) -> None:
        frame = self.socket.recv()
        try:
            message = decode(frame, FROM_BROKER, PROTOCOL_MAX)
        except ProtocolError as error:
            header = decode_header(
                frame[:HEADER_BYTES], len(frame) - HEADER_BYTES, protocol=PROTOCOL_MAX
            )
            if self.task is None or header.job != self.task.job:
                raise
            self.end(make_error(error.code, error.sentence))
            return
        self.take(message)

    def take(self, message: Message) -> None:  # noqa: C901  (one branch for each type)
        kind, body, job = message.type, message.body, message.job
        is_start = kind in {MessageType.BEGIN, MessageType.REFINE}
        if job != NO_JOB and not is_start and (self.task is None or self.task.job != job):
            if kind is MessageType.CANCEL:
                self.kept.pop(job, None)
            return
        self.came.check(message)
        if kind is MessageType.PING:
            self.send(Pong(body.number))
        elif kind is MessageType.UNLOAD:
            self.is_loaded = False
            self.tell_facts()
        elif kind is MessageType.SHUTDOWN:
            os._exit(0)
        elif is_start:
            self.begin(job, body)
        elif kind is MessageType.CHUNK:
            self.task.pixels += body
            if self.task.do == "die receiving":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.task.do != "never grant":
                self.send(Grant(1), job)
        elif kind is MessageType.END:
            self.task.until = time.monotonic() + self.task.options.get("seconds", 0)
        elif kind is MessageType.GRANT:
            self.task.credit += body.chunks
        elif kind is MessageType.CANCEL and self.task.do != "deaf":
            self.end(make_error("cancelled", "As you wish."))

    def begin(self, job: bytes, body: Begin | Refine) -> None:
        if isinstance(body, Begin):
            image = next(plane for plane in body.planes if plane.role == "image")
            self.task = Task(job, image, body.outputs, body.options, body.keep)
            self.send(Grant(8), job)
            return
        source = self.kept.get(bytes.fromhex(body.source))
        self.task = Task(job, source.image if source else None, body.outputs, body.options)
        if source is None:
            self.end(make_error("not_kept", "That is gone."))
            return
        self.task.pixels = source.pixels
        self.task.until = 0.0

    def end(self, body: object) -> None:
        job = self.task.job
        if isinstance(body, End) and self.task.keep:
            self.kept[job] = self.task
        self.send(body, job)
        self.sent.forget(job)
        self.came.forget(job)
        self.task = None

    def go_on(self) -> None:
        task = self.task
        if task is None or task.until is None:
            return
        if task.chunks is not None:
            self.send_chunks(task)
        elif not self.misbehave(task):
            if time.monotonic() < task.until:
                if task.do != "no progress":
                    self.send(Progress("matting", 0.5), task.job)
                    time.sleep(min(PROGRESS_S, max(0, task.until - time.monotonic())))
                return
            self.is_loaded = True
            self.tell_facts()
            self.send_result(task)

    def misbehave(self, task: Task) -> bool:
        do = task.do
        if do == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif do == "abort":
            os.abort()
        elif do == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif do == "spin":
            while True:
                pass
        elif do == "hold":
            ctypes.PyDLL(None).sleep(task.options["seconds"])  # with the GIL
        elif do == "load":
            self.send(Progress("loading", 0), task.job)
            time.sleep(task.options["seconds"])
            task.options = {}
        elif do == "fail":
            self.end(make_error(task.options["code"], "It can't be done."))
        elif do == "garbage":
            self.socket.send(b"garbage")
        return do in {"die", "abort", "stop", "fail", "garbage"}

    def send_result(self, task: Task) -> None:
        planes = [plane_of(output, task.image) for output in task.outputs]
        if task.do == "wrong size":
            image = task.image
            wider = Plane(
                "image", image.width + 1, image.height, image.order, image.sample, image.encoding
            )
            planes = [plane_of(output, wider) for output in task.outputs]
        self.send(Result(tuple(planes), {"device": "cpu"}, "0" * 32, task.keep), task.job)
        task.chunks = list(chunks_of(planes, task))
        if task.do == "too many bytes":
            task.chunks.append(b"x")
        elif task.do == "too few bytes":
            task.chunks.pop()
        elif task.do == "no credit":
            task.credit = 1 << 20

    def send_chunks(self, task: Task) -> None:
        while task.credit and task.chunks:
            pixels = task.chunks.pop(0)
            header = chunk_header(pixels, self.sent.take(task.job), task.job)
            self.socket.send(header + pixels)
            task.credit -= 1
            task.sent_bytes += len(pixels)
            if task.do == "die sending":
                time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
        if not task.chunks:
            self.end(End(task.sent_bytes))


def plane_of(output: Output, image: Plane) -> Plane:
    encoding = image.encoding if output.role == "foreground" else "coverage"
    return Plane(output.role, image.width, image.height, output.order, output.sample, encoding)


def chunks_of(planes: list[Plane], task: Task):
    """A foreground echoes what came; everything else is the bytes' sum."""
    for plane in planes:
        if plane.role == "foreground":
            pixels = bytes(task.pixels[: plane.byte_count]).ljust(plane.byte_count, b"\0")
        else:
            pixels = bytes([sum(task.pixels[:65536]) % 256]) * plane.byte_count
        size = task.options.get("chunk", CHUNK)
        for start in range(0, len(pixels), size):
            yield pixels[start : start + size]


def exit_with_broker() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group, for the broker
    first_line = bytearray()
    while not first_line.endswith(b"\n"):
        first_line += os.read(0, 4096)
    threading.Thread(target=exit_with_broker, daemon=True).start()
    try:
        FakeWorker(json.loads(first_line)).run()
    except ProtocolError as error:
        sys.exit(f"the broker said something wrong: {error}")


if __name__ == "__main__":
    main()

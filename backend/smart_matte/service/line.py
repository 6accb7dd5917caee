"""
The worker's line to its broker: one thread owns the socket, and answers while another computes.

Sockets aren't thread-safe. The main thread takes tasks from a queue and puts what it has to say
into another; an in-process socket wakes the line's thread for that.
"""

import logging
import os
import queue
import threading
import time
from dataclasses import dataclass

import zmq

from smart_matte.service.jobs import Inputs, Request, describe_stack, error_from, read_begin
from smart_matte.service.sockets import LINGER_MS, ZAP_DOMAIN
from smart_matte.service.ticket import Ticket
from smart_matte_link.envelope import (
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    NO_JOB,
    Header,
    Message,
    Numbering,
    chunk_header,
    decode_body,
    decode_header,
    encode,
)
from smart_matte_link.errors import ProtocolError
from smart_matte_link.messages import (
    PROTOCOL_MAX,
    Begin,
    End,
    Error,
    Grant,
    MessageType,
    Ping,
    Pong,
    Refine,
    Shutdown,
    make_error,
    sent_by,
)
from smart_matte_link.strict_json import refuse

CREDIT_CHUNKS = 4
"""Chunks under way to this process: 16 MiB keep a local socket as busy as more would."""

MESSAGES_AT_ONCE = 16
"""Taken from the socket before the other side of this thread gets its turn."""

LEAVING_MS = 100
"""How often a worker that was told to leave looks at the clock."""

FROM_BROKER = sent_by("broker") - {MessageType.PONG}  # it is never asked
STARTS = (MessageType.BEGIN, MessageType.REFINE)
FAULTY_EXIT = 70

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobTask:
    """A new job with all its pixels."""

    ticket: Ticket
    request: Request
    inputs: Inputs


@dataclass(frozen=True)
class RefineTask:
    """A job from a kept raw result."""

    ticket: Ticket
    refine: Refine


@dataclass(frozen=True)
class UnloadTask:
    """Forget models and kept results."""


@dataclass(frozen=True)
class ForgetTask:
    """Forget what was kept of a job: nobody is left who could ask for it."""

    job: bytes


Task = JobTask | RefineTask | ForgetTask | UnloadTask


class Line:
    """
    The connection to the broker.

    Args:
        endpoint: where the broker listens for its workers.
        identity: the routing id by which it knows this one.
    """

    def __init__(self, endpoint: str, identity: str) -> None:
        inside = zmq.Context(0)
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._posted: queue.SimpleQueue[tuple[object, bytes]] = queue.SimpleQueue()
        self._bell = inside.socket(zmq.PAIR)
        self._bell.bind("inproc://posted")
        self._heard = inside.socket(zmq.PAIR)
        self._heard.connect("inproc://posted")
        self._context = zmq.Context()
        self._socket = _connect(self._context, endpoint, identity)
        self._sent, self._came = Numbering(), Numbering()
        self._ticket: Ticket | None = None
        self._arriving: JobTask | None = None
        self._leave_s: float | None = None

    # The main thread's side.

    def start(self) -> None:
        """Start the thread that owns the socket; it ends the process when it ends."""
        threading.Thread(target=self._serve_or_exit, name="line", daemon=True).start()

    def next_task(self, timeout_s: float | None) -> Task | None:
        """Wait for something to do; None when nothing came in time."""
        try:
            return self._tasks.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def post(self, body: object, job: bytes = NO_JOB) -> None:
        """Send a message, or a chunk where *body* is a memoryview that nobody changes any more."""
        self._posted.put((body, job))
        try:
            self._bell.send(b"", zmq.NOBLOCK)
        except zmq.Again:  # so many rings are waiting that it will be heard
            return

    # The line's own thread.

    def _serve_or_exit(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001  (without this thread the process is deaf)
            log.critical("the line broke: %s\n%s", type(error).__name__, describe_stack(error))
            os._exit(FAULTY_EXIT)
        self._socket.close()
        self._context.term()  # what was said last is still sent, for LINGER_MS
        os._exit(0)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._heard, zmq.POLLIN)
        while not self._is_time_to_leave():
            ready = dict(poller.poll(None if self._leave_s is None else LEAVING_MS))
            if self._heard in ready:
                self._send_posted()
            if self._socket in ready:
                self._take_messages()

    def _is_time_to_leave(self) -> bool:
        if self._leave_s is None:
            return False
        return self._ticket is None or time.monotonic() >= self._leave_s

    def _send_posted(self) -> None:
        while self._heard.poll(0):
            self._heard.recv()
        while not self._posted.empty():
            body, job = self._posted.get()
            self._send(body, job)

    def _send(self, body: object, job: bytes = NO_JOB) -> None:
        number = self._sent.take(job)
        if isinstance(body, memoryview):
            frame = b"".join((chunk_header(body, number, job), body))
        else:
            frame = encode(body, number, job)
        self._socket.send(frame, copy=False)
        if job != NO_JOB and isinstance(body, End | Error):
            self._sent.forget(job)
            self._came.forget(job)
            if self._ticket is not None and self._ticket.job == job:
                self._ticket = self._arriving = None

    def _take_messages(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                self._take_message([frame.buffer for frame in frames])
            except ProtocolError as error:
                log.warning("the broker sent what can't be read: %s", error.sentence)
                self._send(make_error(error.code, error.sentence))

    def _take_message(self, frames: list[memoryview]) -> None:
        if len(frames) != 1:
            refuse(f"A message of {len(frames)} frames came; one is allowed.")
        encoded, body = frames[0][:HEADER_BYTES], frames[0][HEADER_BYTES:]
        header = decode_header(encoded, len(body), FROM_BROKER, PROTOCOL_MAX)
        if not self._is_wanted(header):
            if header.type is MessageType.CANCEL:  # of an ended job: what was kept of it
                self._tasks.put(ForgetTask(header.job))
            return
        try:
            message = decode_body(header, body)
            self._came.check(message)
            self._handle(message)
        except Exception as error:
            if header.job == NO_JOB:
                raise
            self._fail(header.job, error_from(error))

    def _is_wanted(self, header: Header) -> bool:
        """Not what was still under way when its job ended."""
        is_current = self._ticket is not None and self._ticket.job == header.job
        return header.job == NO_JOB or is_current or header.type in STARTS

    def _handle(self, message: Message) -> None:
        handlers = {
            MessageType.PING: self._on_ping,
            MessageType.BEGIN: self._on_begin,
            MessageType.REFINE: self._on_refine,
            MessageType.CHUNK: self._on_chunk,
            MessageType.END: self._on_end,
            MessageType.GRANT: self._on_grant,
            MessageType.CANCEL: self._on_cancel,
            MessageType.UNLOAD: self._on_unload,
            MessageType.SHUTDOWN: self._on_shutdown,
        }
        handlers[message.type](message)

    def _fail(self, job: bytes, error: Error) -> None:
        """End a job: at once while nothing computes it, else when it looks."""
        if error.code == "out_of_memory":
            self._tasks.put(UnloadTask())
        ticket = self._ticket
        if ticket is not None and ticket.job == job and self._arriving is None:
            ticket.stop(error)
        else:
            self._send(error, job)

    def _on_ping(self, message: Message) -> None:
        ping: Ping = message.body
        self._send(Pong(ping.number))

    def _on_begin(self, message: Message) -> None:
        begin: Begin = message.body
        ticket = self._admit(message.job, begin.deadline_s)
        if ticket is None:
            return
        request, inputs = read_begin(begin)
        self._ticket, self._arriving = ticket, JobTask(ticket, request, inputs)
        self._send(Grant(CREDIT_CHUNKS), message.job)

    def _on_refine(self, message: Message) -> None:
        refine: Refine = message.body
        ticket = self._admit(message.job, refine.deadline_s)
        if ticket is None:
            return
        self._ticket = ticket
        self._tasks.put(RefineTask(ticket, refine))

    def _admit(self, job: bytes, deadline_s: float | None) -> Ticket | None:
        if self._leave_s is not None:
            self._send(make_error("draining", "This worker is going away."), job)
        elif self._ticket is not None:
            if self._ticket.job == job:
                refuse("A job was begun twice.")
            self._send(make_error("busy", "This worker has a job already."), job)
        else:
            return Ticket(job, deadline_s)
        return None

    def _on_chunk(self, message: Message) -> None:
        if self._arriving is None:
            refuse("A CHUNK came that has no place here.")
        self._arriving.ticket.check()
        self._arriving.inputs.add(message.body)
        self._send(Grant(1), message.job)

    def _on_end(self, message: Message) -> None:
        if self._arriving is None:
            refuse("An END came that has no place here.")
        end: End = message.body
        self._arriving.inputs.finish(end.byte_count)
        self._tasks.put(self._arriving)
        self._arriving = None

    def _on_grant(self, message: Message) -> None:
        grant: Grant = message.body
        if self._ticket is not None:
            self._ticket.grant(grant.chunks)

    def _on_cancel(self, message: Message) -> None:
        self._fail(message.job, make_error("cancelled", "The job was cancelled."))

    def _on_unload(self, _message: Message) -> None:
        self._tasks.put(UnloadTask())

    def _on_shutdown(self, message: Message) -> None:
        shutdown: Shutdown = message.body
        self._leave_s = time.monotonic() + shutdown.drain_s


def _connect(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: str
) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, identity.encode())
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
    socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)  # refuses peers that speak ZMTP 1 or 2
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.connect(endpoint)
    return socket

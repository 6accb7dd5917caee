"""The loop that answers everybody at once: it never waits for one of them, and never computes."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from smart_matte.service.clients import Client, Clients, Standing
from smart_matte.service.dispatcher import Dispatcher
from smart_matte.service.memory import give_back_memory
from smart_matte.service.self_description import SelfDescription
from smart_matte.service.supervisor import FAULTY, Supervisor
from smart_matte_link.envelope import (
    HEADER_BYTES,
    NO_JOB,
    Header,
    Message,
    decode_body,
    decode_header,
)
from smart_matte_link.errors import ProtocolError
from smart_matte_link.messages import (
    PROTOCOL_MAX,
    Begin,
    Draining,
    Facts,
    Hello,
    MessageType,
    Ping,
    Pong,
    Proof,
    Refine,
    Shutdown,
    Status,
    make_error,
    sent_by,
)
from smart_matte_link.strict_json import refuse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from smart_matte.service.clock import LoopClock
    from smart_matte.service.job_state import Job
    from smart_matte.service.settings import Settings
    from smart_matte.service.sockets import Incoming, Router
    from smart_matte_link.messages import ConnectionInfo

MESSAGES_PER_TURN = 4
"""Taken from each side before the other gets its turn: 16 MiB at most, some milliseconds."""

LOOK_MS = 50
"""How often the clocks are looked at while there is anything to watch."""

BLOCKED_MS = 5
"""The same while the running job's client doesn't read as fast as there is something to send."""

REST_MS = 1000
"""The same while nothing happens."""

RESTING_BYTES = 48 * 1024 * 1024
"""Twice what the broker has at its start: with more than that, at rest, much of it is free."""

CHECK_S = 1.0
WORKER_EXIT_S = 2.0
EXIT_DONE, EXIT_AT_ONCE, EXIT_MEMORY = 0, 1, 70

FROM_WORKER = sent_by("worker")
JOB_STARTS = (MessageType.BEGIN, MessageType.REFINE)

LOG = logging.getLogger(__name__)


class Broker:
    """
    Everything between the two sockets.

    Its parts each know one thing: Clients who is connected, Dispatcher the jobs, Supervisor the
    worker. Messages go from the sockets to them; time goes through ``_look``.
    """

    def __init__(
        self,
        connection: ConnectionInfo,
        routers: tuple[Router, Router],
        clock: LoopClock,
        settings: Settings,
        *,
        worker_command: Sequence[str],
        log_file: Path | None,
    ) -> None:
        self._client_router, self._worker_router = routers
        self._clock = clock
        self._settings = settings
        first_line = {
            "device": settings.worker_device,
            "log_file": "" if log_file is None else str(log_file.with_name("worker.log")),
            "epoch": connection.epoch,
            **settings.worker_settings,
        }
        self._supervisor = Supervisor(
            self._worker_router, clock, settings, worker_command, first_line
        )
        self._dispatcher = Dispatcher(self._supervisor, settings, clock, connection.epoch)
        self._description = SelfDescription(
            connection, settings, self._supervisor, self._dispatcher, log_file
        )
        self._clients = Clients(
            self._client_router, connection, settings, clock, self._description.welcome
        )
        self._used_at = self._looked_at = self._checked_at = 0.0
        self._is_unloaded = False
        self._drained_by: float | None = None
        self._exit_code: int | None = None

    def run(self, signals: socket.socket, is_current: Callable[[], bool]) -> int:
        """
        Serve until there is a reason to end.

        Args:
            signals: gives a byte for each SIGTERM or the like.
            is_current: whether clients still find this broker.

        Returns:
            The exit code of the process.
        """
        poller = zmq.Poller()
        for router in (self._client_router, self._worker_router):
            poller.register(router.socket, zmq.POLLIN)
            poller.register(router.monitor, zmq.POLLIN)
        poller.register(signals, zmq.POLLIN)
        self._supervisor.start()
        while self._exit_code is None:
            ready = dict(poller.poll(self._pause_ms()))
            self._clock.advance()
            if signals in ready or signals.fileno() in ready:
                self._obey_signals(signals.recv(64))
            self._take_from_clients()
            self._take_from_worker()
            if self._clock.now - self._looked_at > LOOK_MS / 2000:
                self._looked_at = self._clock.now
                self._look(is_current)
            self._say_farewell_to_gone()
        return self._exit_code

    def end(self) -> None:
        """End the job and the worker that are left; on a second signal without any patience."""
        self._dispatcher.end_all()
        self._supervisor.end(0.0 if self._exit_code == EXIT_AT_ONCE else WORKER_EXIT_S)

    # Clients --------------------------------------------------------------------------------------

    def _take_from_clients(self) -> None:
        messages = self._client_router.read(MESSAGES_PER_TURN)
        for descriptor in self._client_router.ended():
            self._clients.connection_ended(descriptor)
        for incoming in messages:
            client = self._clients.find(incoming)
            if client.standing is Standing.OVER or client.is_gone:
                continue
            client.last_heard = self._clock.now
            try:
                self._take_from_client(client, incoming)
            except ProtocolError as error:
                self._clients.refuse(client, error.code, error.sentence)
                self._dispatcher.client_left(client)

    def _take_from_client(self, client: Client, incoming: Incoming) -> None:
        header, frame = _open(incoming, client)
        if header.job == NO_JOB:
            client.check_number(header)
            self._obey_client(client, _read(header, frame).body)
            return
        job = client.jobs.get(header.job)
        if header.type in JOB_STARTS:
            if job or client.had(header.job):
                refuse("A job id was used twice.")
            self._start_job(client, header, frame)
        elif job:
            client.check_number(header)
            self._take_for_job(job, header, frame)
        elif not client.had(header.job):
            refuse(f"A {header.type.name} is about a job that there never was.")

    def _start_job(self, client: Client, header: Header, frame: zmq.Frame) -> None:
        client.check_number(header)
        try:
            request: Begin | Refine = _read(header, frame).body
        except ProtocolError as error:
            client.end(header.job)
            client.send(make_error(error.code, error.sentence), header.job)
            return
        self._dispatcher.take_new(client, header.job, request)

    def _take_for_job(self, job: Job, header: Header, frame: zmq.Frame) -> None:
        try:
            if header.type is MessageType.CHUNK:
                self._dispatcher.take_chunk(job, header, frame)
            else:
                self._dispatcher.take(job, _read(header, frame).body)
        except ProtocolError as error:
            self._dispatcher.end_job(job, make_error(error.code, error.sentence))

    def _obey_client(self, client: Client, body: object) -> None:
        if isinstance(body, Hello | Proof):
            self._used_at = self._clock.now
            self._clients.greet(client, body)
        elif isinstance(body, Ping):
            client.send(Pong(body.number))
        elif isinstance(body, Status):
            status = self._description.status(
                clients=len(self._clients.welcome()),
                uptime_s=self._clock.now,
                is_draining=self._drained_by is not None,
            )
            client.send(status)
        elif isinstance(body, Shutdown):
            LOG.info("%s asks the backend to go", client.application)
            self._drain("shutdown", body.drain_s)

    def _say_farewell_to_gone(self) -> None:
        for client in self._clients.take_gone():
            if client.standing is Standing.WELCOME:
                LOG.info("%s is gone", client.application)
            self._dispatcher.client_left(client)

    # The worker -----------------------------------------------------------------------------------

    def _take_from_worker(self) -> None:
        messages = self._worker_router.read(MESSAGES_PER_TURN)
        for _ in self._worker_router.ended():
            self._looked_at = 0.0  # most likely the worker's end: look at once
        for incoming in messages:
            worker = self._supervisor.worker
            if worker is None or incoming.identity != worker.identity or worker.is_leaving:
                continue
            worker.last_heard = self._clock.now
            try:
                self._take_message_of_worker(incoming)
            except ProtocolError as error:
                self._supervisor.kill(FAULTY, error.sentence)

    def _take_message_of_worker(self, incoming: Incoming) -> None:
        worker, at_worker = self._supervisor.worker, self._dispatcher.at_worker
        if incoming.frame is None:
            refuse("A message came in several frames.")
        frame = incoming.frame
        header = decode_header(
            frame.buffer[:HEADER_BYTES], len(frame) - HEADER_BYTES, FROM_WORKER, PROTOCOL_MAX
        )
        if worker is None or (
            header.job != NO_JOB and (at_worker is None or at_worker.worker_id != header.job)
        ):
            return  # under way when its job ended
        worker.check_number(header)
        if header.type is MessageType.CHUNK:
            self._dispatcher.take_result_chunk(header, frame)
            return
        message = _read(header, frame)
        if isinstance(message.body, Facts):
            self._supervisor.take_facts(message.body)
            self._dispatcher.start_next()
        elif isinstance(message.body, Ping):
            worker.send(Pong(message.body.number))
        elif header.job != NO_JOB:
            self._dispatcher.take_from_worker(message)
        elif not isinstance(message.body, Pong):
            refuse(f"The worker says {message.body}.")

    def _look_at_worker(self) -> None:
        at_worker = self._dispatcher.at_worker
        computes = at_worker is not None and not at_worker.is_transferring
        loss = self._supervisor.look(computes=computes)
        if loss:
            self._dispatcher.worker_lost(loss)
            for client in self._clients.all():
                client.kept.clear()

    # Time -----------------------------------------------------------------------------------------

    def _pause_ms(self) -> int:
        running, worker = self._dispatcher.running, self._supervisor.worker
        if running and running.client.is_blocked:
            return BLOCKED_MS
        if any(client.is_blocked for client in self._clients.all()):
            return LOOK_MS
        is_quiet = not self._supervisor.is_wanted
        if worker is not None:
            is_quiet = worker.is_ready and not worker.is_leaving
        if self._dispatcher.has_jobs or self._drained_by is not None or not is_quiet:
            return LOOK_MS
        return REST_MS

    def _look(self, is_current: Callable[[], bool]) -> None:
        self._look_at_worker()
        for client in self._clients.look():
            self._clients.refuse(client, "lost", "The client was silent for too long.")
            self._dispatcher.client_left(client)
        self._dispatcher.look()
        self._look_at_idle_time()
        if self._clock.now - self._checked_at > CHECK_S:
            self._checked_at = self._clock.now
            self._look_at_surroundings(is_current)
        if self._drained_by is not None and self._exit_code is None:
            is_done = not self._dispatcher.running
            if is_done or self._clock.now > self._drained_by:
                self._exit_code = EXIT_DONE

    def _look_at_idle_time(self) -> None:
        settings, now = self._settings, self._clock.now
        idle_s = now - self._dispatcher.busy_at
        if idle_s <= settings.unload_s:
            self._is_unloaded = False
        elif not self._is_unloaded:
            self._is_unloaded = True
            self._supervisor.unload()
        if idle_s > settings.worker_exit_s:
            self._supervisor.ask_to_go()
        if min(idle_s, now - self._used_at) > settings.broker_exit_s:
            self._drain("idle", 0.0)

    def _look_at_surroundings(self, is_current: Callable[[], bool]) -> None:
        if not is_current() and self._drained_by is None:
            LOG.error("the connection file is gone or another's: no client will come any more")
            self._drain("shutdown", self._settings.drain_s)
        used = _resident_bytes()
        if used > self._settings.memory_max_bytes:
            LOG.critical("%d bytes of memory are in use: somebody floods this process", used)
            self._exit_code = EXIT_MEMORY
        elif used > RESTING_BYTES and not self._dispatcher.has_jobs:
            give_back_memory()

    # The end --------------------------------------------------------------------------------------

    def _obey_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if self._drained_by is None:
                LOG.info("signal %d: the backend goes when the running job is done", number)
                self._drain("signal", self._settings.drain_s)
            else:
                LOG.info("signal %d again: the backend goes at once", number)
                self._exit_code = EXIT_AT_ONCE

    def _drain(self, reason: str, patience_s: float) -> None:
        drained_by = self._clock.now + patience_s
        if self._drained_by is not None:
            self._drained_by = min(drained_by, self._drained_by)
            return
        LOG.info("draining: %s", reason)
        self._drained_by = drained_by
        for client in self._clients.welcome():
            client.send(Draining(reason))
        self._dispatcher.drain()


def _open(incoming: Incoming, client: Client) -> tuple[Header, zmq.Frame]:
    """Read the header of a client's message; raises ProtocolError."""
    if incoming.frame is None:
        refuse("A message came in several frames.")
    frame = incoming.frame
    body_bytes = len(frame) - HEADER_BYTES
    encoded = frame.buffer[:HEADER_BYTES]
    header = decode_header(encoded, body_bytes, client.standing.value, client.agreed)
    return header, frame


def _read(header: Header, frame: zmq.Frame) -> Message:
    return decode_body(header, frame.buffer[HEADER_BYTES:])


def _resident_bytes() -> int:
    """Memory of this process; 0 where the system doesn't tell that simply, or now."""
    if sys.platform != "linux":
        return 0
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # a flood of connections has left no descriptor
        return 0
    return pages * os.sysconf("SC_PAGESIZE")

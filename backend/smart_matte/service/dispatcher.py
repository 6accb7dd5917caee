"""The way of each job: from its client through the queue to the worker and back, chunk by chunk."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from smart_matte.service.headway import Headway
from smart_matte.service.job_state import Job, Stage
from smart_matte.service.scheduling import Queue, admitted_bytes
from smart_matte.service.supervisor import CANCELLED, HUNG
from smart_matte_link.envelope import HEADER_BYTES
from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Error,
    Grant,
    Plane,
    Progress,
    Refine,
    Result,
    make_error,
)

if TYPE_CHECKING:
    import zmq

    from smart_matte.service.clients import Client
    from smart_matte.service.clock import LoopClock
    from smart_matte.service.settings import Settings
    from smart_matte.service.supervisor import Loss, Supervisor
    from smart_matte_link.envelope import Header, Message

LOADING = "loading"
"""Stage that a worker names while it can't say how far it is."""

FIRST_GUESS_S = 5.0
"""How long a job takes, as long as none was seen."""

LOG = logging.getLogger(__name__)


class Dispatcher:
    """
    All jobs.

    Attributes:
        at_worker: the job that the worker was given last and isn't through with; it may have
            ended for its client.
        ended: how many jobs have ended.
        is_draining: whether new jobs are refused.
        busy_at: when there last was a job.
    """

    def __init__(
        self, supervisor: Supervisor, settings: Settings, clock: LoopClock, epoch: str
    ) -> None:
        self.at_worker: Job | None = None
        self.ended = 0
        self.is_draining = False
        self.busy_at = clock.now
        self._supervisor = supervisor
        self._settings = settings
        self._clock = clock
        self._epoch = epoch
        self._queue = Queue(settings)
        self._headway = Headway()
        self._ended_at = 0.0
        self._is_loading = False
        self._waited_s = 0.0
        self._looked_at = clock.now
        self._usual_s = FIRST_GUESS_S

    @property
    def running(self) -> Job | None:
        """The job whose turn it is."""
        job = self.at_worker
        return job if job and job.stage is not Stage.ENDED else None

    @property
    def waiting_count(self) -> int:
        """Jobs whose turn hasn't come."""
        return len(self._queue)

    @property
    def has_jobs(self) -> bool:
        """Whether any job hasn't ended."""
        return bool(self._queue) or self.at_worker is not None

    # From clients ---------------------------------------------------------------------------------

    def take_new(self, client: Client, job_id: bytes, request: Begin | Refine) -> None:
        """A client wants a job done."""
        self.busy_at = self._clock.now
        image = _image_of(client, request)
        error = self._refusal(client, request) if image else _not_kept()
        if error or image is None:
            client.end(job_id)
            client.send(error, job_id)
            return
        job = Job(client, job_id, request, image, self._clock.now)
        client.jobs[job_id] = job
        self._queue.add(job)
        LOG.info(
            "job %s of %s: %d x %d, %d bytes",
            job.name, client.application, image.width, image.height, job.byte_count,
        )  # fmt: skip
        self._tell_waiting()
        self.start_next()

    def take_chunk(self, job: Job, header: Header, frame: zmq.Frame) -> None:
        """
        A client sends pixels: on to the worker with them.

        Raises:
            ProtocolError: they weren't granted, or are too many.
        """
        job.take_upload(len(frame) - HEADER_BYTES)
        self._pixels_moved(job, len(frame) - HEADER_BYTES)
        if self._supervisor.worker:
            self._supervisor.worker.pass_on(frame, header, job.worker_id)

    def take(self, job: Job, body: object) -> None:
        """
        A client says something about its job.

        Raises:
            ProtocolError: it has no place now.
        """
        worker = self._supervisor.worker
        if isinstance(body, Cancel):
            self.end_job(job, make_error("cancelled", "The job was cancelled."))
        elif isinstance(body, Grant):
            job.add_client_credit(body.chunks)
            self._ask_for_chunks()
        elif isinstance(body, End) and worker:
            job.finish_upload(body.byte_count)
            worker.send(body, job.worker_id)
            job.enter(Stage.RUNNING, self._clock.now)

    def client_left(self, client: Client) -> None:
        """A client is gone: so is the sense of its jobs, and of what was kept for it."""
        for job in list(client.jobs.values()):
            self.end_job(job, make_error("cancelled", "The client is gone."))
        if self._supervisor.idle_worker:
            for kept in client.kept.values():
                self._supervisor.idle_worker.send(Cancel(), kept.worker_id)
                self._supervisor.idle_worker.forget(kept.worker_id)
        client.kept.clear()
        self._queue.forget(client)

    # From the worker ------------------------------------------------------------------------------

    def take_result_chunk(self, header: Header, frame: zmq.Frame) -> None:
        """
        The worker sends pixels: on to the client with them.

        Raises:
            ProtocolError: they weren't asked for, or are too many.
        """
        job = self.running
        if job:
            job.take_download(len(frame) - HEADER_BYTES)
            self._pixels_moved(job, len(frame) - HEADER_BYTES)
            job.client.pass_on(frame, header, job.id)
            self._ask_for_chunks()

    def take_from_worker(self, message: Message) -> None:
        """
        The worker says something about the job that it has.

        Raises:
            ProtocolError: it has no place now.
        """
        job, body = self.running, message.body
        if isinstance(body, End | Error):
            self._worker_is_through(job, body)
        elif job and isinstance(body, Grant):
            job.upload_credit += body.chunks
            job.moved = self._clock.now
            job.client.send(body, job.id)
        elif job and isinstance(body, Progress):
            self._is_loading = body.stage == LOADING
            job.moved = self._clock.now
            job.client.send(replace(body, ahead=0), job.id)
        elif job and isinstance(body, Result):
            job.accept_result(body)
            job.enter(Stage.SENDING, self._clock.now)
            self._waited_s = 0.0
            job.client.send(replace(body, epoch=self._epoch), job.id)
            self._ask_for_chunks()

    def worker_lost(self, loss: Loss) -> None:
        """The worker has ended: so has its job."""
        job = self.running
        self.at_worker = None
        if job:
            self.end_job(job, make_error(loss.code, loss.sentence, "Try again."))

    # By itself ------------------------------------------------------------------------------------

    def look(self) -> None:
        """See what has taken too long, and whether something can begin."""
        if self.has_jobs:
            self.busy_at = self._clock.now
        for job in self._queue.order():
            self._hold_to_deadline(job)
        passed_s = self._clock.now - self._looked_at
        self._looked_at = self._clock.now
        if self.running:
            self._ask_for_chunks()
            self._watch(self.running, passed_s)
        elif self.at_worker and self._clock.now - self._ended_at > self._settings.cancel_s:
            worker = self._supervisor.worker
            if worker and not worker.is_leaving:
                self._supervisor.kill(CANCELLED, "it went on with a cancelled job")
        self.start_next()

    def start_next(self) -> None:
        """Give the worker the next job, if it has none; see that there is a worker."""
        if not self._queue or self.at_worker:
            return
        if self._supervisor.has_given_up:
            for hopeless in self._queue.order():
                self.end_job(hopeless, _given_up())
            return
        worker = self._supervisor.idle_worker
        job = self._queue.next() if worker else None
        if worker is None or job is None:
            self._supervisor.start()
            return
        self.at_worker, self._is_loading, self._waited_s = job, False, 0.0
        job.enter(
            Stage.RECEIVING if isinstance(job.request, Begin) else Stage.RUNNING, self._clock.now
        )
        if job.deadline is None:
            job.deadline = self._clock.now + self._settings.job_deadline_s
        worker.send(_for_worker(job), job.worker_id)
        self._tell_waiting()

    def drain(self) -> None:
        """Take no new jobs, and begin none."""
        self.is_draining = True
        for job in self._queue.order():
            self.end_job(job, _draining())

    def end_all(self) -> None:
        """End what is left."""
        self.drain()
        if self.running:
            self.end_job(self.running, _draining())

    def end_job(self, job: Job, error: Error | None) -> None:
        """A job has ended for its client; *error* unless it was done."""
        self._queue.remove(job)
        if job.stage is Stage.ENDED:
            return
        seconds = self._clock.now - job.begun
        LOG.info("job %s: %s after %.3f s", job.name, error.code if error else "done", seconds)
        was_waiting = job.stage is Stage.WAITING
        job.stage = Stage.ENDED
        self.ended += 1
        self.busy_at = self._clock.now
        if error:
            job.client.send(error, job.id)
        job.client.end(job.id)
        if job is self.at_worker:
            self._ended_at = self._clock.now
            if self._supervisor.worker:
                self._supervisor.worker.send(Cancel(), job.worker_id)
        elif was_waiting:
            self._tell_waiting()

    # ----------------------------------------------------------------------------------------------

    def _refusal(self, client: Client, request: Begin | Refine) -> Error | None:
        if self.is_draining:
            return _draining()
        if self._supervisor.has_given_up:
            return _given_up()
        jobs = [*self._queue.order(), *filter(None, [self.running])]
        byte_count = request.byte_count if isinstance(request, Begin) else 0
        sentence = self._queue.refusal(client, byte_count, admitted_bytes(jobs))
        if not sentence:
            return None
        retry_after_s = min(max(1.0, self._usual_s * (len(self._queue) + 1)), 60.0)
        return make_error("busy", sentence, "Try again in a while.", retry_after_s)

    def _worker_is_through(self, job: Job | None, body: End | Error) -> None:
        """The worker has said its last word about the job that it has."""
        if job and isinstance(body, End):
            job.finish_download(body.byte_count)
        at_worker = self.at_worker
        self.at_worker = None
        if self._supervisor.worker and at_worker:
            self._supervisor.worker.forget(at_worker.worker_id)
        self._supervisor.has_answered()
        if job:
            if isinstance(body, End):
                self._usual_s += 0.25 * (self._clock.now - job.begun - self._usual_s)
                if job.result and job.result.kept:
                    job.client.keep(job)
                job.client.send(body, job.id)
            self.end_job(job, body if isinstance(body, Error) else None)
        self.start_next()

    def _ask_for_chunks(self) -> None:
        """Pass the client's credit on, as long as it reads what it gets."""
        job, worker = self.running, self._supervisor.worker
        if job and worker and job.stage is Stage.SENDING and not job.client.is_blocked:
            chunks = job.take_worker_credit(self._settings.credit_chunks)
            if chunks:
                worker.send(Grant(chunks), job.worker_id)

    def _tell_waiting(self) -> None:
        """Say how many jobs run before each that waits, where that has changed."""
        before = 1 if self.running else 0
        for ahead, job in enumerate(self._queue.order(), start=before):
            if job.ahead != ahead:
                job.ahead = ahead
                job.client.send(Progress("queued", 0.0, ahead), job.id)

    def _hold_to_deadline(self, job: Job) -> bool:
        if job.deadline is None or self._clock.now <= job.deadline:
            return False
        self.end_job(job, make_error("deadline", "The job wasn't done by its deadline."))
        return True

    def _pixels_moved(self, job: Job, byte_count: int) -> None:
        """A chunk went from or to the client, which earns it patience."""
        job.moved = self._clock.now
        earned_s = byte_count / self._settings.transfer_bytes_per_s
        self._waited_s = max(0.0, self._waited_s - earned_s)

    def _watch(self, job: Job, passed_s: float) -> None:
        """See whether client and worker keep the job going; *passed_s* since the last look."""
        settings = self._settings
        if self._hold_to_deadline(job):
            return
        if job.stage is Stage.RUNNING or not job.waits_for_client():
            lease_s = settings.loading_lease_s if self._is_loading else settings.progress_lease_s
            worker, now = self._supervisor.worker, self._clock.now
            if (
                worker
                and not worker.is_leaving
                and self._headway.is_lost(worker, job.moved, now, lease_s, settings)
            ):
                self._supervisor.kill(HUNG, f"no headway for {now - job.moved:.0f} s")
            return
        self._waited_s += passed_s
        is_crowded = any(other.client is not job.client for other in self._queue.order())
        if self._waited_s > (settings.crowded_gap_s if is_crowded else settings.chunk_gap_s):
            self.end_job(job, make_error("deadline", "The pixels took too long to be sent."))


def _image_of(client: Client, request: Begin | Refine) -> Plane | None:
    """The geometry that results have; None where the job to be refined isn't kept."""
    if isinstance(request, Begin):
        return next(plane for plane in request.planes if plane.role == "image")
    source = client.kept.get(bytes.fromhex(request.source))
    return source.image if source else None


def _for_worker(job: Job) -> Begin | Refine:
    """The client's request in the worker's ids."""
    if isinstance(job.request, Begin):
        return job.request
    source = job.client.kept.get(bytes.fromhex(job.request.source))
    return job.request if source is None else replace(job.request, source=source.worker_id.hex())


def _draining() -> Error:
    return make_error("draining", "The backend is going away and takes no new jobs.", "Try again.")


def _not_kept() -> Error:
    return make_error("not_kept", "The result that was to be refined is no longer kept.")


def _given_up() -> Error:
    return make_error(
        "internal",
        "The process that computes crashes again and again.",
        "“smart-matte status” names the log that says why.",
    )

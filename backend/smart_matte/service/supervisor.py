"""Keeps one worker at hand: starts it when wanted, notices its death, gives up on crash loops."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from smart_matte.service.worker_process import WorkerProcess
from smart_matte_link.messages import Facts, Ping, Shutdown, Unload, WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smart_matte.service.clock import LoopClock
    from smart_matte.service.settings import Settings
    from smart_matte.service.sockets import Router

PING_S = 1.0
"""How often a worker that says nothing is asked for a life sign."""

LEAVE_S = 2.0
"""For a worker that was asked to go."""

LOG = logging.getLogger(__name__)


class Loss(NamedTuple):
    """
    A worker has ended.

    Attributes:
        code: what its job ends with.
        sentence: the same in words.
    """

    code: str
    sentence: str


DIED = Loss("worker_died", "The process that computes died; a new one is being started.")
HUNG = Loss("hung", "The process that computes stopped answering and was ended.")
FAULTY = Loss("internal", "The process that computes said something impossible and was ended.")
CANCELLED = Loss("cancelled", "The job was cancelled.")
ASKED_TO_GO = Loss("worker_died", "The process that computes was ended.")


class Supervisor:
    """
    The worker that is, was, or will be.

    Attributes:
        worker: the process; None while there is none.
        facts: what the last worker said of itself.
        is_wanted: whether a worker is to be there; not after it was let go, until there is a job.
    """

    def __init__(
        self,
        router: Router,
        clock: LoopClock,
        settings: Settings,
        command: Sequence[str],
        first_line: dict[str, object],
    ) -> None:
        self.worker: WorkerProcess | None = None
        self.facts: Facts | None = None
        self.is_wanted = True
        self._router = router
        self._clock = clock
        self._settings = settings
        self._command = command
        self._first_line = first_line
        self._verdict = DIED
        self._left_at = 0.0
        self._crashes: deque[float] = deque(maxlen=settings.crash_budget)
        self._start_at = 0.0

    @property
    def idle_worker(self) -> WorkerProcess | None:
        """The worker, if it can be given something to do."""
        worker = self.worker
        return worker if worker and worker.is_ready and not worker.is_leaving else None

    @property
    def has_given_up(self) -> bool:
        """Whether workers crash so often that starting one more is no use now."""
        settings = self._settings
        oldest = self._crashes[0] if len(self._crashes) == settings.crash_budget else None
        return oldest is not None and self._clock.now - oldest < settings.crash_window_s

    def start(self) -> None:
        """Start a worker if there is none, and it is time to."""
        self.is_wanted = True
        if self.worker or self.has_given_up or self._clock.now < self._start_at:
            return
        self._verdict = DIED
        try:
            self.worker = WorkerProcess(self._router, self._clock, self._command, self._first_line)
        except OSError as error:
            LOG.error("no worker can be started: %s", error.strerror)  # noqa: TRY400  (no locals)
            self._count_crash()
            return
        LOG.info("worker %d started", self.worker.pid)

    def take_facts(self, facts: Facts) -> None:
        """The worker says what it is."""
        self.facts = facts
        if self.worker and not self.worker.is_ready:
            self.worker.is_ready = True
            LOG.info("worker %d is ready on %s", self.worker.pid, facts.device)

    def has_answered(self) -> None:
        """A job was done, well or not: workers don't crash in a loop."""
        self._crashes.clear()

    def unload(self) -> None:
        """Let the worker forget its models."""
        if self.idle_worker:
            self.idle_worker.send(Unload())

    def ask_to_go(self) -> None:
        """Let the worker end; it has nothing to do."""
        if self.worker and not self.worker.is_leaving:
            LOG.info("worker %d is asked to go", self.worker.pid)
            self._verdict = ASKED_TO_GO
            self._left_at = self._clock.now
            self.is_wanted = False
            self.worker.send(Shutdown(0))
            self.worker.let_go()

    def kill(self, verdict: Loss, why: str) -> None:
        """End the worker at once."""
        if self.worker:
            LOG.warning("worker %d is killed: %s", self.worker.pid, why)
            self._verdict = verdict
            self.worker.kill()

    def look(self, *, computes: bool) -> Loss | None:
        """
        See how the worker is.

        Args:
            computes: whether it is computing, and so may be too busy to answer: then its
                headway is what counts, which the dispatcher knows.

        Returns:
            What became of it, once, when it has ended.
        """
        worker = self.worker
        if worker is None:
            if self.is_wanted:
                self.start()
            return None
        worker.flush()
        if worker.exit_code() is not None:
            return self._bury(worker)
        if not worker.is_leaving:
            self._watch(worker, computes=computes)
        elif self._verdict is ASKED_TO_GO and self._clock.now - self._left_at > LEAVE_S:
            worker.kill()
        return None

    def status(self, *, is_busy: bool) -> tuple[WorkerStatus, ...]:
        """What the worker is doing."""
        worker, facts = self.worker, self.facts
        if worker is None:
            return ()
        if not worker.is_ready or facts is None:
            return (WorkerStatus(worker.pid, self._settings.worker_device, "starting"),)
        state = "stopping" if worker.is_leaving else "busy" if is_busy else "idle"
        loaded = tuple(model.name for model in facts.models if model.is_loaded)
        return (WorkerStatus(worker.pid, facts.device, state, loaded, facts.memory_bytes),)

    def end(self, patience_s: float) -> None:
        """The broker goes: so does the worker."""
        if self.worker:
            self.worker.let_go()
            self.worker.wait(patience_s)

    def _watch(self, worker: WorkerProcess, *, computes: bool) -> None:
        now, settings = self._clock.now, self._settings
        if not worker.is_stopped():
            worker.stopped_since = None
        elif worker.stopped_since is None:
            worker.stopped_since = now
        elif now - worker.stopped_since > settings.stopped_s:
            self.kill(HUNG, "it was stopped from outside")
        if not worker.is_ready:
            if now - worker.started > settings.worker_start_s:
                self.kill(HUNG, "it never got ready")
        else:
            self._ask_for_life_sign(worker, computes=computes)

    def _ask_for_life_sign(self, worker: WorkerProcess, *, computes: bool) -> None:
        now = self._clock.now
        silence = now - max(worker.last_heard, worker.started)
        if worker.is_gone:
            self.kill(DIED, "its connection has ended")
        elif silence > self._settings.pong_lease_s and not computes:
            self.kill(HUNG, "it doesn't answer")
        elif silence > PING_S and now - worker.pinged > PING_S:
            worker.pinged = now
            worker.send(Ping(0))

    def _bury(self, worker: WorkerProcess) -> Loss:
        self.worker = None
        code = worker.exit_code()
        if self._verdict is ASKED_TO_GO:
            LOG.info("worker %d ended", worker.pid)
            return self._verdict
        LOG.error("worker %d ended with %s\n%s", worker.pid, code, worker.last_words())
        if self._verdict is not CANCELLED:
            self._count_crash()
        return self._verdict

    def _count_crash(self) -> None:
        now, settings = self._clock.now, self._settings
        recent = [moment for moment in self._crashes if now - moment < settings.crash_window_s]
        self._crashes.append(now)
        delay_s = min(settings.backoff_first_s * 2 ** len(recent), settings.backoff_max_s)
        self._start_at = now + delay_s
        if self.has_given_up:
            self.is_wanted = False
            LOG.error("workers crashed %d times: no more are started", len(self._crashes))

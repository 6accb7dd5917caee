"""
The process that computes: one job at a time, for the broker that started it.

    python -m smart_matte.service.worker

It reads one line of JSON (``Settings``) from standard input, and ends at once when that ends.
"""

import faulthandler
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Protocol

from smart_matte.engine.cutout import Cutout, RawCutout
from smart_matte.engine.options import Options
from smart_matte.engine.types import AnyArray, Progress
from smart_matte.service import tether
from smart_matte.service.jobs import (
    Stopped,
    describe_stack,
    error_from,
    read_refining_options,
)
from smart_matte.service.kept import Kept, KeptJob
from smart_matte.service.line import FAULTY_EXIT, ForgetTask, JobTask, Line, RefineTask, UnloadTask
from smart_matte.service.log import open_log
from smart_matte.service.memory import keep_freed_memory
from smart_matte.service.models import Models
from smart_matte.service.planes import (
    SourceImage,
    check_outputs,
    cut_into_chunks,
)
from smart_matte.service.ticket import Ticket
from smart_matte_link import messages
from smart_matte_link.errors import ProtocolError
from smart_matte_link.messages import CHUNK_BYTES_MAX, End, Output, Result, make_error
from smart_matte_link.strict_json import Between, from_json

PROGRESS_EVERY_S = 0.1
USAGE_EXIT = 64

log = logging.getLogger(__name__)


class Compute(Protocol):
    """What runs a job: ``Models.compute``, or something quicker in tests."""

    def __call__(
        self,
        image: AnyArray,
        selection: AnyArray | None,
        options: Options,
        progress: Progress,
    ) -> RawCutout:
        """Compute a raw result; see compute_raw."""


@dataclass(frozen=True)
class Start:
    """
    What the broker says on standard input, so that no command line or environment shows it.

    Attributes:
        endpoint: where it listens for its workers.
        identity: the routing id by which it knows this one; random and secret.
        device: what options mean by "auto": "auto", or the device this worker is for.
        log_file: where this process alone logs; empty for nowhere.
        epoch: of the broker's run, for results.
        chunk_bytes: most bytes of a chunk of a result.
        kept_idle_s: how long raw results wait for being refined.
    """

    endpoint: Annotated[str, Between(1, 1000)]
    identity: messages.Bytes32
    device: messages.Name = "auto"
    log_file: messages.Sentence = ""
    epoch: messages.Bytes16 = "0" * 32
    chunk_bytes: Annotated[int, Between(1, CHUNK_BYTES_MAX)] = CHUNK_BYTES_MAX
    kept_idle_s: messages.Seconds = 300.0


def run_worker(compute: Compute | None = None) -> None:
    """
    Be a worker until the broker wants no more.

    Args:
        compute: what runs the jobs; None for the engine.
    """
    parent = os.getppid()
    faulthandler.enable()  # the broker reads the error stream
    _leave_signals_to_broker()
    tether.forbid_core_dumps()
    tether.prefer_for_oom_kill()
    keep_freed_memory()
    start = _read_start()
    tether.end_with_parent(parent)
    open_log(Path(start.log_file) if start.log_file else None)
    models = Models(start.device)
    line = Line(start.endpoint, start.identity)
    try:
        Worker(start, line, models, compute or models.compute).work()
    except BaseException as error:  # noqa: BLE001  (a worker that can't work must not linger)
        log.critical("%s\n%s", type(error).__name__, describe_stack(error))
        os._exit(FAULTY_EXIT)


class Worker:
    """Takes tasks from the line, one after the other, in the main thread."""

    def __init__(self, start: Start, line: Line, models: Models, compute: Compute) -> None:
        self._start = start
        self._line = line
        self._models = models
        self._compute = compute
        self._kept = Kept(start.kept_idle_s)

    def work(self) -> None:
        """Answer tasks for ever; the line ends the process."""
        self._line.post(self._models.facts())
        self._line.start()
        log.info("worker %d is ready", os.getpid())
        while True:
            self._take_one_task()

    def _take_one_task(self) -> None:
        task = self._line.next_task(self._kept.seconds_left())
        if task is None:
            self._kept.drop_idle()
        elif isinstance(task, UnloadTask):
            self._unload()
        elif isinstance(task, ForgetTask):
            self._kept.forget(task.job)
        elif isinstance(task, JobTask):
            self._end_well_or_not(task.ticket, partial(self._run, task))
        else:
            self._end_well_or_not(task.ticket, partial(self._refine, task))
        self._line.post(self._models.facts())

    def _end_well_or_not(self, ticket: Ticket, answer: Callable[[], None]) -> None:
        started_s, error = time.monotonic(), None
        try:
            answer()
        except Exception as caught:  # noqa: BLE001  (every job has an end, and the next one works)
            error = error_from(caught)
        # Only now is the exception gone, and with it what it held on to.
        if error is not None:
            if error.code == "out_of_memory":
                self._unload()
            self._line.post(error, ticket.job)
        took_ms = 1000 * (time.monotonic() - started_s)
        how = "well" if error is None else error.code
        log.info("job %s ended after %.0f ms: %s", ticket.job.hex()[:8], took_ms, how)

    def _run(self, task: JobTask) -> None:
        ticket, request = task.ticket, task.request
        progress = self._progress_of(ticket)
        progress("loading", 0.0)
        image = task.inputs.take_image()
        plane = image.plane
        log.info(
            "job %s: %d x %d, %s %s %s",
            *(ticket.job.hex()[:8], plane.width, plane.height),
            *(plane.order, plane.sample, plane.encoding),
        )
        raw = self._compute(
            image.for_engine(),
            task.inputs.take_selection(),
            request.options,
            progress,
        )
        cutout = image.finish(raw, request.options)
        kept = KeptJob(image, raw, request.options)
        is_kept = request.keep and self._kept.keep(ticket.job, kept)
        del raw, kept
        self._send_result(ticket, image, cutout, request.outputs, is_kept=is_kept)

    def _refine(self, task: RefineTask) -> None:
        ticket, refine = task.ticket, task.refine
        ticket.check()
        kept = self._kept.find(bytes.fromhex(refine.source))
        if kept is None:
            raise Stopped(
                make_error("not_kept", "The result to be refined is gone; run the job again.")
            )
        options = read_refining_options(refine.options, kept.options)
        check_outputs(kept.image.plane, refine.outputs)
        cutout = kept.image.finish(kept.raw, options)
        self._kept.keep(ticket.job, kept)
        self._send_result(ticket, kept.image, cutout, refine.outputs, is_kept=True)

    def _send_result(
        self,
        ticket: Ticket,
        image: SourceImage,
        cutout: Cutout,
        outputs: tuple[Output, ...],
        *,
        is_kept: bool,
    ) -> None:
        planes = tuple(output.plane_for(image.plane) for output in outputs)
        ticket.check()
        report = cutout.report.as_dict()
        result = Result(planes, report, self._start.epoch, is_kept)
        self._line.post(result, ticket.job)
        for chunk in cut_into_chunks(planes, image, cutout, self._start.chunk_bytes):
            ticket.wait_for_credit()
            self._line.post(chunk, ticket.job)
        self._line.post(End(result.byte_count), ticket.job)

    def _progress_of(self, ticket: Ticket) -> Progress:
        told_stage, told_s = "", 0.0

        def progress(stage: str, fraction: float) -> None:
            nonlocal told_stage, told_s
            ticket.check()
            now_s = time.monotonic()
            if stage == told_stage and now_s < told_s + PROGRESS_EVERY_S:
                return
            told_stage, told_s = stage, now_s
            share = min(float(fraction), 1.0) if fraction > 0 else 0.0
            self._line.post(messages.Progress(stage, share), ticket.job)

        return progress

    def _unload(self) -> None:
        self._kept.clear()
        self._models.unload()
        log.info("models unloaded")


def _leave_signals_to_broker() -> None:
    """
    Ignore what a terminal or a service manager sends to the whole group.

    The broker gets it too, lets the running job end, and then closes our standard input.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _read_start() -> Start:
    line = tether.read_first_line()
    if not line:  # whoever started this is gone already
        sys.exit(0)
    try:
        return from_json(Start, line)
    except ProtocolError as error:
        sys.stderr.write(f"A worker is started by the broker, not by hand: {error.sentence}\n")
        sys.exit(USAGE_EXIT)


if __name__ == "__main__":
    run_worker()

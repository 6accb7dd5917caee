"""Whether a worker that says nothing about its job is hung, or at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smart_matte.service.settings import Settings
    from smart_matte.service.worker_process import WorkerProcess

IDLE_SHARE = 0.05
"""A worker that uses less of a core than this waits for something that doesn't come."""


class Headway:
    """
    What one job's worker has done since it was last heard of the job.

    A second of the clock is no measure on a busy machine, where a worker may get a tenth of it;
    and one long call into a library (a cut, a distance, a solve of 28 megapixels) is no hang.
    """

    def __init__(self) -> None:
        self._moved = -1.0
        self._worked_s: float | None = None

    def is_lost(
        self, worker: WorkerProcess, moved: float, now: float, lease_s: float, settings: Settings
    ) -> bool:
        """
        Judge; to be asked often.

        Args:
            worker: the worker.
            moved: when the job was last heard of.
            now: the time.
            lease_s: the silence from which on it is judged at all.
            settings: the broker's figures.

        Returns:
            Whether it is blocked, holds the interpreter for longer than *lease_s* of processor
            time, or computes in a library for longer than native_lease_s.
        """
        worked_s = worker.worked_s()
        if moved != self._moved:
            self._moved, self._worked_s = moved, worked_s
        silence_s = now - moved
        if silence_s <= lease_s:
            return False
        answers = now - worker.last_heard <= settings.pong_lease_s
        if worked_s is None or self._worked_s is None:
            return not answers or silence_s > max(settings.native_lease_s, lease_s)
        worked_s -= self._worked_s
        if worked_s < IDLE_SHARE * silence_s:
            return True
        if answers:
            return silence_s > max(settings.native_lease_s, lease_s)
        return worked_s > lease_s

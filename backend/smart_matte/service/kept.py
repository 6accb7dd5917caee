"""Raw results that wait for being refined."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from smart_matte.engine.cutout import RawCutout
from smart_matte.engine.options import Options
from smart_matte.service.planes import SourceImage

MOST_JOBS = 2
"""Enough for an editor that compares two tries."""

MOST_BYTES = 2 << 30
"""Of all together; a picture of 8 bits takes 36 bytes for each pixel, so 59 megapixels fit."""


@dataclass(frozen=True)
class KeptJob:
    """
    What ``refine`` starts from.

    Attributes:
        image: the job's picture.
        raw: its raw result.
        options: what that was computed with.
    """

    image: SourceImage
    raw: RawCutout
    options: Options

    @property
    def byte_count(self) -> int:
        """Bytes of all its arrays."""
        raw = self.raw
        arrays = (self.image.samples, raw.colour, raw.own_alpha, raw.trimap, raw.alpha)
        return sum(array.nbytes for array in (*arrays, raw.foreground) if array is not None)


class Kept:
    """
    The last raw results by job id, until others, too many bytes or idle time push them out.

    Args:
        idle_s: how long nothing may ask for any of them.
        now_s: a monotonic clock, in seconds.
    """

    def __init__(self, idle_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._idle_s = idle_s
        self._now_s = now_s
        self._jobs: dict[bytes, KeptJob] = {}
        self._touched_s = now_s()

    def keep(self, job: bytes, kept: KeptJob) -> bool:
        """Keep a raw result if it isn't too large; a refined job's id may name the same one."""
        if kept.byte_count > MOST_BYTES:
            return False
        self._touched_s = self._now_s()
        self._jobs.pop(job, None)
        self._jobs[job] = kept
        while self._is_too_much():
            self._jobs.pop(next(iter(self._jobs)))
        return True

    def find(self, job: bytes) -> KeptJob | None:
        """The raw result of a job; it becomes the last to be pushed out."""
        kept = self._jobs.get(job)
        if kept is not None:
            self.keep(job, kept)
        return kept

    def forget(self, job: bytes) -> None:
        """Forget what is kept under this id, if anything is."""
        self._jobs.pop(job, None)

    def seconds_left(self) -> float | None:
        """Until ``drop_idle`` has something to do; None when there is nothing to drop."""
        if not self._jobs:
            return None
        return max(0.0, self._touched_s + self._idle_s - self._now_s())

    def drop_idle(self) -> None:
        """Forget all when nothing asked for any of them for long enough."""
        if self.seconds_left() == 0:
            self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._jobs.clear()

    def _is_too_much(self) -> bool:
        different = {id(kept): kept for kept in self._jobs.values()}.values()
        too_many_bytes = sum(kept.byte_count for kept in different) > MOST_BYTES
        return len(different) > MOST_JOBS or too_many_bytes

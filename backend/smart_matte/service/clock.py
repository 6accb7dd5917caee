"""Time as a loop has lived it, so that a pause of the whole process expires nothing."""

import time

STEP_MAX_S = 2.0
"""Longer between two turns than the loop ever sleeps: the process, or the machine, was paused."""


class LoopClock:
    """
    Seconds since the loop's start; of a pause no more than STEP_MAX_S are counted.

    After SIGCONT or a night's sleep the messages that prove everybody's life wait to be read: no
    lease may run out before that.

    Attributes:
        now: seconds; the same for a whole turn.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._last = time.monotonic()

    def advance(self) -> None:
        """A new turn begins."""
        moment = time.monotonic()
        self.now += min(moment - self._last, STEP_MAX_S)
        self._last = moment

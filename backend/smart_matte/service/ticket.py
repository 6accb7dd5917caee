"""What the worker's two threads share about the job under way."""

import threading
import time

from smart_matte.service.jobs import Stopped
from smart_matte_link.messages import Error, make_error

PATIENCE_S = 1.0
"""How often a wait for credit looks at the deadline."""


class Ticket:
    """
    One job: whether it has to stop, and how many chunks of its result may be sent.

    Attributes:
        job: its id.
    """

    def __init__(self, job: bytes, deadline_s: float | None) -> None:
        self.job = job
        self._until_s = None if deadline_s is None else time.monotonic() + deadline_s
        self._credit = threading.Semaphore(0)
        self._error: Error | None = None

    def stop(self, error: Error) -> None:
        """Make the job end with *error* the next time it looks; the first one counts."""
        self._error = self._error or error
        self._credit.release()  # it may be waiting there

    def grant(self, chunks: int) -> None:
        """The other side takes so many more chunks."""
        self._credit.release(chunks)

    def check(self) -> None:
        """
        Go on or not.

        Raises:
            Stopped: the job has to end.
        """
        if self._until_s is not None and time.monotonic() >= self._until_s:
            self.stop(make_error("deadline", "The job took longer than it was allowed to."))
        if self._error is not None:
            raise Stopped(self._error)

    def wait_for_credit(self) -> None:
        """
        Wait until a chunk may be sent.

        Raises:
            Stopped: the job has to end.
        """
        while True:
            self.check()
            if self._credit.acquire(timeout=PATIENCE_S):
                self.check()
                return

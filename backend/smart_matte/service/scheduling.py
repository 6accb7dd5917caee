"""The queue: bounded, and fair between clients."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smart_matte.service.clients import Client
    from smart_matte.service.job_state import Job
    from smart_matte.service.settings import Settings


class Queue:
    """Jobs that wait for their turn; the client whose last turn is longest ago is next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: dict[Client, deque[Job]] = {}
        self._turns: dict[Client, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def refusal(self, client: Client, byte_count: int, admitted_bytes: int) -> str:
        """
        Why another job can't be taken now.

        Args:
            client: whose it would be.
            byte_count: bytes of the new job.
            admitted_bytes: bytes of all jobs that were taken and haven't ended.

        Returns:
            A sentence; "" if it can.
        """
        limits = self._settings
        if len(self._waiting.get(client, ())) >= limits.waiting_per_client:
            return f"{limits.waiting_per_client} of your jobs are waiting already."
        if len(self) >= limits.waiting_total:
            return f"{limits.waiting_total} jobs are waiting already."
        if admitted_bytes and admitted_bytes + byte_count > limits.admitted_bytes:
            return "The jobs that are under way fill the memory set aside for pictures."
        return ""

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._waiting.setdefault(job.client, deque()).append(job)

    def remove(self, job: Job) -> None:
        """A job no longer waits; nothing happens where it didn't."""
        line = self._waiting.get(job.client)
        if line and job in line:
            line.remove(job)
            self._tidy(job.client)

    def next(self) -> Job | None:
        """Take out the job whose turn it is."""
        if not self._waiting:
            return None
        client = self._by_turn()[0]
        job = self._waiting[client].popleft()
        self._turn += 1
        self._turns[client] = self._turn
        self._tidy(client)
        return job

    def order(self) -> list[Job]:
        """All that wait, in the order in which they would run."""
        lines = [list(self._waiting[client]) for client in self._by_turn()]
        rounds = max(map(len, lines), default=0)
        return [line[place] for place in range(rounds) for line in lines if place < len(line)]

    def forget(self, client: Client) -> None:
        """A client has left; its jobs were removed before."""
        self._turns.pop(client, None)

    def _by_turn(self) -> list[Client]:
        return sorted(self._waiting, key=self._last_turn)

    def _last_turn(self, client: Client) -> int:
        return self._turns.get(client, 0)

    def _tidy(self, client: Client) -> None:
        if not self._waiting[client]:
            del self._waiting[client]


def admitted_bytes(jobs: Iterable[Job]) -> int:
    """Bytes of jobs that haven't ended."""
    return sum(job.byte_count for job in jobs)

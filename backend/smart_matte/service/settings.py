"""Every figure that the broker decides by, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """
    Limits and times of the broker.

    Where no other source is named, the values are those of the reliability study that came
    before the service: majordomo's life signs, VS Code's crash budget, Ollama's idle times.

    Attributes:
        endpoint: where clients connect; "" chooses by system. Only loopback addresses.
        log_folder: None for the user's log folder.
        worker_device: what the worker computes on; "auto" lets it choose.
        worker_settings: handed to the worker as they are.
        waiting_per_client: most waiting jobs of one client; the rest is told "busy".
        waiting_total: most waiting jobs of all clients.
        admitted_bytes: most bytes of all unfinished jobs together.
        credit_chunks: chunks of a result under way from the worker; 16 MiB.
        hello_s: from hello to proof.
        lease_s: silence of a client with an open job that counts as its death.
        chunk_gap_s: longest wait for a client to send, or take, pixels while nobody else waits.
        crowded_gap_s: the same while other clients' jobs wait.
        transfer_bytes_per_s: pixels that make up for a second of such a wait.
        job_deadline_s: from a job's turn to its end, where the client names no deadline.
        cancel_s: from cancelling a job to killing a worker that goes on with it.
        progress_lease_s: longest silence of a worker that computes; see ``headway``.
        loading_lease_s: the same while it loads models, which it announces.
        native_lease_s: the same while it answers and its processor time goes on.
        pong_lease_s: longest silence of a worker that doesn't compute.
        stopped_s: a worker that is stopped (SIGSTOP) for longer is killed.
        worker_start_s: from starting a worker to its first message.
        crash_budget: so many crashes within crash_window_s, without a job done, are too many.
        crash_window_s: see crash_budget.
        backoff_first_s: wait after a crash; doubles with each further one.
        backoff_max_s: longest wait after a crash.
        drain_s: patience with the running job on SIGTERM.
        unload_s: idle time after which models leave memory.
        worker_exit_s: idle time after which the worker ends.
        broker_exit_s: idle time after which the broker ends.
        memory_max_bytes: the broker gives up above this; it streams, and needs a tenth.
    """

    endpoint: str = ""
    log_folder: Path | None = None
    worker_device: str = "auto"
    worker_settings: Mapping[str, Any] = field(default_factory=dict)

    waiting_per_client: int = 4
    waiting_total: int = 16
    admitted_bytes: int = 4096 * MIB
    credit_chunks: int = 4

    hello_s: float = 3.0
    lease_s: float = 6.0
    chunk_gap_s: float = 10.0
    crowded_gap_s: float = 3.0
    transfer_bytes_per_s: int = 4 * MIB
    job_deadline_s: float = 1800.0
    cancel_s: float = 2.0

    progress_lease_s: float = 15.0
    loading_lease_s: float = 120.0
    native_lease_s: float = 120.0
    pong_lease_s: float = 5.0
    stopped_s: float = 2.0
    worker_start_s: float = 120.0
    crash_budget: int = 5
    crash_window_s: float = 180.0
    backoff_first_s: float = 0.2
    backoff_max_s: float = 5.0

    drain_s: float = 10.0
    unload_s: float = 300.0
    worker_exit_s: float = 600.0
    broker_exit_s: float = 1800.0
    memory_max_bytes: int = 768 * MIB

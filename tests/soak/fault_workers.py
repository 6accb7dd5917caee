"""Workers that hang, that die at every start, and jobs that are cancelled: F4, F14, C1."""

import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fault_harness import FAKE_WORKER, Raw, in_lanes, place
from fault_requests import SMALL, Outcome, WatchedClient, make_pixels, request
from fault_strikes import slowest
from figures import Figure, zero

from smart_matte.service.settings import Settings
from smart_matte_link.envelope import Message
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Grant,
    MessageType,
    Output,
    Plane,
    Pong,
    new_job_id,
)

REAL_WORKER = FAKE_WORKER.with_name("fake_compute_worker.py")
"""The worker's own process and line; only what it computes is told by the job."""

SHORT_LEASE_S = 1.0
REACT_S = 1.0
"""On top of a lease: for looking, killing and telling."""

QUIET_S = 30.0
CORE_SHARE = 0.02
ACK_S, STOPPED_S, REPLACED_S = 0.1, 2.0, 5.0
DEAF = 0.01
PATIENCE_S = 20.0
IMAGE = Plane("image", 64, 48, "RGB", "u8", "srgb")
SELECTION = Plane("selection", 64, 48, "GRAY", "u8", "coverage")
ALPHA = (Output("alpha", "GRAY", "u8"),)


def hangs(tries: int, seed: int) -> list[Figure]:
    """F4: one with the lease as shipped, the others with a shorter one."""
    shipped = Settings().progress_lease_s

    def lane(rng: Random, count: int, settings: dict[str, float]) -> list[tuple[Outcome, Outcome]]:
        with place(**settings) as here, here.client() as client:
            here.wait_for_worker(client)
            return [_hang_once(client, rng) for _ in range(count)]

    def shorter(rng: Random, count: int) -> list[tuple[Outcome, Outcome]]:
        return lane(rng, count, {"progress_lease_s": SHORT_LEASE_S})

    short = in_lanes(tries, 3, f"F4/{seed}", shorter)
    real = in_lanes(1, 1, f"F4/shipped/{seed}", lambda rng, count: lane(rng, count, {}))
    found, name = [*short, *real], "F4 workers that hold the GIL"
    codes = Counter(hung.code for hung, _ in found)
    limits = ((real, shipped), (short, SHORT_LEASE_S))
    return [
        zero(f"{name}: not told “hung”, of {len(found)}", len(found) - codes["hung"]),
        zero(f"{name}: failures of the next request", sum(not after.is_good for _, after in found)),
        *(
            Figure(
                f"{name}: until told, lease {lease_s:g} s, {len(some)} tries",
                f"{max(hung.seconds for hung, _ in some):.2f} s",
                f"<= {lease_s + REACT_S:g} s",
                max(hung.seconds for hung, _ in some) <= lease_s + REACT_S,
            )
            for some, lease_s in limits
        ),
    ]


def _hang_once(client: WatchedClient, rng: Random) -> tuple[Outcome, Outcome]:
    hung = Outcome()
    options = {"do": "hold", "seconds": 60}
    try:
        client.cutout([(SMALL, make_pixels(SMALL, rng))], ALPHA, options)
        hung.code = "done"
    except LinkError as error:
        hung.code = error.code
    hung.ended = time.monotonic()
    return hung, request(client, rng)


def crash_loop(_tries: int, seed: int) -> list[Figure]:
    """F14."""
    settings = {"worker_settings": {"at_start": "die"}}
    with place(**settings) as here, here.client() as client:
        outcome = request(client, Random(seed))  # noqa: S311  (to be repeated)
        began, used = time.monotonic(), _processor_s(here.broker())
        while time.monotonic() - began < QUIET_S:
            time.sleep(QUIET_S / 10)
            again = request(client, Random(seed))  # noqa: S311  (as above)
        share = (_processor_s(here.broker()) - used) / (time.monotonic() - began)
        starts = len(re.findall(r"worker \d+ started", here.log()))
    budget, name = Settings().crash_budget, "F14 a worker that dies at every start"
    code = {outcome.code, again.code}
    return [
        Figure(f"{name}: starts", str(starts), str(budget), starts == budget),
        Figure(f"{name}: told", f"{outcome.code}, after {outcome.seconds:.1f} s", "internal",
               code == {"internal"}),
        Figure(
            f"{name}: share of a core over the {QUIET_S:g} s after, 10 requests refused",
            f"{100 * share:.1f} %",
            f"<= {100 * CORE_SHARE:g} %",
            share <= CORE_SHARE,
        ),
    ]  # fmt: skip


def _processor_s(pid: int) -> float:
    """Of a process and those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Cancelled:
    """
    A job and its cancel.

    Attributes:
        is_deaf: whether the worker won't listen.
        selection: what the alpha has to be.
        code: how it ended.
        is_right: whether its answer was.
        ack_s: from the cancel to its end; None where it ended before.
        free_s: from the cancel to the worker's taking the next job.
    """

    is_deaf: bool
    selection: bytes
    code: str = ""
    is_right: bool = True
    ack_s: float | None = None
    free_s: float | None = None


class Canceller:
    """A client that cancels each of its jobs, and hears what comes for those that have ended."""

    def __init__(self, raw: Raw, rng: Random) -> None:
        self.late = 0
        self._raw, self._rng = raw, rng
        self._ended: set[bytes] = set()
        self._now = self._before = Cancelled(is_deaf=False, selection=b"")
        self._job, self._pixels, self._alpha = b"", b"", b""
        self._cancelled: float | None = None
        self._cancelled_before: float | None = None

    def cancel_once(self) -> Cancelled:
        cancel_at = time.monotonic() + self._begin()
        while not self._now.code:
            moment = time.monotonic()
            if self._cancelled is None and moment >= cancel_at:
                self._raw.send(Cancel(), self._job)
                self._cancelled = moment
            message = self._raw.receive(
                PATIENCE_S if self._cancelled else max(0.0, cancel_at - moment)
            )
            if message is None and self._cancelled:
                self._now.code = "nothing"
            elif message is not None and message.job == self._job:
                self._take(message)
            elif message is not None and message.type is MessageType.PING:
                self._raw.send(Pong(message.body.number))
            elif message is not None and message.job in self._ended:
                self.late += 1
        if self._cancelled:
            self._now.ack_s = time.monotonic() - self._cancelled
        self._ended.add(self._job)
        return self._now

    def _begin(self) -> float:
        """Begin a job; returns when to cancel it."""
        rng = self._rng
        self._before, self._cancelled_before = self._now, self._cancelled
        selection = bytes(rng.choices((0, 255), k=SELECTION.byte_count))
        self._now = Cancelled(rng.random() < DEAF, selection)
        self._job, self._alpha, self._cancelled = new_job_id(), b"", None
        self._pixels = rng.randbytes(IMAGE.byte_count) + selection
        seconds = rng.choice((0.0, 0.05, 0.2))
        what = ["deaf", "6"] if self._now.is_deaf else ["slow", str(seconds)]
        options = {"classes": what if seconds or self._now.is_deaf else ["quick"]}
        self._raw.send(Begin((IMAGE, SELECTION), ALPHA, options), self._job)
        if self._before.is_deaf:
            return PATIENCE_S  # so that its turn comes
        return 0.3 if self._now.is_deaf else rng.uniform(0, seconds + 0.03)

    def _take(self, message: Message) -> None:
        """What a client does with a message for its job."""
        if message.type is MessageType.GRANT and self._pixels:
            if self._cancelled_before:
                self._before.free_s = time.monotonic() - self._cancelled_before
            self._raw.send_chunk(self._pixels, self._job)
            self._raw.send(End(len(self._pixels)), self._job)
            self._pixels = b""
        elif message.type is MessageType.RESULT:
            self._raw.send(Grant(8), self._job)
        elif message.type is MessageType.CHUNK:
            self._alpha += message.body
        elif message.type is MessageType.END:
            self._now.code, self._now.is_right = "done", self._alpha == self._now.selection
        elif message.type is MessageType.ERROR:
            self._now.code = message.body.code


def cancels(tries: int, seed: int) -> list[Figure]:
    """C1."""
    late: list[int] = []

    def lane(rng: Random, count: int) -> list[Cancelled]:
        with place(REAL_WORKER) as here, here.client() as client:
            here.wait_for_worker(client)
            with Raw(here).greet() as raw:
                canceller = Canceller(raw, rng)
                found = [canceller.cancel_once() for _ in range(count)]
            late.append(canceller.late)
        return found

    found = in_lanes(tries, 2, f"C1/{seed}", lane)
    codes = Counter(one.code for one in found)
    name = f"C1 {len(found)} cancels"
    acks = sorted(one.ack_s for one in found if one.ack_s is not None)
    ack_s = acks[int(0.99 * (len(acks) - 1))]
    ends = ", ".join(f"{count} {code}" for code, count in codes.most_common())
    return [
        Figure(name, f"({ends})", "", is_met=True),
        zero(f"{name}: ended otherwise", len(found) - codes["done"] - codes["cancelled"]),
        zero(f"{name}: wrong answers", sum(not one.is_right for one in found)),
        zero(f"{name}: messages after a job's end", sum(late)),
        Figure(f"{name}: answered, 99th percentile", f"{1000 * ack_s:.1f} ms", "<= 100 ms",
               ack_s <= ACK_S),
        *(_free(name, found, is_deaf=is_deaf) for is_deaf in (False, True)),
    ]  # fmt: skip


def _free(name: str, found: list[Cancelled], *, is_deaf: bool) -> Figure:
    times = [one.free_s for one in found if one.is_deaf is is_deaf]
    if is_deaf:
        return slowest(f"{name}: until a deaf worker was replaced", times, REPLACED_S)
    return slowest(f"{name}: until the worker was free", times, STOPPED_S)

"""
Thousands of requests through the real broker and the real client, some of them bad.

Two clients in threads send pictures of all kinds to a worker whose answer depends on every byte;
one in a hundred requests is malformed, one cancelled at a random moment, one in two hundred comes
with a SIGKILL for the worker. After every block of requests, when nothing runs, the broker's
memory, descriptors, threads, processes and files are counted. Exits 1 when a limit is broken.

    python tests/soak/soak.py --requests 10000 --seed 0
"""

import argparse
import itertools
import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from figures import Figure, report, zero
from malformed import send_malformed
from soak_backend import Backend, running
from soak_worker import expected_planes

from smart_matte_link import session as link_session
from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Answer, Wishes
from smart_matte_link.messages import MessageType, Output, Plane

MALFORMED, CANCELLED, KILLED = 0.01, 0.01, 0.005
SHARE_2_MP = 0.005
CLIENTS = 2
BLOCK = 100
SETTLE_S = 20.0
BLOCK_S = 300.0
DEADLINE_S = 60.0
MIB = 1024 * 1024

SLOPE_MAX_BYTES = 1024
DRIFT_MAX_BYTES = 16 * MIB
REQUESTS_FOR_SLOPE = 2000
"""With fewer, memory still fills up to what it stays at."""

COUNTED = (
    "descriptors",
    "threads",
    "processes",
    "shared_memory",
    "runtime_files",
    "temporary_files",
)
"""Fields of Sample that have to be the same in the end."""

ENDS = {
    "plain": {"done", "worker_died"},
    "killed": {"done", "worker_died"},
    "cancelled": {"done", "cancelled", "worker_died"},
    "malformed": {"bad_message", "bad_geometry", "closed", "worker_died"},
}
"""How a request may end; worker_died only when its second try met a SIGKILL as well."""

POOL = Random(0).randbytes(40 * MIB)  # noqa: S311  (pixels, no secrets)


class Watch:
    """
    What the client's connections hear, seen below the client.

    Attributes:
        begun: ids of the jobs that a client began.
        ends: for each job, how many END and ERROR came.
        results: for each job, how many RESULT came.
    """

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.ends: Counter[bytes] = Counter()
        self.results: Counter[bytes] = Counter()
        decode_header, new_job_id = link_session.decode_header, link_session.new_job_id

        def decode_and_note(*arguments: object):
            header = decode_header(*arguments)
            if header.type in {MessageType.END, MessageType.ERROR}:
                self.ends[header.job] += 1
            elif header.type is MessageType.RESULT:
                self.results[header.job] += 1
            return header

        def new_and_note() -> bytes:
            job = new_job_id()
            self.begun.append(job)
            return job

        link_session.decode_header = decode_and_note
        link_session.new_job_id = new_and_note


class CountingClient(Client):
    """
    The client, which also counts how often it tried the request under way.

    Attributes:
        tries: so often.
    """

    tries = 0

    def _attempt(self, task, *wishes, **options):
        def counted(session):
            self.tries += 1
            return task(session)

        return super()._attempt(counted, *wishes, **options)


class After(NamedTuple):
    """A wish to cancel from some moment on."""

    moment: float

    def is_set(self) -> bool:
        return time.monotonic() >= self.moment


@dataclass
class Request:
    """
    One request, the same for the same seed and number.

    Attributes:
        kill_share: how many requests of all come with a SIGKILL.
        fate: "plain", "malformed", "cancelled" or "killed".
        states: how it ended; one entry, if all is well.
        is_right: whether the answer is the one to these pixels.
        tries: how often the client sent it.
        byte_count: pixels that went there and came back.
        seconds: from its start to its end.
    """

    number: int
    rng: Random
    kill_share: float
    fate: str = "plain"
    states: list[str] = field(default_factory=list)
    is_right: bool = True
    tries: int = 0
    byte_count: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        dice = self.rng.random()
        shares = {"malformed": MALFORMED, "cancelled": CANCELLED, "killed": self.kill_share}
        for fate, share in shares.items():
            if dice < share:
                self.fate = fate
                return
            dice -= share

    def make_planes(self) -> list[tuple[Plane, bytes]]:
        rng = self.rng
        is_large = rng.random() < SHARE_2_MP
        pixels = 2_000_000 if is_large else round(256 * 2000 ** rng.random())
        width = max(16, min(pixels // 16, round(pixels**0.5 * rng.uniform(0.5, 2))))
        height = pixels // width
        order = rng.choice(("GRAY", "GRAYA", "RGB", "BGR", "RGBA", "BGRA"))
        sample = rng.choice(("u8", "u16", "f16", "f32"))
        image = Plane("image", width, height, order, sample, rng.choice(("srgb", "linear")))
        planes = [(image, self.make_pixels(image))]
        if rng.random() < 0.5:
            selection = Plane("selection", width, height, "GRAY", "u8", "coverage")
            planes.append((selection, self.make_pixels(selection)))
        return planes

    def make_pixels(self, plane: Plane) -> bytes:
        """Bytes that no other request has."""
        count = plane.byte_count
        start = self.rng.randrange(len(POOL) - count)
        return self.number.to_bytes(8, "big") + POOL[start + 8 : start + count]

    def check(self, answer: Answer, planes: list[tuple[Plane, bytes]]) -> None:
        image, pixels = planes[0]
        everything = b"".join(part for _, part in planes)
        alpha, foreground = answer.planes["alpha"], answer.planes["foreground"]
        expected = expected_planes(pixels, everything, image.width * image.height)
        self.is_right = (
            answer.image == image
            and (alpha.plane.width, alpha.plane.height) == (image.width, image.height)
            and (foreground.plane.order, foreground.plane.sample) == (image.order, image.sample)
            and (alpha.pixels, foreground.pixels) == expected
        )
        self.byte_count = len(everything) + sum(map(len, expected))


class Sample(NamedTuple):
    """What the broker has, and left behind, after so many requests."""

    requests: int
    rss: int
    descriptors: int
    threads: int
    processes: int
    shared_memory: int
    runtime_files: int
    temporary_files: int
    worker_pid: int
    worker_rss: int


def rss_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(pid)


def count_files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*"))


def own_shared_memory() -> int:
    entries = (entry.stat() for entry in Path("/dev/shm").glob("*"))  # noqa: S108  (only counted)
    return sum(entry.st_uid == os.getuid() for entry in entries)


class Soak:
    def __init__(self, backend: Backend, seed: int, kill_share: float) -> None:
        self.backend = backend
        self.kill_share = kill_share
        self.seed = seed
        self.watch = Watch()
        self.clients = [CountingClient(f"soak-{index}", "0") for index in range(CLIENTS)]
        for client in self.clients:
            client._start, client._folder = False, backend.runtime
        self.requests: list[Request] = []
        self.samples: list[Sample] = []
        self.kills = 0
        self.seconds = 0.0

    def run(self, count: int) -> None:
        self.samples.append(self.settle(0))
        for first in range(0, count, BLOCK):
            last = min(first + BLOCK, count)
            block = [self.make_request(number) for number in range(first, last)]
            self.requests += block
            started = time.monotonic()
            self.run_block(block)
            self.seconds += time.monotonic() - started
            self.samples.append(self.settle(last))
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{last} of {count}")

    def make_request(self, number: int) -> Request:
        rng = Random(f"{self.seed}/{number}")  # noqa: S311  (to be repeated, not secret)
        return Request(number, rng, self.kill_share)

    def run_block(self, block: list[Request]) -> None:
        todo: queue.SimpleQueue[Request] = queue.SimpleQueue()
        for request in block:
            todo.put(request)
        threads = [
            threading.Thread(target=self.work, args=(client, todo), daemon=True)
            for client in self.clients
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + BLOCK_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            sys.exit(f"a request never ended: {[r.number for r in block if not r.states]}")

    def work(self, client: CountingClient, todo: queue.SimpleQueue) -> None:
        while True:
            try:
                request = todo.get_nowait()
            except queue.Empty:
                return
            client.tries, started = 0, time.monotonic()
            try:
                if request.fate == "malformed":
                    request.states.append(send_malformed(self.backend.runtime, request.rng))
                else:
                    self.do(client, request)
                    request.states.append("done")
            except LinkError as error:
                request.states.append(error.code)
            request.tries, request.seconds = client.tries, time.monotonic() - started

    def do(self, client: CountingClient, request: Request) -> None:
        rng, cancel, killer = request.rng, None, None
        planes = request.make_planes()
        image = planes[0][0]
        outputs = (Output("alpha", "GRAY", "u8"), Output("foreground", image.order, image.sample))
        options: dict[str, object] = {"request": request.number}
        if request.fate != "plain":
            options["seconds"] = rng.choice((0, rng.uniform(0, 0.1)))
        if request.fate == "cancelled":
            cancel = After(time.monotonic() + rng.choice((0.01, 0.1)) * rng.random())
        elif request.fate == "killed":
            killer = threading.Timer(rng.choice((0.01, 0.1)) * rng.random(), self.kill_worker)
            killer.start()
        try:
            wishes = Wishes(cancel=cancel, deadline_s=DEADLINE_S)
            request.check(client.cutout(planes, outputs, options, wishes), planes)
        finally:
            if killer:
                killer.join()

    def kill_worker(self) -> None:
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            for pid in self.backend.children():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills += 1
                return
            time.sleep(0.01)

    def settle(self, requests: int) -> Sample:
        """Wait until nothing runs and a worker is ready, then count."""
        until = time.monotonic() + SETTLE_S
        while True:
            statuses = [client.status() for client in self.clients]
            status = statuses[-1]
            is_idle = not status.jobs_running and not status.jobs_waiting
            is_ready = [worker.state for worker in status.workers] == ["idle"]
            sample = self.count(requests) if is_idle and is_ready else None
            if sample and (not self.samples or sample.descriptors == self.samples[0].descriptors):
                return sample
            if time.monotonic() > until:
                if sample:
                    return sample
                sys.exit(f"the backend never came to rest: {status}")
            time.sleep(0.05)

    def count(self, requests: int) -> Sample | None:
        pid, children = self.backend.process.pid, self.backend.children()
        try:
            return Sample(
                requests,
                rss_of(pid),
                sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
                sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
                len(children),
                own_shared_memory(),
                count_files(self.backend.runtime),
                count_files(self.backend.temporary),
                children[0],
                rss_of(children[0]),
            )
        except (OSError, IndexError):  # a process ended while it was looked at
            return None

    def worker_growth(self) -> int:
        """Most that one worker grew by, between the first and the largest look at it."""
        by_pid = itertools.groupby(self.samples, key=lambda sample: sample.worker_pid)
        lives = [[sample.worker_rss for sample in samples] for _, samples in by_pid]
        return max(max(life) - life[0] for life in lives)

    def ledger(self) -> tuple[Counter[int], Counter[int]]:
        """How often the workers began, and finished, each request."""
        begun: Counter[int] = Counter()
        done: Counter[int] = Counter()
        for line in self.backend.ledger.read_text().splitlines():
            event, number = line.split()
            (begun if event == "begun" else done)[int(number)] += 1
        return begun, done


def slope_of(samples: list[Sample]) -> float:
    """Bytes of memory per request, by least squares."""
    mean_x = sum(sample.requests for sample in samples) / len(samples)
    mean_y = sum(sample.rss for sample in samples) / len(samples)
    above = sum((s.requests - mean_x) * (s.rss - mean_y) for s in samples)
    below = sum((s.requests - mean_x) ** 2 for s in samples)
    return above / below if below else 0.0


def count_faults(soak: Soak) -> list[Figure]:
    requests, watch = soak.requests, soak.watch
    begun, done = soak.ledger()
    unended = sum(len(request.states) != 1 for request in requests)
    odd = [r for r in requests if not set(r.states) <= ENDS[r.fate]]
    unanswered = sum(1 for job in watch.begun if not watch.ends[job])
    answered_twice = sum(1 for job in watch.begun if max(watch.ends[job], watch.results[job]) > 1)
    did_twice = sum(1 for r in requests if max(begun[r.number], done[r.number]) > r.tries)
    wrong = sum(1 for request in requests if not request.is_right)
    missing = sum(1 for r in requests if r.states == ["done"] and not done[r.number])
    for request in odd:
        sys.stderr.write(f"request {request.number} ({request.fate}) ended as {request.states}\n")
    if odd:
        log = (soak.backend.log_folder / "broker.log").read_text().splitlines()
        killed = [line for line in log if "is killed" in line]
        sys.stderr.write("\n".join(["the broker's own kills:", *killed, ""]))
    return [
        zero("requests that did not end in exactly one state", unended),
        zero("requests that ended in a state that their kind does not explain", len(odd)),
        zero("jobs lost: begun, and never ended on the wire", unanswered),
        zero("jobs doubled: ended or answered twice on the wire", answered_twice),
        zero("requests doubled: computed more often than sent", did_twice),
        zero("answers misdelivered or changed", wrong),
        zero("answers that no worker's ledger knows", missing),
    ]


def count_growth(soak: Soak) -> list[Figure]:
    total = len(soak.requests)
    samples = [sample for sample in soak.samples if sample.requests >= total // 10]
    first, last = samples[0], samples[-1]
    slope, drift = slope_of(samples), last.rss - first.rss
    span = f"from request {first.requests} to {last.requests}"
    figures = [
        Figure(
            "broker memory, slope",
            f"{slope:.0f} B/request",
            f"<= {SLOPE_MAX_BYTES}" if total >= REQUESTS_FOR_SLOPE else "",
            slope <= SLOPE_MAX_BYTES or total < REQUESTS_FOR_SLOPE,
        ),
        Figure(
            f"broker memory, drift {span}",
            f"{drift / MIB:.1f} MiB",
            f"<= {DRIFT_MAX_BYTES // MIB}",
            drift <= DRIFT_MAX_BYTES,
        ),
    ]
    for name in COUNTED:
        change = getattr(last, name) - getattr(first, name)
        figures.append(zero(f"{name.replace('_', ' ')}, drift", change))
    growth = f"{soak.worker_growth() / MIB:.1f} MiB"
    figures.append(Figure("fake worker memory, most growth of one", growth, "", is_met=True))
    return figures


def describe(soak: Soak) -> str:
    requests = soak.requests
    fates = Counter(request.fate for request in requests)
    ends = Counter(state for request in requests for state in request.states)
    moved = sum(request.byte_count for request in requests) / 1e6
    rss = [sample.rss / MIB for sample in soak.samples]
    again = [request.seconds for request in requests if request.tries > 1]
    return (
        f"{len(requests)} requests in {soak.seconds:.0f} s ({len(requests) / soak.seconds:.0f}/s,"
        f" {moved / soak.seconds:.0f} MB/s of pixels both ways), seed {soak.seed}, {CLIENTS}"
        f" clients; {fates['malformed']} malformed, {fates['cancelled']} cancelled, {soak.kills}"
        f" SIGKILLs of the worker. They ended: "
        + ", ".join(f"{count} {state}" for state, count in ends.most_common())
        + f"; {len(again)} after a second try, with a new worker, the slowest of these in"
        f" {max(again, default=0):.1f} s. Broker memory {rss[0]:.1f}"
        f" MiB before the first, {max(rss):.1f} at most, {rss[-1]:.1f} after the last."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=float, default=KILLED, help="share of SIGKILLs")
    parser.add_argument("--write", type=Path, help="document that gets the figures")
    arguments = parser.parse_args()
    with running("soak_worker.py") as backend:
        soak = Soak(backend, arguments.seed, arguments.kills)
        soak.run(arguments.requests)
        figures = count_faults(soak) + count_growth(soak)
        for client in soak.clients:
            client.close()
    left = soak.backend.process.returncode
    figures.append(Figure("the broker's exit code at its end", str(left), "0", left == 0))
    return report("soak", arguments.write, figures, describe(soak))


if __name__ == "__main__":
    sys.exit(main())

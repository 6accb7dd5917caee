"""
Limits, fairness, a suspended machine, and memory that runs out: the real broker, fake workers.

Exits 1 when a goal isn't met.

    python tests/soak/limits.py --write docs/reliability.md
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import zmq
from figures import Figure, report, zero
from soak_backend import children_of

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

import broker_harness as harness
from broker_harness import IMAGE, PIXELS, Backend, Raw

from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import End, Grant, MessageType, Output, Plane

CLIENTS = 64
OVER_LIMIT = 1000
BUSY_S = 0.050
JOBS = 200
QUEUED = 50
JAIN = 0.95
SUSPENDED_S = 10.0
LARGE = Plane("image", 8000, 8000, "RGBA", "f32", "srgb")  # 1 GB
PICTURE = Plane("image", 2000, 1500, "RGBA", "u8", "srgb")


@contextmanager
def running(**settings: object) -> Iterator[Backend]:
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        path = Path(folder)
        path.chmod(0o700)
        with harness.running(path, **settings) as backend:
            backend.worker_pid()
            yield backend


# L6 -----------------------------------------------------------------------------------------------


def limits(tries: int) -> list[Figure]:
    """Clients that want more than is allowed, many at once."""
    patient = {"crowded_gap_s": 60, "chunk_gap_s": 60, "lease_s": 60}
    with running(**patient) as backend, ExitStack() as stack:
        raws = [stack.enter_context(Raw(backend)).greet() for _ in range(CLIENTS)]
        first = raws[0].begin(seconds=0)
        raws[0].expect(MessageType.GRANT, first)  # it runs, and waits for its pixels
        admitted = {first: raws[0]}
        for raw in raws[:4]:
            admitted |= {raw.begin(): raw for _ in range(4)}
        harness.wait_until(lambda: backend.status().jobs_waiting == 16)
        times, wrong = flood(raws[4:], tries)
        send_pixels(raws[0], first)
        served = serve_all(admitted)
    memory_times, memory_wrong = flood_memory(tries // 10)
    times += memory_times
    slowest = max(times, default=9.0)
    return [
        Figure("L6 tries over the limit", str(len(times)), f">= {tries}", len(times) >= tries),
        zero("L6 tries without exactly one “busy” that says when to come again", wrong),
        zero("L6 the same where memory for pictures was the limit", memory_wrong),
        Figure(
            f"L6 until “busy”, {CLIENTS - 4} clients at once: slowest",
            f"{1000 * slowest:.0f} ms, median {1000 * statistics.median(times):.0f} ms",
            f"<= {1000 * BUSY_S:.0f} ms",
            slowest <= BUSY_S,
        ),
        Figure("L6 jobs within the limit that were done", str(served), "17", served == 17),
    ]


def flood(raws: list[Raw], tries: int, image: Plane = IMAGE) -> tuple[list[float], int]:
    """Try in rounds, everybody at once; the times to the answers, and how many were not right."""
    times: list[float] = []
    wrong = 0
    while len(times) + wrong < tries:
        poller = zmq.Poller()
        began: dict[bytes, tuple[Raw, float]] = {}
        for raw in raws:
            poller.register(raw.socket, zmq.POLLIN)
            moment = time.perf_counter()
            began[raw.begin(image)] = raw, moment
        until = time.monotonic() + 2
        while began and time.monotonic() < until:
            ready = dict(poller.poll(100))
            for raw in raws:
                message = raw.receive(0) if raw.socket in ready else None
                if message is None or message.type is not MessageType.ERROR:
                    continue
                _, moment = began.pop(message.job, (None, 0.0))
                body = message.body
                if moment and body.code == "busy" and body.retry_after_s:
                    times.append(time.perf_counter() - moment)
                else:
                    wrong += 1
        wrong += len(began)
    return times, wrong


def flood_memory(tries: int) -> tuple[list[float], int]:
    """Four pictures of 1 GB are admitted; a fifth is not."""
    with running() as backend, ExitStack() as stack:
        raws = [stack.enter_context(Raw(backend)).greet() for _ in range(5)]
        for raw in raws[:4]:
            raw.begin(LARGE)
        harness.wait_until(lambda: backend.status().jobs_waiting == 3)
        return flood(raws[4:], tries, LARGE)


def serve_all(jobs: dict[bytes, Raw]) -> int:
    """Serve what was admitted; how many got their result."""
    done = 0
    until = time.monotonic() + 30
    while jobs and time.monotonic() < until:
        for raw in set(jobs.values()):
            while (message := raw.receive(0.002)) is not None:
                done += answer(raw, message, jobs) is True
    SENT.clear()
    return done


SENT: set[bytes] = set()


def send_pixels(raw: Raw, job: bytes) -> None:
    SENT.add(job)
    raw.send_chunk(PIXELS, job)
    raw.send(End(len(PIXELS)), job)


def answer(raw: Raw, message, jobs: dict[bytes, Raw]) -> bool | None:
    """Go on with a job; True when it is done, False when it failed."""
    if message.type is MessageType.GRANT and message.job not in SENT:
        send_pixels(raw, message.job)
    elif message.type is MessageType.RESULT:
        raw.send(Grant(10), message.job)
    elif message.type in {MessageType.END, MessageType.ERROR}:
        jobs.pop(message.job, None)
        return message.type is MessageType.END
    return None


# L7 -----------------------------------------------------------------------------------------------


def fairness(jobs: int) -> list[Figure]:
    """One client always has many jobs waiting, the other begins one when the last is done."""
    settings = {"waiting_per_client": QUEUED, "waiting_total": QUEUED + 4}
    with running(**settings) as backend, Raw(backend) as greedy, Raw(backend) as modest:
        raws = {"greedy": greedy.greet(), "modest": modest.greet()}
        waiting = {"greedy": QUEUED, "modest": 1}
        open_jobs: dict[str, dict[bytes, Raw]] = {"greedy": {}, "modest": {}}
        order: list[str] = []
        waited, others = 0, 0
        while len(order) < jobs:
            for name, raw in raws.items():
                while len(open_jobs[name]) < waiting[name]:
                    open_jobs[name][raw.begin(seconds=0.02)] = raw
                while (message := raw.receive(0.001)) is not None:
                    if answer(raw, message, open_jobs[name]) is None:
                        continue
                    order.append(name)
                    others = 0 if name == "modest" else others + 1
                    waited = max(waited, others)
        SENT.clear()
    served = [order[:jobs].count(name) for name in raws]
    jain = sum(served) ** 2 / (len(served) * sum(count**2 for count in served))
    return [
        Figure(
            f"L7 Jain's index over {jobs} jobs ({served[0]} of who had {QUEUED} waiting,"
            f" {served[1]} of who had one)",
            f"{jain:.3f}",
            f">= {JAIN}",
            jain >= JAIN,
        ),
        Figure(
            "L7 most jobs of the other between two of one's own", str(waited), "<= 2", waited <= 2
        ),
    ]


# F17 ----------------------------------------------------------------------------------------------


def be_client(folder: str, seconds: float, pause_s: float) -> int:
    """One request, as a process of its own; its pixels come with pauses."""

    def bands() -> Iterator[bytes]:
        band = bytes(PICTURE.byte_count // 10)
        for _ in range(10):
            time.sleep(pause_s)
            yield band

    with Client("limits", "0", start=False, folder=Path(folder)) as client:
        client.connect()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        try:
            outputs = [Output("foreground", "RGBA", "u8")]
            reply = client.cutout([(PICTURE, bands())], outputs, {"seconds": seconds})
        except LinkError as error:
            sys.stdout.write(f"{error.code}\n")
            return 1
        is_right = not any(bytes(reply.planes["foreground"].pixels))
        sys.stdout.write("right\n" if is_right else "wrong\n")
    return 0


def suspend(seconds: float, pause_s: float, moment_s: float, stopped_s: float) -> str:
    """How a request ends during which everybody is stopped for a while; and what the log blames."""
    with running() as backend:
        worker = backend.worker_pid()
        client = subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, __file__, "--client", backend.folder, str(seconds), str(pause_s)],
            stdout=subprocess.PIPE,
            text=True,
        )
        client.stdout.readline()
        time.sleep(moment_s)
        pids = [client.pid, backend.process.pid, *children_of(backend.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(stopped_s)
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
        said, _ = client.communicate(timeout=60)
        blamed = [word for word in ("killed", "silent", "too long") if word in backend.log()]
        if backend.worker_pid() != worker:
            blamed.append("another worker")
        return ", ".join([said.strip(), *blamed])


def suspensions(stopped_s: float) -> list[Figure]:
    """Everybody is stopped while pixels are sent, while a worker computes, and at the end."""
    moments = {
        "sending": (0.0, 0.3, 1.5),
        "computing": (4.0, 0.0, 1.5),
        "about to be done": (1.5, 0.0, 1.45),
    }
    ends: dict[str, str] = {}

    def run(name: str) -> None:
        ends[name] = suspend(*moments[name], stopped_s)

    in_threads([lambda name=name: run(name) for name in moments])
    seen = "; ".join(f"{name}: {ends.get(name, 'nothing')}" for name in moments)
    is_met = all(ends.get(name) == "right" for name in moments)
    return [Figure(f"F17 everybody stopped for {stopped_s:g} s", seen, "right", is_met)]


def in_threads(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# F8 -----------------------------------------------------------------------------------------------


def memory(every: int) -> list[Figure]:
    """The real network with random weights, one layer of which finds no memory: 1, 1 + every, …."""
    import numpy as np  # noqa: PLC0415  (and torch: only here)
    import plain_fba  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    from smart_matte.engine.fba_matter import FbaMatter  # noqa: PLC0415
    from smart_matte.engine.models.fba import FBA, build_fba  # noqa: PLC0415
    from smart_matte.engine.runtime import Network  # noqa: PLC0415
    from smart_matte.engine.types import ignore_progress  # noqa: PLC0415

    torch.set_num_threads(2)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in FBA().state_dict().items()}
    weights = plain_fba.damped_random_weights(shapes)
    module = build_fba({name: tensor.float() for name, tensor in weights.items()})
    image = np.random.default_rng(0).random((64, 64, 3), np.float32)
    trimap = np.full((64, 64), 0.5, np.float32)
    trimap[:16], trimap[-16:] = 0, 1
    wanted = FbaMatter(Network(module)).matte(image, trimap, ignore_progress)
    calls = fails_at = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(count)
    worst, unsaid, tried = 0.0, 0, 0
    while True:
        calls, fails_at = 0, 1 + tried * every
        network = Network(module)
        network.device = "card"  # the CPU under another name, so that there is somewhere to go
        network._run = lambda inputs, network=network: as_on_cpu(network, inputs)
        matte = FbaMatter(network, max_pixels=10**6).matte(image, trimap, ignore_progress)
        worst = max(worst, float(np.abs(matte.alpha - wanted.alpha).max()))
        if calls < fails_at:
            break
        tried += 1
        unsaid += "card ran out of memory" not in matte.note or "CPU took over" not in matte.note
    name = f"F8 layers that found no memory, each {every}th of {calls}"
    return [
        Figure(name, str(tried), ">= 5", tried >= 5),
        zero("F8 of these not told in the report", unsaid),
        Figure("F8 alpha, largest difference", f"{worst:.5f}", "<= 1/255", worst <= 1 / 255),
    ]


def as_on_cpu(network, inputs):
    """Run a network that goes by another device's name."""
    from smart_matte.engine.runtime import Network  # noqa: PLC0415

    name, network.device = network.device, "cpu"
    try:
        return Network._run(network, inputs)
    finally:
        network.device = name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=OVER_LIMIT)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--stopped", type=float, default=SUSPENDED_S)
    parser.add_argument("--every", type=int, default=9, help="try each such layer of FBA")
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    if chosen.client:
        folder, seconds, pause_s = chosen.client
        return be_client(folder, float(seconds), float(pause_s))
    began = time.monotonic()
    figures = [
        *limits(chosen.tries),
        *fairness(chosen.jobs),
        *suspensions(chosen.stopped),
        *memory(chosen.every),
    ]
    took = f"{time.monotonic() - began:.0f} s in all."
    return report("limits", chosen.write, figures, took)


if __name__ == "__main__":
    sys.exit(main())

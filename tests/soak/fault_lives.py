"""Backends that start, drain and go, with clients at the door: F6, F12, F15."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fault_harness import Place, Raw, in_lanes, is_alive, own_backend, place, seconds_until
from fault_requests import Outcome, request
from fault_strikes import slowest
from figures import Figure, zero

from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Grant, MessageType, Pong

START_AT_ONCE = Path(__file__).with_name("fault_starts.py")
SERVED_S = 8.0
TOLD_S, DRAINED_S, AT_ONCE_S, STARTED_S = 0.1, 10.0, 1.0, 5.0
IDLE_S = 0.2
RACES = ("same client", "new client", "bands", "status")
LEFT = {"backend.lock", "start.lock"}


def starts_at_once(rounds: int, _seed: int) -> list[Figure]:
    """F6: twenty processes at once, each of which may start a backend."""
    clients, backends, odd, served = 0, [], [], 0.0
    with place() as here:
        for _ in range(rounds):
            answer = subprocess.run(  # noqa: S603  (our own script)
                [sys.executable, START_AT_ONCE, here.folder, json.dumps(here.start_command)],
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            ends = json.loads(answer)
            clients += len(ends)
            served = max(served, *(end["seconds"] for end in ends))
            odd += [end for end in ends if end["code"] != "done"]
            backends.append(len({end["epoch"] for end in ends}))
            pid = here.broker()
            here.client(start=False).shutdown(0)
            seconds_until(lambda pid=pid: not is_alive(pid))
        starts = here.log().count(" serves at ")
        left = {path.name for path in here.folder.iterdir()} - LEFT
    for end in odd[:5]:
        print(f"F6 {end}")  # noqa: T201
    name = f"F6 {rounds} x {clients // rounds} clients at once"
    return [
        Figure(f"{name}: backends that served", str(starts), str(rounds), starts == rounds),
        zero(f"{name}: rounds with two backends", sum(count != 1 for count in backends)),
        zero(f"{name}: clients not served, or wrongly", len(odd)),
        Figure(f"{name}: slowest", f"{served:.2f} s", f"<= {SERVED_S:g} s", served <= SERVED_S),
        zero(f"{name}: files left", len(left)),
    ]


@dataclass
class Drain:
    """
    One end of a broker.

    Attributes:
        told_s: from the signal to "draining" for all and for a new request.
        job: how the running job ended: "done", or its error's code.
        job_s: from the signal to that.
        gone_s: from the last signal to the end of the process.
        exit_code: of it.
        is_clean: whether nothing but locks is left.
        again_s: until the next one answers.
    """

    told_s: list[float] = field(default_factory=list)
    job: str = ""
    job_s: float | None = None
    gone_s: float = 0.0
    exit_code: int | None = None
    is_clean: bool = True
    again_s: float = 0.0


def _drain_once(rng: Random, how: str) -> Drain:
    found = Drain()
    with place() as here:
        seconds = rng.choice((rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0, 3), 30.0))
        with own_backend(here) as backend, Raw(backend).greet() as raw:
            job = raw.begin(seconds=seconds)
            raw.upload(job)
            raw.expect(MessageType.PROGRESS, job)
            worker, signalled = backend.worker_pid(), time.monotonic()
            if how == "kill":
                backend.process.kill()
            else:
                if how == "group":
                    os.kill(worker, signal.SIGTERM)
                backend.signal(signal.SIGTERM)
                _watch_drain(raw, job, signalled, found, stay=how != "twice")
            if how == "twice":
                signalled = time.monotonic()
                backend.signal(signal.SIGTERM)
            ended = found.job_s or 0.0
            found.exit_code = backend.process.wait(20)
            found.gone_s = time.monotonic() - signalled - ended
        left = {path.name for path in here.folder.iterdir()} - LEFT - {"log"}
        found.is_clean = how == "kill" or not left
        began = time.monotonic()
        with own_backend(here) as backend:
            found.again_s = time.monotonic() - began
            found.is_clean &= backend.is_healthy() and not is_alive(worker)
    return found


def _watch_drain(raw: Raw, job: bytes, signalled: float, found: Drain, *, stay: bool) -> None:
    """Ask for another job in the drain, and see how the running one ends."""
    other, asked = b"", 0.0
    while len(found.told_s) < 2 or (stay and not found.job):
        message = raw.receive(20)
        now = time.monotonic()
        if message is None:
            found.job = found.job or "nothing"
            return
        if message.type is MessageType.DRAINING:
            found.told_s.append(now - signalled)
            other, asked = raw.begin(), now
        elif message.type is MessageType.PING:
            raw.send(Pong(message.body.number))
        elif message.type is MessageType.RESULT:
            raw.send(Grant(64), job)
        elif message.job == other and message.type is MessageType.ERROR:
            found.told_s.append(now - asked)
        elif message.job == job and message.type in {MessageType.END, MessageType.ERROR}:
            found.job = "done" if message.type is MessageType.END else message.body.code
            found.job_s = now - signalled


def drains(tries: int, seed: int) -> list[Figure]:
    """F12."""
    kinds = ("broker", "group", "twice", "kill")

    def lane(rng: Random, count: int) -> list[tuple[str, Drain]]:
        return [(kinds[i % 4], _drain_once(rng, kinds[i % 4])) for i in range(count)]

    found = in_lanes(tries, 2, f"F12/{seed}", lane)
    of = {kind: [drain for this, drain in found if this == kind] for kind in kinds}
    ordered = of["broker"] + of["group"]
    ends = Counter(drain.job for drain in ordered)
    told = [seconds for _, drain in found for seconds in drain.told_s]
    name = f"F12 {len(found)} ends of a broker with a job"
    return [
        slowest(f"{name}: until all, and who asks anew, are told", told, TOLD_S),
        Figure(f"{name}: jobs under way at SIGTERM", _tell(ends), "done, draining",
               set(ends) <= {"done", "draining"}),
        slowest(f"{name}: until they ended", [d.job_s for d in ordered], DRAINED_S + 0.2),
        zero(f"{name}: exit codes other than 0", sum(d.exit_code != 0 for d in ordered)),
        slowest(f"{name}: after a second SIGTERM", [d.gone_s for d in of["twice"]], AT_ONCE_S),
        zero(f"{name}: files or workers left", sum(not d.is_clean for _, d in found)),
        slowest(f"{name}: next start after SIGKILL", [d.again_s for d in of["kill"]], STARTED_S),
    ]  # fmt: skip


def _tell(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.most_common())


def _wait_for_exit(here: Place, rng: Random) -> None:
    """Half the time until it says that it goes, else until about then: it looks once a second."""
    if rng.random() < 0.5:
        time.sleep(rng.uniform(IDLE_S, IDLE_S + 1.1))
        return
    gone_already = (AssertionError, AttributeError)
    with contextlib.suppress(*gone_already), Raw(here).greet() as raw:
        raw.expect(MessageType.DRAINING)
    time.sleep(rng.choice((0, rng.uniform(0, 0.003), rng.uniform(0, 0.05))))


def idle_races(tries: int, seed: int) -> list[Figure]:
    """F15: requests in the moment when the backend goes because nobody wants anything."""
    anew, all_tries = [], []

    def lane(rng: Random, count: int) -> list[tuple[str, Outcome]]:
        found = []
        with place(broker_exit_s=IDLE_S) as here, here.client() as client:
            request(client, rng)
            for _ in range(count):
                kind, epoch = rng.choice(RACES), client.epoch
                if kind == "new client":
                    client.close()
                _wait_for_exit(here, rng)
                outcome = _ask(client) if kind == "status" else Outcome()
                if outcome.code in {"", "done"}:
                    outcome = request(client, rng, in_bands=kind == "bands")
                found.append((kind, outcome))
                anew.append(client.epoch != epoch)
                all_tries.append(len(outcome.tries))
        return found

    def _ask(client) -> Outcome:
        outcome = Outcome()
        try:
            client.status()
            outcome.code = "done"
        except LinkError as error:
            outcome.code, outcome.tries = error.code, client.tries
        return outcome

    found = in_lanes(tries, 8, f"F15/{seed}", lane)
    bad = [(kind, outcome) for kind, outcome in found if not outcome.is_good]
    for kind, outcome in bad[:10]:
        print(f"F15 {kind}: {outcome}")  # noqa: T201
    name = f"F15 {len(found)} requests around an idle exit at {IDLE_S:g} s"
    return [
        zero(f"{name}: not served", len(bad)),
        Figure(f"{name}: by a new backend", str(sum(anew)), "", is_met=True),
        Figure(f"{name}: with a second try", str(sum(n > 1 for n in all_tries)), "", is_met=True),
        slowest(f"{name}: slowest", [outcome.seconds for _, outcome in found], None),
    ]

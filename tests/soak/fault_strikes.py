"""Requests that are struck, one after the other, and what of it is a figure: F1, F2, F3."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from fault_harness import Place, in_lanes, is_alive, occupied, place, seconds_until
from fault_requests import STAGES, Outcome, Strike, WatchedClient, request
from figures import Figure, zero
from soak import Watch

KNOWN_WORKER_S, KNOWN_BROKER_S, KNOWN_STOP_S, READY_S = 2.0, 1.0, 5.0, 5.0
WATCH = Watch()
"""What all clients of this process hear."""

EXPLAINED = {
    "worker": {"done", "worker_died"},
    "broker": {"done", "lost", "draining", "unreachable"},
    "stopped": {"done", "worker_died", "hung", "lost"},
}
"""How a request that is struck may end."""


@dataclass
class Struck:
    """
    One strike and what came of it.

    Attributes:
        outcome: of the request that was struck.
        following: of the one after it.
        known_s: until the client, or for a stop the backend, knew; None where nothing failed.
        ready_s: until the client had a new backend; None where it needed none.
        survived: whether the broker is still the same.
    """

    stage: str
    outcome: Outcome
    following: Outcome
    known_s: float | None
    ready_s: float | None
    survived: bool


def kill(here: Place, victim: Callable[[Place], int]) -> Callable[[], int]:
    """A fault: SIGKILL for whoever *victim* finds."""

    def fault() -> int:
        pid = 0
        until = time.monotonic() + 2
        while not pid and time.monotonic() < until:
            pid = victim(here)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL) if pid else None
        return pid

    return fault


def strike_once(
    here: Place, client: WatchedClient, rng: Random, victim: Callable[[Place], int]
) -> Struck:
    """Kill somebody during a request."""
    stage = rng.choice(list(STAGES))
    broker = _prepare(here, client, stage)
    strike = Strike(stage, rng, kill(here, victim))
    with occupied(here) if stage == "queue" else contextlib.nullcontext():
        outcome = request(client, rng, strike)
    first_known = _first_failure(outcome, strike)
    following = request(client, rng)
    ready = client.connected - max(strike.moment, outcome.began)
    return Struck(
        stage,
        outcome,
        following,
        first_known,
        ready if strike.moment and client.connected > strike.moment else None,
        here.broker() == broker,
    )


def stop_once(
    here: Place, client: WatchedClient, rng: Random, victim: Callable[[Place], int]
) -> Struck:
    """Stop somebody during a request, and let it go on at a random moment: soon or too late."""
    stage = rng.choice(list(STAGES))
    broker = _prepare(here, client, stage)
    ended = threading.Event()
    known: list[float] = []

    def fault() -> int:
        pid = victim(here)
        if pid:
            os.kill(pid, signal.SIGSTOP)
            threading.Thread(target=watch, args=(pid, time.monotonic())).start()
        return pid

    goes_on_s = rng.choice((rng.uniform(0, 2), rng.uniform(4, 12), 60.0))

    def watch(pid: int, moment: float) -> None:
        while is_alive(pid) and not ended.wait(0.01):
            if time.monotonic() - moment > goes_on_s:
                break
        if not is_alive(pid):
            known.append(time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        ended.set()

    strike = Strike(stage, rng, fault)
    with occupied(here) if stage == "queue" else contextlib.nullcontext():
        outcome = request(client, rng, strike)
    failure = _first_failure(outcome, strike)
    if strike.victim:  # an idle broker is only found out by the next request
        seconds_until(lambda: ended.is_set() or not is_alive(strike.victim), 3)
    following = request(client, rng)
    if strike.victim:  # it goes on, or is gone and can't
        seconds_until(lambda: ended.is_set() or not is_alive(strike.victim), 12)
    ended.set()
    if failure is None:
        failure = _first_failure(following, strike)
    # A broker that is stopped while nobody wants anything from it is known when somebody does.
    is_late = victim is Place.broker and known and known[0] > outcome.ended
    began = max(strike.moment, following.began if is_late else outcome.began)
    times = [moment - began for moment in known]
    times += [] if failure is None else [failure]
    return Struck(
        stage, outcome, following, min(times, default=None), None, here.broker() == broker
    )


def _prepare(here: Place, client: WatchedClient, stage: str) -> int:
    """A backend with an idle worker, and a client that is where the stage begins."""
    here.wait_for_worker(client)
    if stage in {"connect", "hello"}:
        client.close()
    return here.broker()


def _first_failure(outcome: Outcome, strike: Strike) -> float | None:
    """From the strike to the end of the first try that it ended; None where none was."""
    ends = [this.ended for this in outcome.tries if this.code not in {"done", ""}]
    after = [end for end in ends if strike.moment and end > strike.moment]
    return after[0] - max(strike.moment, outcome.began) if after else None


def run_strikes(tries: int, lanes: int, seed: str, once, victim, **settings) -> list[Struck]:
    def lane(rng: Random, count: int) -> list[Struck]:
        with place(**settings) as here, here.client() as client:
            client.connect()
            return [once(here, client, rng, victim) for _ in range(count)]

    return in_lanes(tries, lanes, seed, lane)


def slowest(name: str, times: list[float | None], limit_s: float | None) -> Figure:
    seen = [moment for moment in times if moment is not None]
    most = max(seen, default=0.0)
    limit = "" if limit_s is None else f"<= {limit_s:g} s"
    return Figure(f"{name} ({len(seen)} seen)", f"{most:.2f} s", limit, most <= (limit_s or most))


def common_figures(name: str, found: list[Struck], kind: str) -> list[Figure]:
    unexplained = [s for s in found if s.outcome.code not in EXPLAINED[kind]]
    wrong = [s for s in found if not (s.outcome.is_right and s.following.is_right)]
    most_tries = max(len(s.outcome.tries) for s in found)
    for struck in unexplained:
        print(f"{name} {struck.stage}: {struck.outcome}")  # noqa: T201
    return [
        Figure(name, f"{len(found)} {_tell_ends(found)}", "", is_met=True),
        zero(f"{name}: requests that ended as nothing explains", len(unexplained)),
        zero(f"{name}: wrong answers", len(wrong)),
        zero(f"{name}: failures of the next request", sum(not s.following.is_good for s in found)),
        Figure(f"{name}: most tries of a request", str(most_tries), "<= 2", most_tries <= 2),
    ]


def _tell_ends(found: list[Struck]) -> str:
    codes = Counter(struck.outcome.code for struck in found)
    return "(" + ", ".join(f"{count} {code}" for code, count in codes.most_common()) + ")"


def worker_kills(tries: int, seed: int) -> list[Figure]:
    """F1."""
    found = run_strikes(tries, 3, f"F1/{seed}", strike_once, Place.worker)
    name = "F1 SIGKILLs of the worker"
    return [
        *common_figures(name, found, "worker"),
        slowest(f"{name}: until the client knew", [s.known_s for s in found], KNOWN_WORKER_S),
        zero(f"{name}: brokers that didn't survive", sum(not s.survived for s in found)),
        slowest(f"{name}: next request", [s.following.seconds for s in found], READY_S),
    ]


def broker_kills(tries: int, seed: int) -> list[Figure]:
    """F2."""
    found = run_strikes(tries, 3, f"F2/{seed}", strike_once, Place.broker)
    name = "F2 SIGKILLs of the broker"
    return [
        *common_figures(name, found, "broker"),
        slowest(f"{name}: until the client knew", [s.known_s for s in found], KNOWN_BROKER_S),
        slowest(f"{name}: new backend ready", [s.ready_s for s in found], READY_S),
    ]


def stops(tries: int, seed: int) -> list[Figure]:
    """F3."""
    figures = []
    for who, victim, lanes in (("worker", Place.worker, 8), ("broker", Place.broker, 12)):
        found = run_strikes(tries // 2, lanes, f"F3/{who}/{seed}", stop_once, victim)
        name = f"F3 SIGSTOPs of the {who}"
        figures += [
            *common_figures(name, found, "stopped"),
            slowest(f"{name}: until it was known", [s.known_s for s in found], KNOWN_STOP_S),
            slowest(
                f"{name}: request, with what replaced it", [s.outcome.seconds for s in found], None
            ),
        ]
    return figures


def answered_twice() -> Figure:
    """Of all jobs that the clients of this process began."""
    twice = [job for job in WATCH.begun if max(WATCH.ends[job], WATCH.results[job]) > 1]
    return zero(f"jobs answered or ended twice, of {len(WATCH.begun)} begun above", len(twice))

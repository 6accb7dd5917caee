"""I1 of the goals: every bad input has its typed answer, at once, and harms nobody."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import NamedTuple

from bad_table import JOB, Case, all_cases
from broker_harness import HELLO, IMAGE, OUTPUTS, Backend
from figures import Figure, zero
from ground import MIB, broker, connect, drain, faults_in, is_served, mib, push, resident_bytes
from strangers_keys import Knock

from smart_matte_link.authentication import Exchange, compute_proof, new_nonce
from smart_matte_link.envelope import encode
from smart_matte_link.messages import Begin, MessageType, Proof
from smart_matte_link.zmtp import PeerLateError, PeerLostError

CASES_MIN = 120
ANSWER_S = 0.1
REPETITIONS = 3
PATIENCE_S = 5.0
GROWTH_MAX = 32 * MIB


class Seen(NamedTuple):
    """
    What became of one bad input.

    Attributes:
        codes: the answers of all tries.
        seconds: to the answer, median.
        growth: of the broker's memory, in bytes.
        is_served: whether a good client was served after each.
    """

    codes: set[str]
    seconds: float
    growth: int
    is_served: bool


def get_to(stage: str, backend: Backend) -> Knock:
    """A connection that is as far as a case wants it."""
    info = backend.info
    knock = Knock(info.endpoint)
    if stage == "stranger":
        return knock
    hello = replace(HELLO, nonce=new_nonce())
    knock.send(encode(hello, 0))
    challenge = knock.receive().body
    if stage == "challenged":
        return knock
    exchange = Exchange(hello.nonce, challenge.nonce, info.endpoint)
    knock.send(encode(Proof(compute_proof(bytes.fromhex(info.token), "client", exchange)), 1))
    knock.receive()
    if stage == "job":
        knock.send(encode(Begin((IMAGE,), OUTPUTS, {"do": "never grant"}), 0, JOB))
        while knock.receive().type is not MessageType.GRANT:
            pass
    return knock


def answer_of(case: Case, backend: Backend) -> tuple[str, float]:
    """The code that a bad input is answered with, and after how long."""
    if case.stage == "socket":
        with connect(backend.info.endpoint) as stranger:
            started = time.monotonic()
            push(stranger, case.payload)
            _, is_closed = drain(stranger, started + PATIENCE_S)
            return "closed" if is_closed else "nothing", time.monotonic() - started
    with contextlib.closing(get_to(case.stage, backend)) as knock:
        started = time.monotonic()
        code = "nothing"
        with contextlib.suppress(PeerLateError, PeerLostError):
            for message in case.payload:
                knock.send(message)
            code = knock.refusal()
        return code, time.monotonic() - started


def see(case: Case, backend: Backend) -> Seen:
    before = resident_bytes(backend.process.pid)
    answers, growth, is_fine = [], 0, True
    for _ in range(REPETITIONS):
        answers.append(answer_of(case, backend))
        growth = max(growth, resident_bytes(backend.process.pid) - before)
        is_fine &= backend.is_healthy()
    codes = {code for code, _ in answers}
    return Seen(codes, statistics.median(seconds for _, seconds in answers), growth, is_fine)


def bad_inputs(_rng: Random) -> Iterator[Figure]:
    """I1."""
    cases = all_cases()
    with broker() as backend:
        pid = backend.worker_pid()
        seen = {name: see(case, backend) for name, case in cases.items()}
        log = backend.log()
        changed = backend.worker_pid() != pid
    wrong = [name for name, case in cases.items() if not seen[name].codes <= set(case.codes)]
    for name in wrong:
        yield zero(f"I1 {name} was answered with {', '.join(sorted(seen[name].codes))}", 1)
    slowest = max(seen, key=lambda name: seen[name].seconds)
    largest = max(seen, key=lambda name: seen[name].growth)
    yield Figure(
        "I1 different bad inputs, each three times",
        str(len(cases)),
        f">= {CASES_MIN}",
        len(cases) >= CASES_MIN,
    )
    yield zero(
        "I1 of these, not answered by their code (or hung up on, before there is anybody)",
        len(wrong),
    )
    milliseconds = seen[slowest].seconds * 1000
    yield Figure(
        f"I1 slowest answer, median of {REPETITIONS} ({slowest})",
        f"{milliseconds:.1f} ms",
        f"<= {ANSWER_S * 1000:g} ms",
        milliseconds <= ANSWER_S * 1000,
    )
    yield Figure(
        f"I1 most that the broker grew by ({largest})",
        mib(seen[largest].growth),
        f"<= {mib(GROWTH_MAX)}",
        seen[largest].growth <= GROWTH_MAX,
    )
    yield zero("I1 faults in the broker's log, or workers that ended", faults_in(log) + changed)
    yield is_served("I1 after each of them", all(entry.is_served for entry in seen.values()))


BLOCKS = {"I1": bad_inputs}

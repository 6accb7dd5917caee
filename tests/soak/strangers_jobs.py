"""S6 of the goals: a client may do nothing with another one's jobs, even if it knows their ids."""

import contextlib
import time
from collections.abc import Iterator
from random import Random

from broker_harness import OUTPUTS, PIXELS, Backend, Raw
from figures import Figure, zero
from ground import broker, is_served

from smart_matte_link.envelope import NO_JOB, chunk_header, encode
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import (
    Cancel,
    End,
    Error,
    Grant,
    MessageType,
    Refine,
    Status,
    new_job_id,
)
from smart_matte_link.session import Identity, Session

GUESSES = 10_000
GUESSES_OF_A_CONNECTION = 50
PATIENCE_S = 10.0
IDENTITY = Identity("soak", "0")


def other_clients(rng: Random) -> Iterator[Figure]:
    """S6: B knows A's job ids, or guesses, and may do nothing with them."""
    reached = tries = 0
    with broker() as backend, Raw(backend).greet() as owner:
        kept = owner.begin(keep=True)
        owner.upload(kept)
        owner.download(kept)
        running_job = owner.begin(seconds=600, deadline_s=600)
        owner.upload(running_job)
        owner.expect(MessageType.PROGRESS, running_job)
        while tries < GUESSES:
            count, got = one_guesser(backend, (kept, running_job), rng)
            tries, reached = tries + count, reached + got
            answer_pings(owner)
        status = backend.status()
        lost = status.jobs_running != 1
        owner.send(Cancel(), running_job)
        owner.expect_error("cancelled", running_job)
        refined = new_job_id()
        owner.send(Refine(kept.hex(), OUTPUTS), refined)
        lost |= owner.download(refined)[32:] != PIXELS
        served = backend.is_healthy()
    yield zero(f"S6 of {tries} tries of B with A's jobs, those that did anything", reached)
    yield zero("S6 jobs of A that were lost or changed", int(lost))
    yield is_served("S6", served)


def answer_pings(owner: Raw) -> None:
    """Read on, and give a life sign; anything but progress would be B's doing."""
    owner.send(Status())
    owner.expect(MessageType.STATUS_REPLY)


def one_guesser(backend: Backend, jobs: tuple[bytes, ...], rng: Random) -> tuple[int, int]:
    """Refine as often as may be, and in the end what costs the connection; tries, and successes."""
    reached = tries = 0
    with contextlib.closing(Session(backend.info, IDENTITY)) as session:
        for _ in range(GUESSES_OF_A_CONNECTION - 1):
            source = rng.choice((*jobs, rng.randbytes(16)))
            job = new_job_id()
            session.send(Refine(source.hex(), OUTPUTS), job)
            tries += 1
            reached += _answer(session) != (job, "not_kept")
        job = rng.choice(jobs)
        chunk = chunk_header(PIXELS, 3, job) + PIXELS
        bodies = (Cancel(), Grant(8), End(128))
        frame = rng.choice((chunk, *(encode(body, 3, job) for body in bodies)))
        session._dealer.send([frame], time.monotonic() + PATIENCE_S)
        tries += 1
        reached += _answer(session) != (NO_JOB, "bad_message")
    return tries, reached


def _answer(session: Session) -> tuple[bytes, str]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            message = session.receive(1.0)
        except LinkError as error:
            return NO_JOB, error.code
        if message is not None:
            body = message.body
            return message.job, body.code if isinstance(body, Error) else message.type.name
    return NO_JOB, "no answer"


BLOCKS = {"S6": other_clients}

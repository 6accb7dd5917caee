"""
I2 of the goals: mutated messages for the decoder, mutated connections for the broker.

The decoder's part runs in a process of its own, beside the sockets' part: ``fuzzing.py SECONDS
SEED`` writes its figures as JSON.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import ground
from broker_harness import HELLO, Backend
from figures import Figure, zero
from test_broker_fuzz import SESSION, resealed, without_shutdown

from smart_matte_link.authentication import new_nonce
from smart_matte_link.connection import ConnectionInfo
from smart_matte_link.envelope import HEADER_BYTES, decode, encode
from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.messages import (
    CAPABILITIES,
    Challenge,
    Device,
    Draining,
    Error,
    Facts,
    Limits,
    Model,
    Plane,
    Progress,
    Proof,
    Result,
    Shutdown,
    StatusReply,
    Unload,
    Upgrade,
    Welcome,
    WorkerStatus,
    sent_by,
)
from smart_matte_link.session import Identity, Session
from smart_matte_link.strict_json import from_json, to_json
from smart_matte_link.zmtp import GREETING

SECONDS = 60.0
HANG_S = 1.0
LOOK_EVERY = 1000
GROWTH_MAX = 32 * ground.MIB
DECODER_GOAL, SOCKET_GOAL = 10_000_000, 100_000
AUTHENTICATED = 0.2
JOB = bytes(range(16))
DEVICES = (Device("cpu", "a processor", 1 << 34), Device("cuda:0", "a card", 1 << 33))
MODELS = (Model("fba", "matter", is_installed=True, is_loaded=False),)
INFO = ConnectionInfo("1.0", 1, "2", "ipc:///x", "0" * 64, "0", "0" * 32)
ALPHA = Plane("alpha", 8, 4, "GRAY", "u8", "coverage")
VALID = (
    *SESSION,
    encode(replace(HELLO, nonce="0" * 64), 0),
    encode(Challenge("0" * 64, "1" * 64), 0),
    encode(Proof("0" * 64), 1),
    encode(Welcome(1, "0", "0" * 32, Limits(4096, 9, 9, 4, 6.0), CAPABILITIES, DEVICES, MODELS), 1),
    encode(Upgrade(2, 3, "0", "client"), 1),
    encode(Error("busy", "Later.", "Wait.", 1.5), 2),
    encode(Shutdown(1.5), 2),
    encode(Draining("idle"), 2),
    encode(
        StatusReply(
            "0", 1, "0" * 32, 1, 2.5, "running", 1, 2, 1, 9, "/log", DEVICES, MODELS,
            (WorkerStatus(7, "cpu", "busy", ("fba",), 5),), {"python": "3"},
        ),
        2,
    ),
    encode(Progress("matting", 0.5, 1), 0, JOB),
    encode(Result((ALPHA,), {}, "0" * 32), 0, JOB),
    encode(Facts(1, "cpu", DEVICES, MODELS, 9, {"torch": "2"}), 0),
    encode(Unload(), 0),
)  # fmt: skip
"""One of every message, and a whole session."""

TOKENS = (
    b"null", b"true", b"-1", b"1e3", b"1e999", b"NaN", b"9007199254740992", b"[" * 9, b'"\\ud800"',
    b"{", b"}", b",", b'"', b"\xff", b"\x00", b"\xe2\x80\xae", b"65536", b'"width"', b'"role"',
)  # fmt: skip
"""What a parser may stumble over."""


def mutated(data: bytes, rng: Random, from_byte: int = 0) -> bytes:
    """A few flips, cuts, repeats and insertions."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randint(min(from_byte, len(result)), len(result))
        how = rng.randrange(7)
        length = rng.choice((1, 2, 4, 16, 64))
        if how == 0 and place < len(result):
            result[place] ^= 1 << rng.randrange(8)
        elif how == 1 and place < len(result):
            result[place] = rng.randrange(256)
        elif how == 2:
            del result[place:]
        elif how == 3:
            del result[place : place + length]
        elif how == 4:
            result[place:place] = result[place : place + length]
        elif how == 5:
            result[place:place] = rng.choice(TOKENS)
        else:
            result[place:place] = rng.randbytes(length)
    return bytes(result)


def mutated_message(rng: Random) -> bytes:
    """Half of them with the right checksum of a wrong body, which the parser gets to see."""
    data = rng.choice(VALID)
    if rng.random() < 0.5:
        return mutated(data, rng)
    return resealed(mutated(data, rng, HEADER_BYTES))


def fuzz_decoder(seconds: float, seed: str) -> dict[str, object]:
    """Decode until the time is over; anything but a message or a ProtocolError is a crash."""
    rng = Random(seed)  # noqa: S311  (to be repeated, not secret)
    allowed = [sent_by(side) for side in ("client", "backend", "broker", "worker")]
    info = to_json(INFO)
    found = {"count": 0, "read": 0, "slowest": 0.0, "crashes": []}
    until = time.monotonic() + seconds
    before = 0
    while time.monotonic() < until:
        for _ in range(LOOK_EVERY):
            data = mutated_message(rng)
            started = time.perf_counter()
            try:
                decode(data, rng.choice(allowed), 1)
                found["read"] += 1
            except ProtocolError:
                pass
            except Exception as error:  # noqa: BLE001  (that is what is looked for)
                found["crashes"].append(f"{type(error).__name__}: {data.hex()[:2000]}")
            found["slowest"] = max(found["slowest"], time.perf_counter() - started)
        with contextlib.suppress(ProtocolError):
            from_json(ConnectionInfo, mutated(info, rng))
        found["count"] += LOOK_EVERY + 1
        before = before or ground.resident_bytes(os.getpid())
    found["growth"] = ground.resident_bytes(os.getpid()) - before
    return found


def mutated_connection(rng: Random) -> bytes:
    """All that a stranger says, with something wrong in it."""
    hello = ground.zmtp_frame(encode(replace(HELLO, nonce=new_nonce()), 0))
    proof = ground.zmtp_frame(encode(Proof("0" * 64), 1))
    whole = ground.HANDSHAKE + hello + proof
    how = rng.randrange(5)
    if how == 0:
        return mutated(whole, rng)
    if how == 1:
        return mutated(GREETING, rng) + whole[len(GREETING) :]
    if how == 2:
        return mutated(whole, rng, len(ground.HANDSHAKE))
    if how == 3:
        return ground.HANDSHAKE + b"".join(
            ground.zmtp_frame(mutated_message(rng), rng.choice((0, 0, 0, ground.MORE)))
            for _ in range(rng.randint(1, 4))
        )
    return ground.HANDSHAKE + rng.randbytes(rng.randrange(500))


def be_mad(session: Session, rng: Random) -> None:
    """A client that is welcome, and then sends a session with something wrong in it."""
    frames = list(SESSION)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(frames))
        how = rng.randrange(4)
        if how == 0:
            frames[place] = mutated(frames[place], rng)
        elif how == 1:
            frames[place] = resealed(mutated(frames[place], rng, HEADER_BYTES))
        elif how == 2:
            frames.insert(place, mutated_message(rng))
        else:
            frames.insert(rng.randrange(len(frames)), frames.pop(place))
    deadline = time.monotonic() + ground.PATIENCE_S
    for frame in frames:
        session._dealer.send([without_shutdown(frame)], deadline)
    session.receive(0.0)


class Sockets:
    """
    Mutated connections, until the time is over.

    Attributes:
        count: connections made.
        welcome: those among them that were let in.
        slowest: longest that one of them, or the good client between them, took.
        is_fine: whether the good client was served each time.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.count = self.welcome = 0
        self.slowest = 0.0
        self.is_fine = True

    def run(self, seconds: float, rng: Random) -> None:
        info = self.backend.info
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(LOOK_EVERY):
                with self.timed(), contextlib.suppress(OSError, LinkError):
                    self.one(info, rng)
            with self.timed():
                self.is_fine &= self.backend.is_healthy()

    def one(self, info: ConnectionInfo, rng: Random) -> None:
        self.count += 1
        if rng.random() < AUTHENTICATED:
            with contextlib.closing(Session(info, Identity("mad", "0"))) as session:
                self.welcome += 1
                be_mad(session, rng)
            return
        with ground.connect(info.endpoint) as stranger:
            ground.push(stranger, mutated_connection(rng))
            if rng.random() < 0.1:
                ground.drain(stranger, time.monotonic() + 0.001)

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.slowest = max(self.slowest, time.monotonic() - started)


def fuzz(rng: Random) -> Iterator[Figure]:
    """I2."""
    command = [sys.executable, __file__, str(SECONDS), str(rng.random())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as decoder:  # noqa: S603  (ourselves)
        yield from fuzz_sockets(rng)
        found = json.loads(decoder.stdout.read())
    count, read, slowest = found["count"], found["read"], found["slowest"]
    for crash in found["crashes"][:5]:
        sys.stderr.write(f"{crash}\n")
    yield Figure(
        f"I2 messages decoded in {SECONDS:g} s (of {DECODER_GOAL:,} asked for); {read} were right",
        str(count),
        "",
        is_met=True,
    )
    yield zero("I2 crashes of the decoder", len(found["crashes"]))
    yield Figure("I2 slowest of them", f"{slowest * 1000:.0f} ms", "<= 1000 ms", slowest <= HANG_S)
    growth = found["growth"]
    yield Figure(
        "I2 growth of the decoder's process", ground.mib(growth), "<= 32 MiB", growth <= GROWTH_MAX
    )


def fuzz_sockets(rng: Random) -> Iterator[Figure]:
    with ground.broker() as backend:
        pid = backend.worker_pid()
        before = ground.resident_bytes(backend.process.pid)
        sockets = Sockets(backend)
        sockets.run(SECONDS, rng)
        time.sleep(2.0)
        growth = ground.resident_bytes(backend.process.pid) - before
        files = ground.descriptors(backend.process.pid)
        changed = backend.worker_pid() != pid
        faults = sum(
            ground.faults_in(path.read_text()) for path in backend.folder.glob("log/broker*")
        )
        is_fine = sockets.is_fine and backend.is_healthy()
    yield Figure(
        f"I2 mutated connections in {SECONDS:g} s (of {SOCKET_GOAL:,} asked for);"
        f" {sockets.welcome} after a welcome",
        str(sockets.count),
        "",
        is_met=True,
    )
    yield zero("I2 faults in the broker's log, or workers that ended", faults + changed)
    yield Figure(
        "I2 slowest connection, or good client between them",
        f"{sockets.slowest:.2f} s",
        f"<= {HANG_S:g} s",
        sockets.slowest <= HANG_S,
    )
    yield Figure("I2 growth of the broker", ground.mib(growth), "<= 32 MiB", growth <= GROWTH_MAX)
    yield Figure("I2 descriptors of the broker in the end", str(files), "<= 40", files <= 40)
    yield ground.is_served(f"I2 after every {LOOK_EVERY} connections", is_fine)


BLOCKS = {"I2": fuzz}

if __name__ == "__main__":
    json.dump(fuzz_decoder(float(sys.argv[1]), sys.argv[2]), sys.stdout)

"""S1 and S2 of the goals: other users of the machine, and programs that speak something else."""

import contextlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from random import Random

from broker_harness import running
from figures import Figure, zero
from ground import (
    HANDSHAKE,
    IPC,
    TCP,
    broker,
    connect,
    drain,
    folder,
    is_served,
    push,
)
from test_other_user import as_nobody

from smart_matte_link.zmtp import GREETING, SIGNATURE

NOBODYS_CONNECTS = 1000
NOBODYS_TRIES = 10_000
TRIES_AT_ONCE = 2_500
PROBES = 1000
HANDSHAKE_S = 3.0
SLACK_S = 1.0

AS_STRANGER = """
def one_try(number):
    ways = (
        [hello(), Proof(os.urandom(32).hex())],
        [Status()],
        [hello(), Status()],
        [Shutdown(0)],
        [hello(), Shutdown(0)],
        [Proof(os.urandom(32).hex())],
    )
    heard = []
    dealer = Dealer(ENDPOINT, FRAME_BYTES_MAX, time.monotonic() + 10)
    try:
        for seq, body in enumerate(ways[number % len(ways)]):
            dealer.send([encode(body, seq)], time.monotonic() + 10)
        while "ERROR" not in heard or dealer.wait(0):
            frame = bytearray(dealer.next_frame(time.monotonic() + 10))
            dealer.read_into(memoryview(frame), time.monotonic() + 10)
            heard.append(decode(frame, protocol=None).type.name)
    finally:
        dealer.close()
    return heard


def hello():
    return Hello(1, 1, new_nonce(), "nobody", "0")


found = {}
for number in range(TRIES):
    for name in one_try(number):
        found[name] = found.get(name, 0) + 1
"""


def another_user(_rng: Random) -> Iterator[Figure]:
    """S1."""
    if os.geteuid() != 0:
        yield Figure("S1 another user", "skipped: only root can become one", "", is_met=True)
        return
    yield from exact_modes()
    with folder() as outside, running(outside / "run") as backend:
        outside.chmod(0o755)
        found = as_nobody(
            "found = [errno_of(lambda: connect(PATH)) for _ in range(COUNT)]",
            PATH=backend.info.endpoint.removeprefix("ipc://"),
            COUNT=NOBODYS_CONNECTS,
        )
        got_in = sum(answer != "Permission denied" for answer in found)
        yield zero(f"S1 connects of another user over ipc, of {len(found)}", got_in)
        yield is_served("S1", backend.is_healthy())
    with broker(TCP) as backend:
        heard: dict[str, int] = {}
        for _ in range(NOBODYS_TRIES // TRIES_AT_ONCE):
            part = as_nobody(AS_STRANGER, ENDPOINT=backend.info.endpoint, TRIES=TRIES_AT_ONCE)
            heard = {name: heard.get(name, 0) + part.get(name, 0) for name in {*heard, *part}}
        beyond = sum(count for name, count in heard.items() if name not in {"CHALLENGE", "ERROR"})
        yield zero(
            f"S1 messages to another user over tcp beyond challenge ({heard['CHALLENGE']}) and"
            f" refusal ({heard['ERROR']}), in {NOBODYS_TRIES} tries",
            beyond,
        )
        yield is_served("S1", backend.is_healthy())


def exact_modes() -> Iterator[Figure]:
    wrong = []
    for umask in (0o000, 0o022, 0o077):
        before = os.umask(umask)
        try:
            with broker() as backend:
                backend.worker_pid()
                for path in (backend.folder, *backend.folder.rglob("*")):
                    expected = 0o700 if path.is_dir() else 0o600
                    if stat.S_IMODE(path.lstat().st_mode) != expected:
                        wrong.append(path)
        finally:
            os.umask(before)
    yield zero(
        "S1 files and folders with other modes than 0600 and 0700, under 3 umasks", len(wrong)
    )


def http(rng: Random) -> bytes:
    method = rng.choice(("GET", "POST", "OPTIONS", "PUT", "HEAD", "CONNECT"))
    head = f"{method} /{rng.randrange(10**6)} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: null\r\n"
    body = rng.randbytes(rng.randrange(500))
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def aligned_post(rng: Random) -> bytes:
    """A POST whose body is frames of ZMTP 1 or 2, wherever a reader comes to stand in it."""
    size = rng.randrange(1, 255)
    frame = rng.choice((bytes([size + 1, rng.randrange(2)]), bytes([rng.randrange(2), size])))
    body = bytes(rng.randrange(256)) + (frame + b"SMT1".ljust(size, b"\0")) * 20
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def websocket(rng: Random) -> bytes:
    key = rng.randbytes(16).hex()
    head = (
        f"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    return head.encode() + b"\x82\xfe\x01\x00" + rng.randbytes(260)


def zmtp_1(rng: Random) -> bytes:
    identity = rng.randbytes(rng.randrange(20))
    messages = b"".join(
        bytes([len(part) + 1, rng.randrange(2)]) + part
        for part in (b"SMT1" + rng.randbytes(rng.randrange(200)) for _ in range(10))
    )
    return bytes([len(identity) + 1, 0]) + identity + messages


def zmtp_1_long(rng: Random) -> bytes:
    return b"\xff" + struct.pack(">Q", rng.randrange(1 << 63)) + b"\x00" + rng.randbytes(200)


def zmtp_2(rng: Random) -> bytes:
    revision, kind = rng.choice((0, 1, 2)), rng.randrange(12)
    message = b"SMT1" + rng.randbytes(rng.randrange(200))
    frame = bytes([rng.randrange(4), len(message)]) + message
    return SIGNATURE + bytes([revision, kind, 0, 0]) + frame * 10


def zmtp_3_elsewise(rng: Random) -> bytes:
    mechanism = rng.choice((b"PLAIN", b"CURVE", b"GSSAPI", rng.randbytes(20)))
    greeting = GREETING[:12] + mechanism.ljust(20, b"\0") + GREETING[32:]
    return greeting + HANDSHAKE[len(GREETING) :] + b"\x00\x04SMT1" * 10


def early(rng: Random) -> bytes:
    return GREETING + bytes([rng.choice((0, 1))]) + b"\x20" + b"SMT1".ljust(32, b"\0")


WAYS: tuple[Callable[[Random], bytes], ...] = (
    http,
    aligned_post,
    websocket,
    zmtp_1,
    zmtp_1_long,
    zmtp_2,
    zmtp_3_elsewise,
    early,
)


def browsers(rng: Random) -> Iterator[Figure]:
    """S2."""
    reached = answered = served = 0
    for endpoint in (IPC, TCP):
        with broker(endpoint) as backend, contextlib.ExitStack() as open_ones:
            before = backend.log()
            strangers = []
            for number in range(PROBES // 2):
                stranger = open_ones.enter_context(connect(backend.info.endpoint))
                push(stranger, WAYS[number % len(WAYS)](rng))
                strangers.append(stranger)
            served += backend.is_healthy()
            until = time.monotonic() + HANDSHAKE_S + SLACK_S
            heard = [drain(stranger, until)[0] for stranger in strangers]
            # libzmq's own greeting and READY may come; a message of ours would say SMT1.
            answered += sum(b"SMT1" in answer or len(answer) > 200 for answer in heard)
            reached += backend.log()[len(before) :].count("refused")
            served += backend.is_healthy()
    yield zero(f"S2 frames of {PROBES} probes that reached the broker's own code", reached)
    yield zero("S2 probes that were answered with more than ZMTP's greeting", answered)
    yield is_served("S2", served == 4)


BLOCKS = {"S1": another_user, "S2": browsers}

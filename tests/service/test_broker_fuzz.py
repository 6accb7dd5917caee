"""Whatever bytes come, before or after the greeting, the broker and its worker go on serving."""

import contextlib
import re
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from broker_harness import HELLO, IMAGE, OUTPUTS, PIXELS, Backend, Raw, running
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_matte_link.envelope import HEADER, HEADER_BYTES, MAGIC, NO_JOB, chunk_header, encode
from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Grant,
    MessageType,
    Ping,
    Pong,
    Proof,
    Refine,
    Status,
)
from smart_matte_link.zmtp import GREETING, READY

HANDSHAKE = GREETING + b"\x04" + bytes([len(READY)]) + READY
TYPE_OFFSET = 6
JOB, OTHER_JOB = bytes(range(16)), bytes(range(16, 32))
JOBS = (NO_JOB, JOB, OTHER_JOB, b"\xff" * 16)
STRANGERS_HEAR = {MessageType.CHALLENGE, MessageType.ERROR}

SESSION = (
    encode(Ping(1), 2),
    encode(Status(), 3),
    encode(Begin((IMAGE,), OUTPUTS, keep=True), 0, JOB),
    chunk_header(PIXELS, 1, JOB) + PIXELS,
    encode(End(len(PIXELS)), 2, JOB),
    encode(Grant(3), 3, JOB),
    encode(Pong(0), 4),
    encode(Refine(JOB.hex(), OUTPUTS), 0, OTHER_JOB),
    encode(Grant(9), 1, OTHER_JOB),
    encode(Cancel(), 2, OTHER_JOB),
)
"""What a good client may send after its welcome, were it in a hurry."""

ANSWERS = {
    bytes([MessageType.BEGIN]): {MessageType.GRANT, MessageType.ERROR},
    bytes([MessageType.GRANT]): {MessageType.END, MessageType.ERROR},
}
"""What a client waits for after some types: chunks need credit, refining needs a result."""

ANSWER_S = 0.01

FUZZ = settings(max_examples=100, deadline=None)
"""Over each transport: 200 of each property in all."""


@pytest.fixture(scope="module", params=["", "tcp://127.0.0.1:*"], ids=["ipc", "tcp"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    path = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        with running(path, endpoint=request.param) as backend:
            pid = backend.worker_pid()
            yield backend
            assert backend.worker_pid() == pid, "a client's bytes have ended the worker"
            log = backend.log()
            assert "the broker failed" not in log
            assert not re.search(r" (ERROR|CRITICAL) \d", log)
        assert backend.process.returncode == 0
    finally:
        shutil.rmtree(path, ignore_errors=True)


@st.composite
def changed(draw: st.DrawFn, original: bytes, *, from_byte: int = 0) -> bytes:
    """A few flips, cuts, repeats and insertions."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(min(from_byte, len(data)), len(data)))
        length = draw(st.integers(1, 64))
        how = draw(st.sampled_from(["flip", "cut", "remove", "repeat", "insert"]))
        if how == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[place:]
        elif how == "remove":
            del data[place : place + length]
        elif how == "repeat":
            data[place:place] = data[place : place + length]
        else:
            data[place:place] = draw(st.binary(max_size=length))
    return bytes(data)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A header with fields at random, most of them likely, and a body that may belong to it."""
    body = draw(st.sampled_from([frame[HEADER_BYTES:] for frame in SESSION]))
    if draw(st.booleans()):
        body = draw(changed(body) | st.binary(max_size=300))
    return (
        HEADER.pack(
            draw(st.just(MAGIC) | st.binary(min_size=4, max_size=4)),
            draw(st.just(1) | st.integers(0, 65535)),
            draw(st.sampled_from(MessageType) | st.integers(0, 255)),
            draw(st.just(0) | st.integers(0, 255)),
            draw(st.sampled_from(JOBS) | st.binary(min_size=16, max_size=16)),
            draw(st.integers(0, 4) | st.integers(0, (1 << 32) - 1)),
            draw(st.just(zlib.crc32(body)) | st.integers(0, (1 << 32) - 1)),
        )
        + body
    )


def resealed(frame: bytes) -> bytes:
    """The frame with the checksum of the body that it has now."""
    return (
        frame[: HEADER_BYTES - 4]
        + zlib.crc32(frame[HEADER_BYTES:]).to_bytes(4)
        + (frame[HEADER_BYTES:])
    )


@st.composite
def sessions(draw: st.DrawFn) -> list[bytes]:
    """A good session with some messages changed, repeated, left out, swapped or added."""
    frames = list(SESSION)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(frames) - 1))
        how = draw(st.sampled_from(["change", "reseal", "repeat", "drop", "move", "add"]))
        if how == "change":
            frames[place] = draw(changed(frames[place]))
        elif how == "reseal":
            changed_frame = draw(changed(frames[place], from_byte=HEADER_BYTES))
            frames[place] = resealed(changed_frame)
        elif how == "repeat":
            frames.insert(draw(st.integers(0, len(frames))), frames[place])
        elif how == "drop" and len(frames) > 1:
            del frames[place]
        elif how == "move":
            frames.insert(draw(st.integers(0, len(frames) - 1)), frames.pop(place))
        else:
            frames.insert(place, draw(messages() | st.binary(max_size=100)))
    return [without_shutdown(frame) for frame in frames]


def without_shutdown(frame: bytes) -> bytes:
    """A client that is welcome may end the backend, which is no fault: another type instead."""
    if frame[TYPE_OFFSET : TYPE_OFFSET + 1] != bytes([MessageType.SHUTDOWN]):
        return frame
    return frame[:TYPE_OFFSET] + bytes([MessageType.DRAINING]) + frame[TYPE_OFFSET + 1 :]


def hear_all(raw: Raw) -> set[MessageType]:
    """The types of all that came; each message was well-formed and had its number."""
    heard = set()
    while (message := raw.receive(0)) is not None:
        heard.add(message.type)
    return heard


def say(raw: Raw, frame: bytes) -> set[MessageType]:
    """Send a frame, and wait for what usually answers it, but not for long; what came."""
    raw.socket.send(frame)
    awaited = ANSWERS.get(frame[TYPE_OFFSET : TYPE_OFFSET + 1], set())
    heard = set()
    while awaited and not heard & awaited and (message := raw.receive(ANSWER_S)) is not None:
        heard.add(message.type)
    return heard


def zmtp_frame(message: bytes) -> bytes:
    return b"\x02" + len(message).to_bytes(8) + message


def connect(backend: Backend) -> socket.socket:
    scheme, _, address = backend.info.endpoint.partition("://")
    if scheme == "ipc":
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(address)
    else:
        stranger = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
    stranger.settimeout(10)
    return stranger


HELLO_FRAME = zmtp_frame(encode(replace(HELLO, nonce="0" * 64), 0))
PROOF_FRAME = zmtp_frame(encode(Proof("0" * 64), 1))
CONNECTION = HANDSHAKE + HELLO_FRAME + PROOF_FRAME
WHOLE_CONNECTIONS = st.one_of(
    changed(CONNECTION),
    changed(GREETING),
    changed(CONNECTION, from_byte=len(GREETING)),
    changed(CONNECTION, from_byte=len(HANDSHAKE)),
    st.binary(max_size=500),
    st.binary(max_size=500).map(lambda noise: HANDSHAKE + noise),
)


@FUZZ
@given(batch=st.lists(WHOLE_CONNECTIONS, min_size=1, max_size=6))
def test_no_bytes_on_a_socket_disturb_the_broker_or_are_welcome(
    backend: Backend, batch: list[bytes]
) -> None:
    info = backend.info
    with contextlib.ExitStack() as strangers:
        open_ones = []
        for data in batch:
            stranger = strangers.enter_context(connect(backend))
            with contextlib.suppress(ConnectionError):
                stranger.sendall(data)
            open_ones.append(stranger)
        assert backend.is_healthy()
        for stranger in open_ones:
            stranger.setblocking(False)
            with contextlib.suppress(ConnectionError, BlockingIOError):
                answer = stranger.recv(1 << 16)
                assert info.epoch.encode() not in answer, "only a welcome tells the epoch"
                assert info.token.encode() not in answer


@FUZZ
@given(batch=st.lists(messages() | st.binary(max_size=500), min_size=1, max_size=8))
def test_no_message_of_a_stranger_is_obeyed(backend: Backend, batch: list[bytes]) -> None:
    with Raw(backend) as raw:
        for message in batch:
            raw.socket.send(message)
        assert backend.is_healthy()
        assert hear_all(raw) <= STRANGERS_HEAR


@FUZZ
@given(batch=st.lists(messages() | st.binary(max_size=500), min_size=1, max_size=8))
def test_no_message_between_hello_and_proof_is_obeyed(backend: Backend, batch: list[bytes]) -> None:
    with Raw(backend) as raw:
        raw.say_hello()
        for message in batch:
            raw.socket.send(message)
        assert backend.is_healthy()
        assert hear_all(raw) <= STRANGERS_HEAR


@FUZZ
@given(frames=sessions())
def test_a_client_gone_mad_harms_only_itself(backend: Backend, frames: list[bytes]) -> None:
    with Raw(backend).greet() as raw:
        for frame in frames:
            say(raw, frame)
        assert backend.status().state == "running"  # answered also beside its half-finished jobs
        hear_all(raw)
    assert backend.is_healthy()


def test_the_session_that_is_changed_is_a_good_one(backend: Backend) -> None:
    with Raw(backend).greet() as raw:
        heard = set.union(*(say(raw, frame) for frame in SESSION))
    assert heard >= {MessageType.PONG, MessageType.STATUS_REPLY, MessageType.RESULT}
    assert MessageType.ERROR not in heard

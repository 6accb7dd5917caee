"""What a broken or hostile client may send; each of these has to be refused, and hurt nobody."""

import contextlib
import socket
import time
from collections.abc import Callable
from random import Random

from smart_matte_link.connection import read_connection
from smart_matte_link.envelope import HEADER, MAGIC, chunk_header, crc32, encode
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import (
    PROTOCOL_MAX,
    Begin,
    Cancel,
    End,
    MessageType,
    Output,
    Plane,
    new_job_id,
)
from smart_matte_link.session import Identity, Session

PATIENCE_S = 20.0
BEGIN = Begin((Plane("image", 8, 4, "RGBA", "u8", "srgb"),), (Output("alpha", "GRAY", "u8"),))


def post(session: Session, frame: bytes) -> None:
    session._dealer.send([frame], time.monotonic() + PATIENCE_S)


def post_json(session: Session, text: bytes, number: int = 0) -> None:
    fields = (MAGIC, PROTOCOL_MAX, MessageType.BEGIN, 0, new_job_id(), number, crc32(text))
    post(session, HEADER.pack(*fields) + text)


def send_noise(session: Session, rng: Random) -> None:
    post(session, rng.randbytes(rng.randrange(1, 5000)))


def send_changed_body(session: Session, rng: Random) -> None:
    frame = bytearray(encode(BEGIN, 0, new_job_id()))
    frame[rng.randrange(HEADER.size, len(frame))] ^= 1 << rng.randrange(8)
    post(session, bytes(frame))


def send_changed_header(session: Session, rng: Random) -> None:
    frame = bytearray(encode(BEGIN, 0, new_job_id()))
    frame[rng.choice((0, 1, 2, 3, 4, 5, 7))] ^= 1 << rng.randrange(8)
    post(session, bytes(frame))


def send_skipped_number(session: Session, rng: Random) -> None:
    post(session, encode(BEGIN, rng.randrange(1, 2**32), new_job_id()))


def send_impossible_side(session: Session, rng: Random) -> None:
    text = encode(BEGIN, 0, new_job_id())[HEADER.size :]
    side = str(rng.choice((0, -1, 65_536, 2**31, 2**63, "1e3", "true"))).encode()
    post_json(session, text.replace(b'"width":8', b'"width":' + side))


def send_deep_json(session: Session, rng: Random) -> None:
    post_json(session, b"[" * rng.randrange(100, 60_000))


def send_unknown_job(session: Session, _rng: Random) -> None:
    post(session, encode(Cancel(), 0, new_job_id()))


def begin_and_wait(session: Session) -> bytes:
    job = new_job_id()
    session.send(BEGIN, job)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        message = session.receive(0.1)
        if message is not None and message.type is MessageType.GRANT:
            return job
        if message is not None and message.type is MessageType.ERROR:
            raise LinkError(message.body.code, message.body.message)
    raise LinkError("deadline", "No grant came.")


def send_too_few(session: Session, rng: Random) -> None:
    job = begin_and_wait(session)
    session.send_chunk(memoryview(bytes(rng.randrange(1, 128))), job)
    session.send(End(128), job)


def send_too_many(session: Session, rng: Random) -> None:
    job = begin_and_wait(session)
    session.send_chunk(memoryview(bytes(rng.randrange(129, 5000))), job)


def send_wrong_checksum(session: Session, rng: Random) -> None:
    job = begin_and_wait(session)
    header = chunk_header(bytes(128), 1, job)
    post(session, header + bytes(127) + bytes([rng.randrange(1, 256)]))


WAYS: tuple[Callable[[Session, Random], None], ...] = (
    send_noise,
    send_changed_body,
    send_changed_header,
    send_skipped_number,
    send_impossible_side,
    send_deep_json,
    send_unknown_job,
    send_too_few,
    send_too_many,
    send_wrong_checksum,
)


def answer_to(session: Session) -> str:
    """The code of the error that comes back."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        message = session.receive(0.1)
        if message is not None and message.type is MessageType.ERROR:
            return message.body.code
    return "no answer"


def knock_with_http(endpoint: str) -> str:
    """Speak HTTP to the socket; "closed" when the other side hangs up without an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(endpoint.removeprefix("ipc://"))
        try:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(200))
            answer = b""
            while part := connection.recv(4096):
                answer += part
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "no answer"
    return "closed" if not answer or answer.startswith(b"\xff") else "answered"


def send_malformed(folder, rng: Random) -> str:
    """Do one of these on a connection of its own; returns the code of the refusal."""
    info = read_connection(folder)
    way = rng.randrange(len(WAYS) + 1)
    if way == len(WAYS):
        return knock_with_http(info.endpoint)
    session = Session(info, Identity("soak-malformed", "0"))
    with contextlib.closing(session):
        try:
            WAYS[way](session, rng)
            return answer_to(session)
        except LinkError as error:
            return error.code

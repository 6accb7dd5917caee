"""The 32 bytes in front of every body, and the rules that hold for whole messages."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from smart_matte_link.messages import (
    CHUNK_BYTES_MAX,
    LASTING_TYPES,
    PROTOCOL_MAX,
    RULES,
    TYPE_OF,
    MessageType,
)
from smart_matte_link.strict_json import JSON_BYTES_MAX, from_json, refuse, to_json

if TYPE_CHECKING:
    from collections.abc import Container

MAGIC = b"SMT1"
HEADER = struct.Struct("!4sHBB16sII")
"""Magic, protocol, type, flags, job id, sequence number, CRC-32 of the body; network order."""

HEADER_BYTES = HEADER.size
SEQ_OFFSET = 24
FRAME_BYTES_MAX = HEADER_BYTES + CHUNK_BYTES_MAX
"""No message is larger; sockets may refuse what is."""

NO_JOB = bytes(16)
"""Job id of messages about the connection."""

LASTING_PROTOCOL = 1
"""What the header of LASTING_TYPES says, in every version."""

ALL_TYPES = frozenset(MessageType)
CODES = frozenset(int(kind) for kind in MessageType)


class Header(NamedTuple):
    """
    What stands in front of a body.

    Attributes:
        type: what the message is.
        job: 16 bytes, NO_JOB for the connection.
        seq: its place among the messages of this job in this direction, from 0.
        checksum: CRC-32 of the body.
    """

    type: MessageType
    job: bytes
    seq: int
    checksum: int


class Message(NamedTuple):
    """
    One message.

    Attributes:
        type: what it is.
        job: 16 bytes, NO_JOB for the connection.
        seq: its place among the messages of this job in this direction, from 0.
        body: a dataclass of messages.py; for CHUNK a memoryview of the pixels.
    """

    type: MessageType
    job: bytes
    seq: int
    body: Any


def encode(body: object, seq: int, job: bytes = NO_JOB, protocol: int = PROTOCOL_MAX) -> bytes:
    """
    Write a message with a JSON body.

    Raises:
        ProtocolError: the body doesn't fit.
    """
    kind = TYPE_OF[type(body)]
    encoded = to_json(body)
    return _header(kind, encoded, seq, job, protocol) + encoded


def chunk_header(
    pixels: bytes | bytearray | memoryview, seq: int, job: bytes, protocol: int = PROTOCOL_MAX
) -> bytes:
    """Write the header of a chunk; the frame is this and then *pixels*, which aren't copied."""
    return _header(MessageType.CHUNK, pixels, seq, job, protocol)


def renumber(frame: bytearray | memoryview, seq: int) -> None:
    """Write another number into a whole frame, as who passes it on has to."""
    struct.pack_into("!I", frame, SEQ_OFFSET, seq)


def decode(
    frame: bytes | bytearray | memoryview,
    allowed: Container[MessageType] = ALL_TYPES,
    protocol: int | None = None,
) -> Message:
    """
    Read a message.

    Args:
        frame: the whole frame. Of a chunk, the body is a view into it.
        allowed: the types that the other side may send (messages.sent_by).
        protocol: the version agreed on; None before that, when only lasting types may come.

    Raises:
        ProtocolError: says what is wrong.
    """
    view = memoryview(frame)
    header = decode_header(view[:HEADER_BYTES], len(view) - HEADER_BYTES, allowed, protocol)
    return decode_body(header, view[HEADER_BYTES:])


def decode_header(
    encoded: bytes | bytearray | memoryview,
    body_bytes: int,
    allowed: Container[MessageType] = ALL_TYPES,
    protocol: int | None = None,
) -> Header:
    """
    Read and check a header before its body is there.

    Args:
        encoded: the first HEADER_BYTES of the frame.
        body_bytes: length of the rest.
        allowed: as for decode.
        protocol: as for decode.

    Raises:
        ProtocolError: says what is wrong.
    """
    if len(encoded) < HEADER_BYTES:
        refuse(f"A frame of {len(encoded)} bytes has no header.")
    magic, version, code, flags, job, seq, checksum = HEADER.unpack(encoded)
    if magic != MAGIC:
        refuse("A frame doesn't begin with SMT1.")
    if code not in CODES:
        refuse(f"There is no message type {code}.")
    kind = MessageType(code)
    expected = LASTING_PROTOCOL if kind in LASTING_TYPES else protocol
    if version != expected:
        refuse(f"A {kind.name} says protocol {version} where {expected or 'none'} was agreed.")
    if flags:
        refuse(f"A {kind.name} has flags {flags:#x}, which mean nothing in this protocol.")
    if kind not in allowed:
        refuse(f"A {kind.name} may not be sent by this side now.")
    _check_job(kind, job)
    largest = CHUNK_BYTES_MAX if kind is MessageType.CHUNK else JSON_BYTES_MAX
    if not 1 <= body_bytes <= largest:
        refuse(f"The body of a {kind.name} has {body_bytes} bytes; 1 to {largest} are allowed.")
    return Header(kind, job, seq, checksum)


def decode_body(header: Header, body: bytes | bytearray | memoryview) -> Message:
    """
    Read and check a body.

    Raises:
        ProtocolError: says what is wrong.
    """
    if crc32(body) != header.checksum:
        refuse(f"The body of a {header.type.name} was changed on its way.")
    body_class = RULES[header.type].body
    read = memoryview(body) if body_class is None else from_json(body_class, bytes(body))
    return Message(header.type, header.job, header.seq, read)


class Numbering:
    """
    The sequence numbers of one direction of a connection, per job.

    A job's numbers start at 0 with its first message and go up by one; so do the connection's
    own (job id zero).
    """

    def __init__(self) -> None:
        self._next: dict[bytes, int] = {}

    def take(self, job: bytes = NO_JOB) -> int:
        """The number for the next message to send."""
        seq = self._next.get(job, 0)
        self._next[job] = seq + 1
        return seq

    def check(self, message: Message) -> None:
        """
        Hold the number of a message that came against the one expected.

        Raises:
            ProtocolError: it was repeated, skipped or reversed.
        """
        expected = self.take(message.job)
        if message.seq != expected:
            self._next[message.job] = expected
            refuse(f"A {message.type.name} has number {message.seq} where {expected} was next.")

    def forget(self, job: bytes) -> None:
        """A job has ended."""
        self._next.pop(job, None)


class Inflow:
    """The bytes of one direction of a job, which must be exactly those declared."""

    def __init__(self, byte_count: int) -> None:
        self.expected = byte_count
        self.received = 0

    def add(self, byte_count: int) -> None:
        """
        Count a chunk.

        Raises:
            ProtocolError: that are more bytes than declared.
        """
        if self.received + byte_count > self.expected:
            refuse(f"More than the declared {self.expected} bytes came.", "bad_geometry")
        self.received += byte_count

    def finish(self, byte_count: int) -> None:
        """
        Hold the end's own count against what was declared and what came.

        Raises:
            ProtocolError: they differ.
        """
        if not self.expected == self.received == byte_count:
            refuse(
                f"{self.expected} bytes were declared, {self.received} came and the end counts"
                f" {byte_count}.",
                "bad_geometry",
            )


def _header(
    kind: MessageType,
    body: bytes | bytearray | memoryview,
    seq: int,
    job: bytes,
    protocol: int,
) -> bytes:
    version = LASTING_PROTOCOL if kind in LASTING_TYPES else protocol
    return HEADER.pack(MAGIC, version, kind, 0, job, seq, crc32(body))


def _check_job(kind: MessageType, job: bytes) -> None:
    about = RULES[kind].about
    if job == b"\xff" * 16:
        refuse("A job id of all ones is nobody's.")
    if about == "job" and job == NO_JOB:
        refuse(f"A {kind.name} names no job.")
    if about == "connection" and job != NO_JOB:
        refuse(f"A {kind.name} names a job.")

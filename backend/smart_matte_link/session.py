"""One connection to a backend: mutual proof, numbered messages, life signs."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from smart_matte_link.authentication import Exchange, compute_proof, is_proof, new_nonce
from smart_matte_link.envelope import (
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    NO_JOB,
    Header,
    Inflow,
    Message,
    Numbering,
    chunk_header,
    decode_body,
    decode_header,
    encode,
)
from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.memory import zeros
from smart_matte_link.messages import (
    CAPABILITIES,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Challenge,
    ConnectionInfo,
    Error,
    Hello,
    MessageType,
    Ping,
    Plane,
    Pong,
    Proof,
    Upgrade,
    Welcome,
    new_job_id,
    sent_by,
)
from smart_matte_link.strict_json import refuse
from smart_matte_link.zmtp import Dealer, PeerLateError, PeerLostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ANSWER_S = 4.5
"""
From the first byte to welcome, and the longest silence while a job is open.

A broker computes nothing and answers at once: one that doesn't is stopped or hung, and a user
should know within 5 s.
"""

FRAME_S = 4.5
"""For one frame, once it has begun, in either direction; about 1 MB/s at least."""

PINGS_PER_LEASE = 3

STEP_MAX_S = 1.0
"""
Longer between two looks than ever happens: this process, or the machine, was paused. It is no
silence of the backend's, whose life signs wait to be read.
"""

REMEMBERED_JOBS = 1024
"""Ended jobs of a connection whose late messages are known for what they are."""

FROM_BACKEND = sent_by("backend")

START_AGAIN = "Try again; the backend will be started anew."


class Identity(NamedTuple):
    """
    Who this client says it is.

    Attributes:
        application: "gimp", "krita", "cli", …
        version: its version.
        protocols: oldest and newest protocol version that it speaks.
    """

    application: str
    version: str
    protocols: tuple[int, int] = (PROTOCOL_MIN, PROTOCOL_MAX)


class Landing:
    """
    Where the pixels of a result go: one buffer of zeros for each plane.

    Raises:
        MemoryError: there isn't so much.
    """

    def __init__(self, job: bytes, planes: Sequence[Plane]) -> None:
        self.job = job
        self.buffers = [zeros(plane.byte_count) for plane in planes]
        self.inflow = Inflow(sum(map(len, self.buffers)))

    def free_bytes(self, count: int) -> memoryview | None:
        """The next *count* bytes, if they are in one piece."""
        for buffer, start in self._from_here():
            if start + count <= len(buffer):
                return buffer[start : start + count]
            return None
        return None

    def add(self, pixels: memoryview) -> None:
        """
        Count a chunk, and copy it unless it was read into ``free_bytes``.

        Raises:
            ProtocolError: more came than was declared.
        """
        place = self.free_bytes(len(pixels))
        is_there = place is not None and place.obj is pixels.obj
        targets = [] if is_there else list(self._from_here())
        self.inflow.add(len(pixels))
        for buffer, start in targets:
            part = pixels[: len(buffer) - start]
            buffer[start : start + len(part)] = part
            pixels = pixels[len(part) :]

    def _from_here(self) -> Iterator[tuple[memoryview, int]]:
        """Each buffer that isn't full, and where its free part starts."""
        start = self.inflow.received
        for buffer in self.buffers:
            if start < len(buffer):
                yield buffer, start
            start = max(start - len(buffer), 0)


class Session:
    """
    A connection whose two ends have proved to know the token.

    Attributes:
        info: the connection file that led here.
        answer: how the backend greeted: Welcome, or Upgrade where the versions don't fit.
        is_open: False once the connection can no longer be used.
    """

    def __init__(self, info: ConnectionInfo, identity: Identity) -> None:
        """
        Connect; nothing of a picture is sent before the backend's proof was checked.

        Raises:
            LinkError: "lost" nobody is there; "deadline" it doesn't answer; "not_authorised" an
                impostor; "bad_message", "version" it speaks something else.
        """
        self.info = info
        self.is_open = True
        self._protocol: int | None = None
        self._lease_s = ANSWER_S
        self._sent = Numbering()
        self._received = Numbering()
        self._ended: OrderedDict[bytes, None] = OrderedDict()
        self._last_sent = self._last_heard = self._last_ping = self._last_look = time.monotonic()
        self._pings = 0
        deadline = time.monotonic() + ANSWER_S
        with _as_link_errors("deadline"):
            self._dealer = Dealer(info.endpoint, FRAME_BYTES_MAX, deadline)
        with self._link("deadline"):
            self.answer = self._get_acquainted(identity, deadline)

    @property
    def welcome(self) -> Welcome:
        """The backend's welcome, which every session has that is handed out."""
        if not isinstance(self.answer, Welcome):
            raise _version_error(self.answer)
        return self.answer

    def close(self) -> None:
        """Hang up; may be called twice."""
        self.is_open = False
        self._dealer.close()

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        """
        Send a message with a JSON body.

        Raises:
            LinkError: the connection is lost.
            ProtocolError: the body can't be sent; the connection goes on.
        """
        frame = encode(body, self._sent.take(job), job, self._protocol or PROTOCOL_MAX)
        self._send_frame([frame])

    def send_chunk(self, pixels: memoryview, job: bytes) -> None:
        """
        Send pixels, without copying them.

        Raises:
            LinkError: the connection is lost.
        """
        header = chunk_header(pixels, self._sent.take(job), job, self._protocol or PROTOCOL_MAX)
        self._send_frame([header, pixels])

    def receive(self, timeout_s: float, landing: Landing | None = None) -> Message | None:
        """
        Wait for a message that matters to the caller.

        Args:
            timeout_s: how long.
            landing: where the chunks of one job are read to.

        Returns:
            None when nothing came, or something that is dealt with here.

        Raises:
            LinkError: the connection is lost, or the backend says that it is over.
        """
        with self._link():
            if not self._dealer.wait(timeout_s):
                return None
            message = self._read_message(time.monotonic() + FRAME_S, landing)
        return None if message is None else self._sort(message)

    def new_job(self) -> bytes:
        """The id of a job; from now on the backend's silence counts."""
        self._last_heard = self._last_look = time.monotonic()
        return new_job_id()

    def stay_alive(self) -> None:
        """
        Give a life sign when one is due; to be called while a job is open.

        Raises:
            LinkError: the backend has been silent for too long.
        """
        now = time.monotonic()
        paused_s = max(0.0, now - self._last_look - STEP_MAX_S)
        self._last_heard, self._last_look = min(now, self._last_heard + paused_s), now
        if now - self._last_heard > self._lease_s:
            self.close()
            raise LinkError("lost", "The backend stopped answering.", START_AGAIN)
        quiet_since = max(min(self._last_sent, self._last_heard), self._last_ping)
        if now - quiet_since > self._lease_s / PINGS_PER_LEASE:
            self._pings += 1
            self._last_ping = now
            self.send(Ping(self._pings))

    def forget(self, job: bytes) -> None:
        """A job has ended here; what still comes for it is dropped."""
        self._ended[job] = None
        if len(self._ended) > REMEMBERED_JOBS:
            self._ended.popitem(last=False)
        self._sent.forget(job)
        self._received.forget(job)

    @contextmanager
    def _link(self, late_code: str = "lost") -> Iterator[None]:
        """Use the connection; whatever goes wrong in here is its end."""
        with _as_link_errors(late_code):
            if not self.is_open:
                raise PeerLostError
            try:
                yield
            except BaseException:
                self.close()
                raise

    def _get_acquainted(self, identity: Identity, deadline: float) -> Welcome | Upgrade:
        hello = Hello(
            *identity.protocols, new_nonce(), identity.application, identity.version, CAPABILITIES
        )
        self.send(hello)
        challenge: Challenge = self._expect(Challenge, deadline)
        exchange = Exchange(hello.nonce, challenge.nonce, self.info.endpoint)
        token = bytes.fromhex(self.info.token)
        if not is_proof(challenge.proof, token, "backend", exchange):
            raise LinkError(
                "not_authorised",
                "Another program answers in the backend's place; nothing was sent to it.",
                "Restart the computer, or end that program.",
            )
        self.send(Proof(compute_proof(token, "client", exchange)))
        answer: Welcome | Upgrade = self._expect((Welcome, Upgrade), deadline)
        if isinstance(answer, Welcome):
            if not identity.protocols[0] <= answer.protocol <= identity.protocols[1]:
                refuse(f"It chose protocol {answer.protocol}.", "version")
            self._protocol = answer.protocol
            self._lease_s = min(answer.limits.lease_s, ANSWER_S)
        return answer

    def _expect(self, kinds: Any, deadline: float) -> Any:  # noqa: ANN401  (a body of these kinds)
        message = self._read_message(deadline, None)
        if message is not None and isinstance(message.body, Error):
            raise _link_error(message.body)
        if message is None or not isinstance(message.body, kinds):
            refuse("An answer came that wasn't asked for.")
        return message.body

    def _send_frame(self, parts: list[bytes | memoryview]) -> None:
        with self._link():
            self._dealer.send(parts, time.monotonic() + FRAME_S)
        self._last_sent = time.monotonic()

    def _read_message(self, deadline: float, landing: Landing | None) -> Message | None:
        """Read one message; None for one of a job that has ended."""
        body_bytes = self._dealer.next_frame(deadline) - HEADER_BYTES
        encoded = bytearray(HEADER_BYTES + min(body_bytes, 0))
        self._dealer.read_into(memoryview(encoded), deadline)
        header = decode_header(encoded, body_bytes, FROM_BACKEND, self._protocol)
        body = _place_for(header, body_bytes, landing) or memoryview(bytearray(body_bytes))
        self._dealer.read_into(body, deadline)
        self._last_heard = time.monotonic()
        if header.job in self._ended:
            return None
        message = decode_body(header, body)
        self._received.check(message)
        return message

    def _sort(self, message: Message) -> Message | None:
        """Deal with what concerns the connection."""
        if message.type is MessageType.PING:
            self.send(Pong(message.body.number))
        elif message.type is MessageType.ERROR and message.job == NO_JOB:
            self.close()
            raise _link_error(message.body)
        elif message.type not in {MessageType.PONG, MessageType.DRAINING}:
            return message
        return None


@contextmanager
def _as_link_errors(late_code: str) -> Iterator[None]:
    """Say what happened to the connection in words for the user."""
    try:
        yield
    except PeerLostError as error:
        raise LinkError("lost", "The backend is gone.", START_AGAIN) from error
    except PeerLateError as error:
        raise LinkError(late_code, "The backend doesn't answer.", START_AGAIN) from error
    except ProtocolError as error:
        raise LinkError(
            error.code,
            f"The backend sent something unexpected: {error.sentence}",
            "Update Smart Matte and its plug-ins to the same version.",
        ) from error


def error_of(message: Message) -> LinkError:
    """The exception that says what an error message says."""
    return _link_error(message.body)


def _link_error(body: Error) -> LinkError:
    return LinkError(body.code, body.message, body.hint, body.retry_after_s)


def _version_error(upgrade: Upgrade) -> LinkError:
    if upgrade.older == "backend":
        return LinkError(
            "version",
            f"The running backend ({upgrade.backend_version}) is too old for this program.",
            "Update Smart Matte.",
        )
    return LinkError(
        "version",
        f"This program is too old for the running backend ({upgrade.backend_version}).",
        "Update the plug-in: smart-matte installs the one that fits.",
    )


def _place_for(header: Header, body_bytes: int, landing: Landing | None) -> memoryview | None:
    if landing is None or header.type is not MessageType.CHUNK or header.job != landing.job:
        return None
    return landing.free_bytes(body_bytes)

"""The other end of one connection: numbers messages, and keeps those that don't fit yet."""

from collections import deque

import zmq

from smart_matte.service.clock import LoopClock
from smart_matte.service.sockets import Router
from smart_matte_link.envelope import HEADER, MAGIC, NO_JOB, Header, Message, Numbering, encode
from smart_matte_link.messages import PROTOCOL_MAX, Progress

OUTBOX_MAX = 64
"""Messages kept for somebody who doesn't read; with more it counts as gone."""


class Peer:
    """
    A client, or the worker.

    Attributes:
        identity: its routing id.
        protocol: the version that its messages say.
        is_gone: whether it has hung up, or reads nothing.
        last_heard: when it said something, by the loop's clock.
        last_sent: when something was said to it.
    """

    def __init__(self, router: Router, identity: bytes, clock: LoopClock) -> None:
        self.identity = identity
        self.protocol = PROTOCOL_MAX
        self.is_gone = False
        self.last_heard = self.last_sent = clock.now
        self._router = router
        self._clock = clock
        self._outbox: deque[bytes | zmq.Frame] = deque()
        self._sent = Numbering()
        self._received = Numbering()

    @property
    def is_blocked(self) -> bool:
        """Whether messages wait for it to read."""
        return bool(self._outbox)

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        """Send a message with a JSON body; progress only as long as it is read."""
        if self._outbox and isinstance(body, Progress):
            return
        self._post(encode(body, self._sent.take(job), job, self.protocol))

    def pass_on(self, frame: zmq.Frame, header: Header, job: bytes) -> None:
        """
        Send on a chunk that came from elsewhere, with a header of its own, without copying it.

        The checksum stays: the one who uses the pixels checks what the one who had them computed.
        """
        number = self._sent.take(job)
        fields = (MAGIC, self.protocol, header.type, 0, job, number, header.checksum)
        HEADER.pack_into(frame.buffer, 0, *fields)
        self._post(frame)

    def check_number(self, header: Header) -> None:
        """
        Hold the number of a message that came against the one expected.

        Raises:
            ProtocolError: it was repeated, skipped or reversed.
        """
        self._received.check(Message(header.type, header.job, header.seq, None))

    def forget(self, job: bytes) -> None:
        """A job has ended."""
        self._sent.forget(job)
        self._received.forget(job)

    def flush(self) -> None:
        """Try again to send what didn't fit."""
        while self._outbox and self._try(self._outbox[0]):
            if self._outbox:
                self._outbox.popleft()

    def hang_up(self) -> None:
        """Say nothing more to it."""
        self.is_gone = True
        self._outbox.clear()

    def _post(self, message: bytes | zmq.Frame) -> None:
        self.last_sent = self._clock.now
        if self.is_gone or (not self._outbox and self._try(message)):
            return
        if len(self._outbox) >= OUTBOX_MAX:
            self.hang_up()
            return
        self._outbox.append(message)

    def _try(self, message: bytes | zmq.Frame) -> bool:
        try:
            return self._router.write(self.identity, message)
        except ConnectionError:
            self.hang_up()
            return True

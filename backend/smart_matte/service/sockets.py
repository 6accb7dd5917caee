"""The only place that knows ZeroMQ's socket options; its defaults are wrong for us."""

import contextlib
import os
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

import zmq

from smart_matte_link.envelope import FRAME_BYTES_MAX

HANDSHAKE_MS = 3000
LINGER_MS = 1000
MESSAGES_MAX = 16
"""High-water mark; credit keeps queues shorter, this is the backstop."""

BACKLOG = 1024
"""A Unix socket refuses at once, instead of letting wait, whoever comes when this is full."""

ZAP_DOMAIN = b"smart-matte"
NO_DESCRIPTOR = -1
MONITOR_EVENT = struct.Struct("=Hi")
"""What happened, and to which descriptor; zmq_socket_monitor(3)."""


class Incoming(NamedTuple):
    """
    What a router read.

    Attributes:
        identity: routing id of the connection.
        descriptor: of the connection's socket; tells connections apart that say the same identity.
        frame: the message; None where it had several frames, which ours never have.
    """

    identity: bytes
    descriptor: int
    frame: zmq.Frame | None


class Router:
    """A ROUTER that never blocks and that says which connection ended."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.ROUTER)
        _set_options(self.socket)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.endpoint = ""

    def bind(self, endpoint: str) -> None:
        """
        Listen; ``endpoint`` then says where.

        Raises:
            zmq.ZMQError: that can't be.
        """
        self.socket.bind(endpoint)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def close(self) -> None:
        """Hang up on everybody, after what is under way, but for LINGER_MS at most."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close()

    def read(self, count: int) -> list[Incoming]:
        """Up to *count* messages that are there."""
        messages = []
        with contextlib.suppress(zmq.Again):
            for _ in range(count):
                identity, *frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
                is_single = len(frames) == 1
                messages.append(
                    Incoming(
                        identity.bytes,
                        _descriptor(frames[0]) if frames else NO_DESCRIPTOR,
                        frames[0] if is_single else None,
                    )
                )
        return messages

    def ended(self) -> Iterator[int]:
        """
        Descriptors of the connections that ended.

        To be asked after ``read`` and before dealing with what it gave: then a descriptor that
        is already in use again hasn't been heard of yet.
        """
        with contextlib.suppress(zmq.Again):
            while True:
                event, _ = self.monitor.recv_multipart(zmq.NOBLOCK)
                yield MONITOR_EVENT.unpack(event)[1]

    def write(self, identity: bytes, message: bytes | zmq.Frame) -> bool:
        """
        Send a message; False while there is no room.

        Raises:
            ConnectionError: nobody has that identity (any more).
        """
        try:
            self.socket.send_multipart([identity, message], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            raise ConnectionError(str(error)) from error
        return True


def _set_options(socket: zmq.Socket[bytes]) -> None:
    # With a ZAP domain libzmq takes neither ZMTP 1 nor 2, and so no HTTP either.
    socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
    socket.setsockopt(zmq.SNDHWM, MESSAGES_MAX)
    socket.setsockopt(zmq.RCVHWM, MESSAGES_MAX)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.BACKLOG, BACKLOG)
    if sys.platform != "win32":
        socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())


def _descriptor(frame: zmq.Frame) -> int:
    try:
        return int(frame.get(zmq.MessageOption.SRCFD))
    except zmq.ZMQError:
        return NO_DESCRIPTOR

"""
A ZeroMQ DEALER over plain sockets: ZMTP 3.1, NULL mechanism, one frame per message.

Source: ZeroMQ RFC 37 (ZMTP 3.1), held against libzmq by the tests.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, NoReturn

from smart_matte_link.errors import ProtocolError
from smart_matte_link.strict_json import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = SIGNATURE + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"

MORE, LONG, COMMAND = 1, 2, 4
"""Flags of a frame; all other bits are reserved."""

SHORT_MAX = 255
"""Longest frame whose length is one byte."""

COMMAND_BYTES_MAX = 1024
"""Longest command taken; READY and PING need less than a hundred bytes."""

PEERS = (b"ROUTER", b"DEALER", b"REP")
"""Socket types that a DEALER may talk to."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")

SOCKET_BUFFER_BYTES = 1024 * 1024
"""Asked of the system for both directions: fewer switches between the two sides."""


class PeerLostError(Exception):
    """The other side is not there, or went away."""


class PeerLateError(Exception):
    """The other side took too long."""


def seconds_left(deadline: float) -> float:
    """
    Seconds until a moment of time.monotonic.

    Raises:
        PeerLateError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise PeerLateError("The backend took too long.")
    return left


class Dealer:
    """
    One connection. After any exception but from ``wait`` it can only be closed.

    All deadlines are moments of ``time.monotonic``.
    """

    def __init__(self, endpoint: str, frame_bytes_max: int, deadline: float) -> None:
        """
        Connect and get through the ZMTP handshake.

        Args:
            endpoint: "ipc://PATH" or "tcp://127.0.0.1:PORT".
            frame_bytes_max: longer frames are refused.
            deadline: moment by which the handshake has to be done.

        Raises:
            PeerLostError: nobody listens there, or who does hung up.
            PeerLateError: the handshake took too long.
            ProtocolError: who listens does not speak ZMTP 3 with NULL, or the endpoint is odd.
        """
        self._frame_bytes_max = frame_bytes_max
        self._socket = _connect(endpoint, deadline)
        try:
            self._shake_hands(deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up; may be called twice."""
        self._socket.close()

    def send(self, parts: Sequence[bytes | bytearray | memoryview], deadline: float) -> None:
        """
        Send one frame, made of *parts*, without copying them.

        Raises:
            PeerLostError: the other side hung up.
            PeerLateError: it didn't read in time.
        """
        views = [memoryview(part).cast("B") for part in parts]
        self._send_frame(0, views, deadline)

    def wait(self, timeout_s: float) -> bool:
        """
        Wait for something to read, or for the other side's end.

        Raises:
            PeerLostError: the other side hung up.
        """
        try:
            self._socket.settimeout(timeout_s)
            return bool(self._socket.recv(1, socket.MSG_PEEK)) or _lost()
        except (socket.timeout, BlockingIOError):
            return False
        except OSError as error:
            _lost(error)

    def next_frame(self, deadline: float) -> int:
        """
        Read up to the body of the next message, answering commands on the way.

        Returns:
            Length of the body, which ``read_into`` gets.

        Raises:
            PeerLostError: the other side hung up.
            PeerLateError: nothing, or too little, came in time.
            ProtocolError: what came breaks ZMTP, is too long, or has several frames.
        """
        while True:
            flags, length = self._read_frame_head(deadline)
            if not flags & COMMAND:
                break
            self._obey(self._read(length, deadline), deadline)
        if flags & MORE:
            refuse("A message came in several frames.")
        return length

    def read_into(self, view: memoryview, deadline: float) -> None:
        """
        Fill *view* with the next bytes.

        Raises:
            PeerLostError: the other side hung up.
            PeerLateError: they took too long.
        """
        while view:
            self._socket.settimeout(seconds_left(deadline))
            try:
                count = self._socket.recv_into(view)
            except socket.timeout:
                raise PeerLateError("The backend took too long.") from None
            except OSError as error:
                _lost(error)
            if count == 0:
                _lost()
            view = view[count:]

    def _shake_hands(self, deadline: float) -> None:
        self._send_all([memoryview(GREETING)], deadline)
        signature = self._read(len(SIGNATURE), deadline)
        if signature[0] != SIGNATURE[0] or not signature[-1] & 1:
            refuse("Who listens there does not speak ZMTP.")
        major = self._read(1, deadline)[0]
        if major < GREETING[10]:
            raise ProtocolError("version", f"Who listens there speaks ZMTP {major}, not 3.")
        rest = self._read(len(GREETING) - len(SIGNATURE) - 1, deadline)
        if rest[1:21] != GREETING[12:32]:
            refuse("Who listens there wants another security mechanism than NULL.")
        self._send_frame(COMMAND, [memoryview(READY)], deadline)
        flags, length = self._read_frame_head(deadline)
        if not flags & COMMAND:
            refuse("A message came before READY.")
        _check_ready(self._read(length, deadline))

    def _read_frame_head(self, deadline: float) -> tuple[int, int]:
        flags = self._read(1, deadline)[0]
        if flags & ~(MORE | LONG | COMMAND) or flags & (MORE | COMMAND) == (MORE | COMMAND):
            refuse(f"A frame has flags {flags:#x}.")
        length = int.from_bytes(self._read(8 if flags & LONG else 1, deadline), "big")
        longest = COMMAND_BYTES_MAX if flags & COMMAND else self._frame_bytes_max
        if length > longest:
            refuse(f"A frame of {length} bytes came; {longest} are allowed.")
        return flags, length

    def _obey(self, command: bytes, deadline: float) -> None:
        name, data = _split_command(command)
        if name == b"PING":
            self._send_frame(COMMAND, [memoryview(b"\x04PONG" + data[2:])], deadline)
        elif name == b"ERROR":
            raise PeerLostError("The backend ended the connection with an error.")

    def _read(self, count: int, deadline: float) -> bytes:
        buffer = bytearray(count)
        self.read_into(memoryview(buffer), deadline)
        return bytes(buffer)

    def _send_frame(self, flags: int, views: list[memoryview], deadline: float) -> None:
        length = sum(view.nbytes for view in views)
        if length <= SHORT_MAX:
            head = bytes((flags, length))
        else:
            head = bytes((flags | LONG,)) + length.to_bytes(8, "big")
        self._send_all([memoryview(head), *views], deadline)

    def _send_all(self, views: list[memoryview], deadline: float) -> None:
        views = [view for view in views if view.nbytes]
        while views:
            self._socket.settimeout(seconds_left(deadline))
            try:
                count = _send_some(self._socket, views)
            except socket.timeout:
                raise PeerLateError("The backend did not read in time.") from None
            except OSError as error:
                _lost(error)
            while views and count >= views[0].nbytes:
                count -= views.pop(0).nbytes
            if count:
                views[0] = views[0][count:]


def _send_some(connection: socket.socket, views: list[memoryview]) -> int:
    if hasattr(connection, "sendmsg"):
        return connection.sendmsg(views)
    return connection.send(views[0])  # Windows


def _connect(endpoint: str, deadline: float) -> socket.socket:
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if scheme == "ipc" and address and hasattr(socket, "AF_UNIX"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target: str | tuple[str, int] = address
    elif scheme == "tcp" and host in LOOPBACK and port.isdecimal():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = (host, int(port))
    else:
        refuse("The endpoint is neither a local socket nor a port of this machine.")
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        connection.settimeout(seconds_left(deadline))
        connection.connect(target)
    except socket.timeout:
        connection.close()
        raise PeerLateError("The backend took too long to take the connection.") from None
    except (OSError, OverflowError) as error:
        connection.close()
        _lost(error)
    except BaseException:
        connection.close()
        raise
    return connection


def _split_command(command: bytes) -> tuple[bytes, bytes]:
    if not command or len(command) < 1 + command[0]:
        refuse("A ZMTP command has no name.")
    return command[1 : 1 + command[0]], command[1 + command[0] :]


def _check_ready(command: bytes) -> None:
    name, data = _split_command(command)
    if name != b"READY":
        refuse("The ZMTP handshake ended without READY.")
    properties = {}
    while data:
        key_end = 1 + data[0]
        value_end = key_end + 4 + int.from_bytes(data[key_end : key_end + 4], "big")
        if value_end > len(data):
            refuse("READY ends in the middle of a property.")
        properties[data[1:key_end].lower()] = data[key_end + 4 : value_end]
        data = data[value_end:]
    if properties.get(b"socket-type") not in PEERS:
        refuse("The socket at the other end is none that a DEALER may talk to.")


def _lost(error: Exception | None = None) -> NoReturn:
    raise PeerLostError("The backend is not there, or hung up.") from error

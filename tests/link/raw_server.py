"""Servers that speak bytes, not ZeroMQ: each connection gets one scripted conversation."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Script = Callable[[socket.socket], None]

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48)
READY = b"\x04\x29\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x00"


@contextlib.contextmanager
def raw_server(folder: Path, script: Script) -> Iterator[str]:
    """Serve every connection by *script*, one after the other; yields the endpoint."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "raw"))
    listener.listen(64)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    script(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"ipc://{folder}/raw"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(15)
        (folder / "raw").unlink()


def say(transcript: bytes) -> Script:
    """Say something and hang up, once the client has said what it has to say to a greeting."""

    def script(connection: socket.socket) -> None:
        read_exactly(connection, 64)
        connection.sendall(transcript)
        if len(transcript) >= len(GREETING):
            connection.recv(1000)  # its READY, so that the end is no reset
        connection.shutdown(socket.SHUT_WR)

    return script


def say_and_wait(transcript: bytes) -> Script:
    """Say something, and then nothing for as long as the client stays."""

    def script(connection: socket.socket) -> None:
        connection.sendall(transcript)
        while connection.recv(65536):
            pass

    return script


def drip(transcript: bytes, pause_s: float = 0) -> Script:
    """Say something one byte at a time, then wait for the client to leave."""

    def script(connection: socket.socket) -> None:
        for byte in transcript:
            connection.sendall(bytes((byte,)))
            time.sleep(pause_s)
        while connection.recv(65536):
            pass

    return script


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the client left"
        data += more
    return data

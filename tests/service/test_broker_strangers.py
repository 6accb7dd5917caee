"""Whoever doesn't speak ZMTP 3 never reaches the broker's own code, and disturbs nobody."""

import contextlib
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

import pytest
from broker_harness import Backend, Raw, running, wait_until

from smart_matte_link.envelope import FRAME_BYTES_MAX
from smart_matte_link.zmtp import GREETING, READY, SIGNATURE

HANDSHAKE = GREETING + b"\x04" + bytes([len(READY)]) + READY
LONG, MORE = 2, 1
POST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 300\r\n\r\n" + b"\x01\x00\x7d\x00" * 75
)

STRANGERS = {
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n",
    "HTTP POST aligned to ZMTP 1": POST,
    "WebSocket": b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "TLS": bytes.fromhex("16030100c4010000c00303") + bytes(200),
    "zeros": bytes(1000),
    "ZMTP 1": b"\x01\x00" + b"\x05\x00SMT1" * 20,
    "ZMTP 2": SIGNATURE + b"\x01\x05\x00\x00" + b"\x00\x04SMT1" * 20,
    "PLAIN": GREETING.replace(b"NULL".ljust(20, b"\0"), b"PLAIN".ljust(20, b"\0")),
    "CURVE": GREETING.replace(b"NULL".ljust(20, b"\0"), b"CURVE".ljust(20, b"\0")),
    "no READY": GREETING + b"\x00\x04SMT1",
    "2^63 bytes announced": HANDSHAKE + bytes([LONG]) + struct.pack(">Q", 1 << 63),
    "4 GiB announced": HANDSHAKE + bytes([LONG]) + struct.pack(">Q", 1 << 32) + bytes(4096),
    "one byte over the limit": HANDSHAKE
    + bytes([LONG])
    + struct.pack(">Q", FRAME_BYTES_MAX + 1)
    + bytes(4096),
    "command of 2^40 bytes": HANDSHAKE + b"\x06" + struct.pack(">Q", 1 << 40),
}


def connect(backend: Backend) -> socket.socket:
    scheme, _, address = backend.info.endpoint.partition("://")
    if scheme == "ipc":
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(address)
    else:
        stranger = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
    stranger.settimeout(10)
    return stranger


def push(stranger: socket.socket, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        stranger.sendall(data)


def hears_of_nobody(backend: Backend, before: str) -> bool:
    return "stranger" not in backend.log()[len(before) :]


@pytest.mark.parametrize("data", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_strangers_bytes_never_become_a_message(shared_backend: Backend, data: bytes) -> None:
    before = shared_backend.log()
    with connect(shared_backend) as stranger:
        push(stranger, data)
        assert shared_backend.is_healthy()
    assert hears_of_nobody(shared_backend, before)


@pytest.mark.parametrize("length", range(0, 64, 7))
def test_a_greeting_may_end_anywhere(shared_backend: Backend, length: int) -> None:
    before = shared_backend.log()
    with connect(shared_backend) as stranger:
        push(stranger, GREETING[:length])
    assert shared_backend.is_healthy()
    assert hears_of_nobody(shared_backend, before)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_message(shared_backend: Backend, seed: int) -> None:
    before = shared_backend.log()
    with connect(shared_backend) as stranger:
        push(stranger, bytes([seed * 50]) + os.urandom(1 << 16))
        assert shared_backend.is_healthy()
    assert hears_of_nobody(shared_backend, before)


def test_an_endless_multipart_message_is_never_heard(shared_backend: Backend) -> None:
    before = shared_backend.log()
    with connect(shared_backend) as stranger:
        push(stranger, HANDSHAKE)
        part = bytes([LONG | MORE]) + struct.pack(">Q", 1 << 20) + bytes(1 << 20)
        for _ in range(32):
            push(stranger, part)
        assert shared_backend.is_healthy()
    assert hears_of_nobody(shared_backend, before)


@pytest.mark.parametrize("shared_backend", [""], indirect=True, ids=["ipc"])
def test_who_says_half_a_greeting_is_hung_up_on(shared_backend: Backend) -> None:
    with connect(shared_backend) as stranger:
        push(stranger, GREETING[:20])
        with contextlib.suppress(ConnectionError):
            while stranger.recv(4096):
                pass
    assert shared_backend.is_healthy()


def test_a_flood_of_connections_shuts_nobody_out(shared_backend: Backend) -> None:
    with contextlib.ExitStack() as flood:
        for number in range(300):
            stranger = flood.enter_context(connect(shared_backend))
            if number % 2:
                push(stranger, HANDSHAKE)
        assert shared_backend.is_healthy()


def test_a_routing_id_of_ones_own_gives_nothing(shared_backend: Backend) -> None:
    with Raw(shared_backend, b"mine").greet() as first, Raw(shared_backend, b"mine") as second:
        second.socket.send(b"whatever")
        assert second.receive(0.3) is None
        job = first.begin()
        first.upload(job)
        assert len(first.download(job)) == 32 + 128


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits")
@pytest.mark.parametrize("shared_backend", ["tcp://127.0.0.1:*"], indirect=True, ids=["tcp"])
def test_a_broker_without_a_descriptor_left_goes_on(shared_backend: Backend) -> None:
    pid = shared_backend.process.pid
    assert shared_backend.is_healthy()
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, hard))
    with contextlib.ExitStack() as flood:
        for _ in range(100):
            flood.enter_context(connect(shared_backend))
        time.sleep(1.5)  # it looks at its file and its memory every second
    assert shared_backend.is_healthy()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert "failed" not in shared_backend.log()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_memory_that_a_flood_took_is_given_back(backend: Backend) -> None:
    def resident_bytes() -> int:
        pages = int(Path(f"/proc/{backend.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    before = resident_bytes()
    unfinished = HANDSHAKE + bytes([LONG]) + struct.pack(">Q", FRAME_BYTES_MAX) + bytes(4 << 20)
    with contextlib.ExitStack() as flood:
        for _ in range(24):
            push(flood.enter_context(connect(backend)), unfinished)
        wait_until(lambda: resident_bytes() > before + (80 << 20))
    wait_until(lambda: resident_bytes() < before + (24 << 20))
    assert backend.is_healthy()


def test_a_flooded_broker_makes_room_for_another(folder) -> None:
    with running(folder, memory_max_bytes=128 << 20) as backend:
        stranger = connect(backend)
        push(stranger, HANDSHAKE)
        part = bytes([LONG | MORE]) + struct.pack(">Q", 1 << 20) + bytes(1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(256):
                stranger.sendall(part)
        wait_until(lambda: backend.process.poll() is not None)
        stranger.close()
        assert backend.process.returncode == 70
    with running(folder) as backend:
        assert backend.is_healthy()

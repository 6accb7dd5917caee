"""S3 and F13 of the goals: floods of bytes and of connections, and handshakes without an end."""

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from broker_harness import running
from figures import Figure, zero
from ground import (
    HANDSHAKE,
    IPC,
    LONG,
    MIB,
    TCP,
    Peak,
    broker,
    connect,
    descriptors,
    drain,
    folder,
    is_served,
    mib,
    push,
    resident_bytes,
    zmtp_frame,
)

from smart_matte_link.envelope import FRAME_BYTES_MAX

STRANGERS = 64
CONNECTIONS = 1000
FEW_DESCRIPTORS = 80
HANDSHAKE_S = 3.0
SLACK_S = 1.0
AFTERWARDS_S = 5.0
SLOW_BYTE_S = 0.25
LOOKED_AFTER_S = 2.0
"""By then the broker has looked at its own files and its memory."""


class Flood(NamedTuple):
    """
    What each of the connections sends.

    Attributes:
        name: the same in words.
        head: first this.
        block: then this, again and again.
        byte_count: as long as it is taken, so many bytes of it.
    """

    name: str
    head: bytes
    block: bytes
    byte_count: int


ZEROS = bytes(256 * 1024)
FLOODS = (
    Flood("with 64 MiB behind 2^63", bytes([LONG]) + struct.pack(">Q", 1 << 63), ZEROS, 64 * MIB),
    Flood(
        "a byte short of a frame",
        bytes([LONG]) + struct.pack(">Q", FRAME_BYTES_MAX),
        ZEROS,
        FRAME_BYTES_MAX - 1,
    ),
    Flood("with 64 MiB in whole frames", b"", zmtp_frame(bytes(FRAME_BYTES_MAX)), 64 * MIB),
)


def stream(endpoint: str, flood: Flood, over: threading.Event) -> None:
    """Send all of it, and hold the connection."""
    with connect(endpoint) as stranger, contextlib.suppress(OSError):
        stranger.sendall(HANDSHAKE + flood.head)
        for start in range(0, flood.byte_count, len(flood.block)):
            stranger.sendall(memoryview(flood.block)[: flood.byte_count - start])
        over.wait()


def flooded(endpoint: str, flood: Flood) -> Iterator[Figure]:
    """A flood on one transport, and the broker's memory during and after it."""
    with broker(endpoint) as backend:
        served = backend.is_healthy()
        over = threading.Event()
        pid = backend.process.pid
        arguments = (backend.info.endpoint, flood, over)
        threads = [threading.Thread(target=stream, args=arguments) for _ in range(STRANGERS)]
        with Peak(pid) as peak:
            for thread in threads:
                thread.start()
            served &= backend.is_healthy()
            time.sleep(2.0)  # those whose bytes are all taken only hold on
            served &= backend.is_healthy()
        over.set()
        for thread in threads:
            thread.join()
        time.sleep(AFTERWARDS_S)
        left = resident_bytes(pid) - peak.first
        served &= backend.is_healthy()
    where = "tcp" if endpoint else "ipc"
    is_whole = not flood.head  # such frames are read, so that some wait to be
    yield Figure(
        f"S3 broker memory, {STRANGERS} connections {flood.name}, {where}",
        mib(peak.growth),
        "" if is_whole else "<= +300 MiB",
        is_whole or peak.growth <= 300 * MIB,
    )
    yield Figure(
        f"S3 the same, {AFTERWARDS_S:g} s after", mib(left), "<= +32 MiB", left <= 32 * MIB
    )
    yield is_served("S3", served)


def floods(_rng: Random) -> Iterator[Figure]:
    """S3."""
    for endpoint in (IPC, TCP):
        for flood in FLOODS:
            yield from flooded(endpoint, flood)
    yield from slow_handshakes()


def drip(endpoint: str, data: bytes, cut: list[float]) -> None:
    """Say one byte after the other; note after how long the other side has hung up."""
    started = time.monotonic()
    with connect(endpoint) as stranger:
        for byte in data:
            push(stranger, bytes([byte]))
            _, is_over = drain(stranger, time.monotonic() + SLOW_BYTE_S)
            if is_over:
                break
        else:
            drain(stranger, time.monotonic() + 2 * HANDSHAKE_S)
    cut.append(time.monotonic() - started)


def slow_handshakes() -> Iterator[Figure]:
    for endpoint in (IPC, TCP):
        with broker(endpoint) as backend:
            cut: list[float] = []
            slow = [
                threading.Thread(target=drip, args=(backend.info.endpoint, HANDSHAKE[:length], cut))
                for length in (0, 1, 5, 10, 11, 12, 20, 64)
            ]
            for thread in slow:
                thread.start()
            for thread in slow:
                thread.join()
            where = "tcp" if endpoint else "ipc"
            yield Figure(
                f"S3 slowest of {len(slow)} slow handshakes to be cut, {where}",
                f"{max(cut):.1f} s",
                f"{HANDSHAKE_S:g} s",
                max(cut) <= HANDSHAKE_S + SLACK_S,
            )
            yield is_served("S3", backend.is_healthy())


def crowd(endpoint: str, count: int) -> list[socket.socket]:
    """Connections that are held; half of them have got through the handshake."""
    strangers = []
    for number in range(count):
        with contextlib.suppress(OSError):
            strangers.append(connect(endpoint))
            if number % 2:
                push(strangers[-1], HANDSHAKE)
    return strangers


def crowds(_rng: Random) -> Iterator[Figure]:
    """F13."""
    for endpoint in (IPC, TCP):
        where = "tcp" if endpoint else "ipc"
        with broker(endpoint) as backend:
            backend.worker_pid()
            before = descriptors(backend.process.pid)
            strangers = crowd(backend.info.endpoint, CONNECTIONS)
            served = backend.is_healthy()
            for stranger in strangers:
                stranger.close()
            until = time.monotonic() + AFTERWARDS_S
            while descriptors(backend.process.pid) > before and time.monotonic() < until:
                time.sleep(0.05)
            left = max(0, descriptors(backend.process.pid) - before)
            served &= backend.is_healthy()
        yield Figure(
            f"F13 connections held at once over {where}",
            str(len(strangers)),
            str(CONNECTIONS),
            len(strangers) == CONNECTIONS,
        )
        yield zero("F13 descriptors that stayed after it", left)
        yield is_served("F13", served)
        yield from too_few_descriptors(endpoint, where)


def too_few_descriptors(endpoint: str, where: str) -> Iterator[Figure]:
    with folder() as path:
        with running(path, endpoint=endpoint) as backend:
            backend.worker_pid()
            limit = (FEW_DESCRIPTORS, FEW_DESCRIPTORS)
            resource.prlimit(backend.process.pid, resource.RLIMIT_NOFILE, limit)
            strangers = crowd(backend.info.endpoint, 2 * FEW_DESCRIPTORS)
            time.sleep(LOOKED_AFTER_S)
            code = backend.process.poll()
            for stranger in strangers:
                stranger.close()
            started = time.monotonic()
            if code is None:
                served, how = is_back_soon(backend), "goes on"
            else:
                how = f"ends with {code}"
                with running(path, endpoint=endpoint) as another:
                    served = another.is_healthy()
            seconds = time.monotonic() - started
        yield Figure(
            f"F13 with {FEW_DESCRIPTORS} descriptors and {2 * FEW_DESCRIPTORS} connections over"
            f" {where} the broker {how}; the good client is served after",
            f"{seconds:.1f} s",
            "<= 5 s",
            served and seconds <= AFTERWARDS_S,
        )


def is_back_soon(backend) -> bool:
    until = time.monotonic() + AFTERWARDS_S
    while time.monotonic() < until:
        with contextlib.suppress(Exception):
            return backend.is_healthy()
        time.sleep(0.1)
    return False


BLOCKS = {"S3": floods, "F13": crowds}

"""
How fast one hop is: the client's own ZMTP to the broker's own ROUTER, chunk after chunk (L4).

As a program it is the other end: ``large_hop.py ENDPOINT BYTES CHECKED`` prints where it listens,
takes so many bytes of chunks, checks their sums if CHECKED is 1, and says when it has them.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import zmq
from figures import Figure

from smart_matte.service.memory import keep_freed_memory
from smart_matte.service.sockets import Router
from smart_matte_link.envelope import FRAME_BYTES_MAX, HEADER_BYTES, chunk_header, decode
from smart_matte_link.messages import CHUNK_BYTES_MAX
from smart_matte_link.zmtp import Dealer

CHUNKS = 200
TRIES = 5
PATIENCE_S = 60.0
GOALS = {"ipc": 1000, "tcp": 500}
JOB = bytes(15) + b"\1"


def take(endpoint: str, byte_count: int, *, is_checked: bool) -> None:
    keep_freed_memory()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = Router(context)
    router.bind(endpoint)
    sys.stdout.write(f"{router.endpoint}\n")
    sys.stdout.flush()
    while byte_count:
        router.socket.poll()
        for incoming in router.read(4):
            byte_count -= len(incoming.frame) - HEADER_BYTES
            if is_checked:
                decode(incoming.frame.buffer, protocol=1)
    router.write(incoming.identity, b"thanks")
    router.close()
    context.term()


def measure(endpoint: str, *, is_checked: bool) -> float:
    """MB/s of 800 MB, from the first byte to the word that all have come."""
    chunk = memoryview(bytes(range(256)) * (CHUNK_BYTES_MAX // 256))
    header, byte_count = chunk_header(chunk, 0, JOB), CHUNKS * CHUNK_BYTES_MAX
    command = [sys.executable, __file__, endpoint, str(byte_count), str(int(is_checked))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:  # noqa: S603  (ours)
        there = other.stdout.readline().strip()
        dealer = Dealer(there, FRAME_BYTES_MAX, time.monotonic() + PATIENCE_S)
        started = time.monotonic()
        for _ in range(CHUNKS):
            if is_checked:
                header = chunk_header(chunk, 0, JOB)
            dealer.send([header, chunk], time.monotonic() + PATIENCE_S)
        length = dealer.next_frame(time.monotonic() + PATIENCE_S)
        dealer.read_into(memoryview(bytearray(length)), time.monotonic() + PATIENCE_S)
        seconds = time.monotonic() - started
        dealer.close()
    return byte_count / 1e6 / seconds


def judge() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        endpoints = {"ipc": f"ipc://{folder}/s", "tcp": "tcp://127.0.0.1:*"}
        for scheme, endpoint in endpoints.items():
            goal = GOALS[scheme]
            for is_checked in (False, True):
                rates = [measure(endpoint, is_checked=is_checked) for _ in range(TRIES)]
                rate = statistics.median(rates)
                yield Figure(
                    f"one hop over {scheme}, {'with' if is_checked else 'without'} checksums,"
                    f" median of {TRIES}",
                    f"{rate:.0f} MB/s ({min(rates):.0f} to {max(rates):.0f})",
                    "" if is_checked else f">= {goal}",
                    is_checked or rate >= goal,
                )


if __name__ == "__main__":
    take(sys.argv[1], int(sys.argv[2]), is_checked=sys.argv[3] == "1")

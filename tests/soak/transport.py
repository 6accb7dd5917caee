"""
How long 24 megapixels are under way, held against copying the same bytes in memory.

There: RGBA and a selection of 8 bit. Back: an alpha and an RGBA foreground of 8 bit. The way is the
real client, the real broker and the real worker, which computes nothing, over local sockets. The
bound is one copy of the bytes that go there and one of the bytes that come back, by one thread,
into memory that is already mapped.

    python tests/soak/transport.py --repetitions 9
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

from figures import report, table
from soak_backend import Backend, running

from smart_matte_link.client import Client
from smart_matte_link.messages import CHUNK_BYTES_MAX, Output, Plane

WIDTH, HEIGHT = 6000, 4000
IMAGE = Plane("image", WIDTH, HEIGHT, "RGBA", "u8", "srgb")
SELECTION = Plane("selection", WIDTH, HEIGHT, "GRAY", "u8", "coverage")
OUTPUTS = (Output("alpha", "GRAY", "u8"), Output("foreground", "RGBA", "u8"))
WAY_BYTES = IMAGE.byte_count + SELECTION.byte_count
GOAL = 4.0

HOP_CODE = """
import socket, sys
taken, given = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
buffer = memoryview(bytearray(int(sys.argv[3])))
while count := taken.recv_into(buffer):
    given.sendall(buffer[:count])
"""


def timed(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def processor_seconds(pids: Iterable[int]) -> float:
    """What these processes have used of the processors so far."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


class Transport:
    """
    Both pictures, and every way to move them.

    Attributes:
        processor_s: what the real way took of all processors, once; the system counts in 10 ms.
    """

    def __init__(self, client: Client, backend: Backend) -> None:
        self.client = client
        self.pids = (os.getpid(), backend.process.pid, *backend.children())
        self.processor_s = 0.0
        image = bytearray(os.urandom(1 << 20) * (IMAGE.byte_count // (1 << 20) + 1))
        image[3::4] = b"\xff" * len(image[3::4])  # a foreground's own opacity is full
        self.image = bytes(image[: IMAGE.byte_count])
        self.selection = os.urandom(SELECTION.byte_count)
        self.there = bytearray(self.image + self.selection)
        self.back = bytearray(WAY_BYTES)

    def copy(self) -> None:
        """The bound: memory to memory there, and back."""
        memoryview(self.back)[:] = self.there
        memoryview(self.there)[:] = self.back

    def copy_to_fresh(self) -> None:
        """The same into memory that was just asked for, as a receiver's is."""
        for _ in range(2):
            fresh = bytearray(WAY_BYTES)
            memoryview(fresh)[:] = self.there

    def check(self) -> None:
        """The checksums that the protocol asks for: made and held, there and back."""
        for _ in range(4):
            crc32(self.there)

    def send(self) -> None:
        """The real way."""
        planes = [(IMAGE, self.image), (SELECTION, self.selection)]
        before = processor_seconds(self.pids)
        answer = self.client.cutout(planes, OUTPUTS)
        self.processor_s = processor_seconds(self.pids) - before
        self.answer = answer.planes["foreground"].pixels, answer.planes["alpha"].pixels

    def run(self) -> tuple[float, ...]:
        """Seconds of each way, and of the processors for the last."""
        times = tuple(map(timed, (self.copy, self.copy_to_fresh, self.check, self.send)))
        if self.answer != (self.image, self.selection):
            sys.exit("the pixels came back changed")
        return (*times, self.processor_s)


def relay_both_ways(pixels: bytearray) -> float:
    """Seconds for the bytes through a process that only passes them on; there, then back."""
    return sum(relay(pixels) for _ in range(2))


def relay(pixels: bytearray) -> float:
    source, taken = socket.socketpair()
    given, sink = socket.socketpair()
    numbers = [str(end.fileno()) for end in (taken, given)]
    hop = subprocess.Popen(  # noqa: S603  (our own code)
        [sys.executable, "-c", HOP_CODE, *numbers, str(CHUNK_BYTES_MAX)],
        pass_fds=(taken.fileno(), given.fileno()),
    )
    taken.close()
    given.close()
    buffer = memoryview(bytearray(len(pixels)))

    def receive() -> None:
        count = 0
        while count < len(buffer):
            count += sink.recv_into(buffer[count:])

    source.sendall(b"\0")
    sink.recv(1)  # it runs
    receiver = threading.Thread(target=receive)
    started = time.perf_counter()
    receiver.start()
    source.sendall(pixels)
    receiver.join()
    seconds = time.perf_counter() - started
    source.close()
    hop.wait()
    sink.close()
    return seconds


def describe(rows: list[tuple[float, ...]], by_socket: list[float]) -> str:
    copies, fresh, checks, ways, _ = map(statistics.median, zip(*rows, strict=True))
    processors = statistics.mean(row[-1] for row in rows)
    sockets = statistics.median(by_socket)
    ratio = statistics.median(way / copy for copy, _, _, way, _ in rows)

    def line(what: str, seconds: float) -> tuple[object, ...]:
        rate = 2 * WAY_BYTES / 1e6 / seconds
        return what, f"{seconds * 1000:.0f}", f"{rate:.0f}", f"{seconds / copies:.1f}"

    text = table(
        (f"{2 * WAY_BYTES / 1e6:.0f} MB: half there, half back", "ms", "MB/s", "of the bound"),
        [
            line("one copy each way into mapped memory (the bound)", copies),
            line("one copy each way into fresh memory", fresh),
            line("CRC-32 made and checked each way, one after the other", checks),
            line("two bare sockets and a process between them, each way", sockets),
            line("client, broker, worker and back", ways),
            line("processor time of these three, mean", processors),
        ],
    )
    met = "met" if ratio <= GOAL else "**not met**"
    ways_ms = [round(way * 1000) for *_, way, _ in rows]
    summary = (
        f"Medians of {len(rows)} repetitions (the whole way {min(ways_ms)} to"
        f" {max(ways_ms)} ms). Median of the ratios {ratio:.1f}, goal {GOAL:g}: {met}."
    )
    return f"{text}\n\n{summary}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--write", type=Path, help="document that gets the figures")
    arguments = parser.parse_args()
    with (
        running("echo_worker.py") as backend,
        Client("transport", "0", start=False, folder=backend.runtime) as client,
    ):
        while [worker.state for worker in client.status().workers] != ["idle"]:
            time.sleep(0.05)
        transport = Transport(client, backend)
        transport.run()
        rows = [transport.run() for _ in range(arguments.repetitions)]
        by_socket = [relay_both_ways(transport.there) for _ in range(arguments.repetitions)]
    return report("transport", arguments.write, [], describe(rows, by_socket))


if __name__ == "__main__":
    sys.exit(main())

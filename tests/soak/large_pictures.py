"""100 megapixels there and back: whole, and in how much memory of broker and worker (L3)."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from figures import Figure
from soak_backend import Backend

from smart_matte_link.client import Client
from smart_matte_link.messages import CHUNK_BYTES_MAX, Output, Plane

SIDE = 10_000
SAMPLES = {"u8": 1, "u16": 2, "f32": 4}
MIB = 1024 * 1024
BROKER_MIB = 64
WORKER_SHARE, WORKER_MIB = 1.25, 512
BACK_MIB, BACK_S = 128, 10.0
FULL = {"u8": b"\xff", "u16": b"\xff\xff", "f32": b"\0\0\x80\x3f"}
"""Full opacity, which a foreground always has."""


class Trip(NamedTuple):
    """
    A picture that went there and back.

    Attributes:
        sample: its sample type.
        is_whole: whether the same bytes came back.
        broker_mib: by how much the broker's memory grew, at most.
        worker_mib: the same of the worker.
        back_s: until both were back near what they had before; None if they weren't in time.
        upload_s: from the first of its bytes to the last.
        seconds: from begin to end.
    """

    sample: str
    is_whole: bool
    broker_mib: float
    worker_mib: float
    back_s: float | None
    upload_s: float
    seconds: float


class Picture:
    """
    Pixels made as they are taken, so that they need no memory; each 4 MiB are different.

    Attributes:
        plane: what they are.
        digest: of what was taken so far.
        upload_s: from the first bytes taken to the last.
    """

    def __init__(self, sample: str) -> None:
        self.plane = Plane("image", SIDE, SIDE, "RGBA", sample, "srgb")
        self.digest = hashlib.sha256()
        self.upload_s = 0.0
        size = SAMPLES[sample]
        block = bytearray(Random(0).randbytes(CHUNK_BYTES_MAX))  # noqa: S311  (pixels)
        for place, value in enumerate(FULL[sample]):
            block[3 * size + place :: 4 * size] = bytes([value]) * (len(block) // (4 * size))
        self._block = block

    def chunks(self) -> Iterator[bytes]:
        left, number, started = self.plane.byte_count, 0, time.monotonic()
        while left:
            self._block[:2] = number.to_bytes(2, "big")
            chunk = bytes(self._block[:left])
            self.digest.update(chunk)
            left -= len(chunk)
            number += 1
            yield chunk
        self.upload_s = time.monotonic() - started


class Memory:
    """Resident memory of one process, against what it had when this was made; MiB."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._before = self._read("VmRSS:")

    @property
    def growth(self) -> float:
        return self._read("VmRSS:") - self._before

    @property
    def most_growth(self) -> float:
        """At its highest since ``forget_most``."""
        return self._read("VmHWM:") - self._before

    def forget_most(self) -> None:
        self._folder.joinpath("clear_refs").write_text("5")  # proc(5)

    def _read(self, name: str) -> float:
        lines = self._folder.joinpath("status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def travel(client: Client, sample: str, memories: tuple[Memory, Memory]) -> Trip:
    """Send a picture there and back; *memories* are those of broker and worker."""
    picture = Picture(sample)
    for memory in memories:
        memory.forget_most()
    planes = [(picture.plane, picture.chunks())]
    started = time.monotonic()
    answer = client.cutout(planes, [Output("foreground", "RGBA", sample)])
    ended = time.monotonic()
    back_s = None
    while time.monotonic() - ended < BACK_S and back_s is None:
        if all(memory.growth < BACK_MIB for memory in memories):
            back_s = time.monotonic() - ended
        time.sleep(0.01)
    most = [memory.most_growth for memory in memories]
    came = hashlib.sha256(answer.planes["foreground"].pixels).digest()
    is_whole = came == picture.digest.digest()
    return Trip(sample, is_whole, *most, back_s, picture.upload_s, ended - started)


def send_all(backend: Backend, counts: dict[str, int]) -> list[Trip]:
    """So many pictures of each sample type, one after the other."""
    with backend.client("large") as client:
        while [worker.state for worker in client.status().workers] != ["idle"]:
            time.sleep(0.05)
        memories = Memory(backend.process.pid), Memory(backend.children()[0])
        return [
            travel(client, sample, memories)
            for sample, count in counts.items()
            for _ in range(count)
        ]


def judge(trips: list[Trip]) -> Iterator[Figure]:
    for sample, size in SAMPLES.items():
        these = [trip for trip in trips if trip.sample == sample]
        if not these:
            continue
        payload_mib = SIDE * SIDE * 4 * size / MIB
        name = f"100 MP RGBA {sample} ({payload_mib:.0f} MiB)"
        whole = sum(trip.is_whole for trip in these)
        yield Figure(
            f"{name}: came back bit-exact", f"{whole} of {len(these)}", "all", whole == len(these)
        )
        broker = max(trip.broker_mib for trip in these)
        yield Figure(
            f"{name}: broker, extra memory at most",
            f"{broker:.1f} MiB",
            f"<= {BROKER_MIB}",
            broker <= BROKER_MIB,
        )
        most = max(trip.worker_mib for trip in these)
        limit = WORKER_SHARE * payload_mib + WORKER_MIB
        yield Figure(
            f"{name}: worker, extra memory at most",
            f"{most:.0f} MiB",
            f"<= {limit:.0f}",
            most <= limit,
        )
        backs = [BACK_S if trip.back_s is None else trip.back_s for trip in these]
        yield Figure(
            f"{name}: both back within {BACK_MIB} MiB of before, slowest",
            f"{max(backs):.1f} s",
            f"< {BACK_S:g}",
            max(backs) < BACK_S,
        )
        rates = sorted(payload_mib * MIB / 1e6 / trip.upload_s for trip in these)
        seconds = sorted(trip.seconds for trip in these)
        yield Figure(
            f"{name}: upload through the broker, hashed on the way, median",
            f"{rates[len(rates) // 2]:.0f} MB/s; there and back {seconds[len(seconds) // 2]:.1f} s",
            "",
            is_met=True,
        )

"""V1 and V2 of the goals: each pair of versions, and two processes that write one log."""

import itertools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

from broker_harness import running
from figures import Figure, zero
from ground import MIB, folder
from versions import RANGES, client_of, command_of, meet

from smart_matte.service.log import FILE_BYTES_MAX, FILES_MAX

ANSWER_S = 1.0
LINES = 80_000
"""Of each of two writers; together they just about fill four files."""

WRITE = """
import logging, sys
from pathlib import Path
from smart_matte.service.log import open_log

open_log(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    logging.getLogger("x").info("%s says %d; %s", sys.argv[2], number, "." * 40)
"""


def versions(_rng: Random) -> Iterator[Figure]:
    """V1."""
    done, told, late, slowest = 0, 0, 0, 0.0
    pairs = list(itertools.product(RANGES, RANGES))
    for link, backend in pairs:
        with folder() as path, running(path, command=command_of(RANGES[backend], path)):
            meeting = meet(path, RANGES[link])
        done += meeting.outcome == "done"
        told += meeting.outcome != "done" and bool(meeting.hint)
        late += meeting.seconds > ANSWER_S
        slowest = max(slowest, meeting.seconds)
    kinds = f"{done} work, {told} say what to update; others"
    yield zero(f"V1 of {len(pairs)} pairs of link and backend {kinds}", len(pairs) - done - told)
    yield Figure(
        "V1 slowest of them to agree, or to say so",
        f"{slowest:.2f} s",
        f"<= {ANSWER_S:g} s",
        not late,
    )
    with folder() as path, running(path, command=command_of(RANGES["older"], path)) as old:
        meeting = meet(path, RANGES["newer"], start=RANGES["newer"])
        is_done = meeting.outcome == "done" and old.process.poll() == 0
        with client_of(path, RANGES["newer"]) as client:
            client.shutdown()
    yield Figure(
        "V1 a newer link replaces an older backend, in",
        f"{meeting.seconds:.1f} s",
        "and its picture is cut out",
        is_done,
    )


def logs(_rng: Random) -> Iterator[Figure]:
    """V2."""
    with folder() as path:
        writers = [
            subprocess.Popen(  # noqa: S603  (our own lines)
                [sys.executable, "-c", WRITE, str(path / "broker.log"), name, str(LINES)]
            )
            for name in ("one", "two")
        ]
        failed = sum(writer.wait() for writer in writers)
        files = [file for file in path.glob("broker.log*") if file.suffix != ".lock"]
        said: Counter[tuple[str, str]] = Counter()
        for file in files:
            said.update(re.findall(r"(\w+) says (\d+);", file.read_text()))
        sizes = [file.stat().st_size for file in files]
    yield zero(
        f"V2 lines lost, of {2 * LINES} of two writers ({sum(sizes) / MIB:.1f} MiB)",
        2 * LINES - len(said),
    )
    yield zero("V2 lines twice, or writers that failed", sum(said.values()) - len(said) + failed)
    yield Figure("V2 files", str(len(files)), f"2 to {FILES_MAX}", 2 <= len(files) <= FILES_MAX)
    largest = max(sizes)
    yield Figure(
        "V2 largest of them",
        f"{largest / MIB:.1f} MiB",
        "<= 5.0 MiB",
        largest <= FILE_BYTES_MAX + MIB // 64,
    )


BLOCKS = {"V1": versions, "V2": logs}

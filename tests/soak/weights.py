"""
Weights that are damaged, cut off, swapped or malicious: none of them is ever loaded.

Exits 1 when a goal isn't met.

    python tests/soak/weights.py --write docs/reliability.md
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from figures import Figure, report, zero

sys.path.insert(0, str(Path(__file__).parents[1] / "weights"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from bad_weights import flipped, truncated, write_malicious
from misbehaving_server import Server
from published import PTH, STATE_DICT, describe
from test_weights_faults import check_tiny, kill_and_resume

from smart_matte import weights
from smart_matte.errors import WeightsError
from smart_matte.weights import install, store

MALICIOUS_S = 1.0
MALICIOUS_BYTES = 64 << 20


def memory_bytes(name: str) -> int:
    """A figure of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def is_refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except WeightsError:
        return True
    return False


def damage(folder: Path, points: int, flips: int) -> list[Figure]:
    """Installed weights that change on the disk, before the look at them or right after it."""
    given = folder / "tiny.pth"
    given.write_bytes(PTH)
    weights.import_files([given], "tiny")
    installed = store.path_of("tiny")
    good = installed.read_bytes()
    taken, tried = 0, 0
    for content in (*truncated(good, points), *flipped(good, flips)):
        tried += 1
        installed.write_bytes(content)
        taken += not is_refused(lambda: weights.load_state_dict("tiny"))
    installed.write_bytes(good)
    swapped = 0
    look = store.look
    for content in flipped(good, points, seed=1):

        def look_and_swap(name: str, content: bytes = content) -> store.State:
            state = look(name)
            installed.write_bytes(content)
            return state

        with mock.patch.object(store, "look", look_and_swap):
            swapped += not is_refused(lambda: weights.load_state_dict("tiny"))
        installed.write_bytes(good)
    is_good = weights.load_state_dict("tiny").keys() == STATE_DICT.keys()
    installed.unlink()
    return [
        zero(f"F10 of {tried} cut short ({points}) or with one bit wrong ({flips}): loaded", taken),
        zero(f"F10 of {points} swapped after the look at them: loaded", swapped),
        Figure("F10 the undamaged ones", "loaded" if is_good else "refused", "loaded", is_good),
    ]


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


def kills(folder: Path, points: int) -> list[Figure]:
    """A download that is killed at points evenly spread, and goes on each time."""
    folder.mkdir()
    with serving() as server:
        try:
            kill_and_resume(server, folder, points)
        except AssertionError as error:
            return [Figure(f"F10 resumed after {points} kills", str(error), "bit-exact", False)]
    return [Figure(f"F10 resumed after {points} kills", "bit-exact", "bit-exact", True)]


def malice(folder: Path) -> list[Figure]:
    """Files made to harm whoever opens them."""
    folder.mkdir()
    canary = folder.parent / "canary"
    accepted, slowest = [], (0.0, "")
    paths = write_malicious(folder, canary)
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
    before = memory_bytes("VmRSS")
    for path in paths:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            if not is_refused(lambda at=path: weights.import_files([at], "tiny", check=check_tiny)):
                accepted.append(path.name)
            times.append(time.perf_counter() - began)
        slowest = max(slowest, (statistics.median(times), path.name))
    grown = memory_bytes("VmHWM") - before
    return [
        Figure("S8 malicious files", str(len(paths)), ">= 40", len(paths) >= 40),
        Figure("S8 accepted", ", ".join(accepted) or "0", "0", not accepted),
        zero("S8 code that ran", int(canary.exists())),
        Figure(
            f"S8 slowest refusal, median of 3 ({slowest[1]})",
            f"{slowest[0]:.2f} s",
            f"<= {MALICIOUS_S:g} s",
            slowest[0] <= MALICIOUS_S,
        ),
        Figure(
            "S8 most memory beyond what was used before",
            f"{grown / (1 << 20):.0f} MiB",
            f"<= {MALICIOUS_BYTES >> 20} MiB",
            grown <= MALICIOUS_BYTES,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weights-") as name:
        folder = Path(name)
        os.environ |= {store.FOLDER_VARIABLE: str(folder / "store"), "no_proxy": "127.0.0.1"}
        entry = describe(PTH)
        with (
            mock.patch.object(store, "find_entry", return_value=entry),
            mock.patch.object(install, "find_entry", return_value=entry),
        ):
            figures = [
                *malice(folder / "malicious"),
                *damage(folder, chosen.points, chosen.flips),
                *kills(folder / "killed", chosen.kills),
            ]
    took = f"{time.monotonic() - began:.0f} s in all."
    return report("weights", chosen.write, figures, took)


if __name__ == "__main__":
    sys.exit(main())

"""
100 megapixels, how fast one hop is, and how soon the broker answers meanwhile.

The real broker, the real client and the real worker, which computes nothing. Exits 1 when a goal
isn't held.

    python tests/soak/large.py --repeat 20
"""

import argparse
import sys
import time
from pathlib import Path

import large_answers
import large_hop
import large_pictures
from figures import Figure, report
from soak_backend import running


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeat", type=int, default=20, help="so many pictures of 8 bit")
    parser.add_argument("--write", type=Path, help="document that gets the figures")
    arguments = parser.parse_args()
    started = time.monotonic()
    figures: list[Figure] = []
    with running("echo_worker.py") as backend:
        counts = {"u8": arguments.repeat, "u16": 1, "f32": 1}
        figures += large_pictures.judge(large_pictures.send_all(backend, counts))
        figures += large_answers.judge(backend)
    figures += large_hop.judge()
    took = f"{time.monotonic() - started:.0f} s in all."
    return report("large", arguments.write, figures, took)


if __name__ == "__main__":
    sys.exit(main())

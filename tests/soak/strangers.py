"""
Everybody who isn't a good client: other users, browsers, floods, wrong keys, bad inputs, noise.

Each block starts real brokers with a fake worker, does its worst, and sees whether a good client
is still served, and right. Exits 1 when a goal isn't held.

    python tests/soak/strangers.py --only S3 S4
"""

import argparse
import sys
import time
from pathlib import Path
from random import Random

import ground  # noqa: F401  (finds the harness of tests/service, for all that follow)

# isort: split
import bad_inputs
import fuzzing
import leaks
import strangers_floods
import strangers_impostors
import strangers_jobs
import strangers_keys
import strangers_reach
import strangers_versions
from figures import Figure, report

BLOCKS = {
    **strangers_reach.BLOCKS,
    **strangers_floods.BLOCKS,
    **strangers_keys.BLOCKS,
    **strangers_impostors.BLOCKS,
    **strangers_jobs.BLOCKS,
    **bad_inputs.BLOCKS,
    **fuzzing.BLOCKS,
    **leaks.BLOCKS,
    **strangers_versions.BLOCKS,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--only", nargs="+", choices=BLOCKS, default=list(BLOCKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="document that gets the figures")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    seconds = {}
    for name in arguments.only:
        started = time.monotonic()
        rng = Random(f"{arguments.seed}/{name}")  # noqa: S311  (to be repeated, not secret)
        for figure in BLOCKS[name](rng):
            figures.append(figure)
            if not figure.is_met:
                sys.stderr.write(f"not met: {figure}\n")
        seconds[name] = time.monotonic() - started
    took = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    said = f"Seed {arguments.seed}; {sum(seconds.values()):.0f} s in all ({took})."
    return report("strangers", arguments.write, figures, said)


if __name__ == "__main__":
    sys.exit(main())

"""
Faults of processes, many times: killed, stopped, hung, crashing, draining, idle, cancelled.

Every fault meets the real broker and the real client; the worker is a fake, but for the cancels.
The moments are drawn from a seed over all stages of a request. Exits 1 when a goal isn't met.

    python tests/soak/faults.py --scale 0.1 F1 C1
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fault_editors import orphans, vanishing_editors
from fault_lives import drains, idle_races, starts_at_once
from fault_strikes import answered_twice, broker_kills, stops, worker_kills
from fault_workers import cancels, crash_loop, hangs
from figures import Figure, report

Experiment = Callable[[int, int], list[Figure]]


class Fault(NamedTuple):
    """Which goal, how often it is tried, and how."""

    goal: str
    tries: int
    experiment: Experiment


TURNS: tuple[tuple[Fault, ...], ...] = (
    (Fault("F1", 200, worker_kills),),
    (Fault("F2", 100, broker_kills),),
    (
        Fault("F3", 100, stops),
        Fault("F4", 10, hangs),
        Fault("F14", 1, crash_loop),
        Fault("F16", 5, orphans),
    ),
    (Fault("F5", 100, vanishing_editors),),
    (Fault("F6", 40, starts_at_once),),
    (Fault("F12", 20, drains),),
    (Fault("F15", 240, idle_races),),
    (Fault("C1", 1000, cancels),),
)
"""One after the other; those of one turn, which mostly wait, at once."""


def run_turn(turn: list[Fault], scale: float, seed: int) -> list[Figure]:
    figures: dict[str, list[Figure]] = {}
    errors: list[BaseException] = []

    def run(fault: Fault) -> None:
        try:
            figures[fault.goal] = fault.experiment(max(2, round(fault.tries * scale)), seed)
        except BaseException as error:  # noqa: BLE001  (told when the others have ended)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(fault,)) for fault in turn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [figure for fault in turn for figure in figures[fault.goal]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("goals", nargs="*", help="F1, C1, …; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tries")
    parser.add_argument("--write", type=Path, help="document that gets the figures")
    arguments = parser.parse_args()
    began, figures = time.monotonic(), []
    for faults in TURNS:
        turn = [fault for fault in faults if fault.goal in (arguments.goals or [fault.goal])]
        turn_began = time.monotonic()
        figures += run_turn(turn, arguments.scale, arguments.seed)
        if turn:
            goals = ", ".join(fault.goal for fault in turn)
            sys.stderr.write(f"{goals}: {time.monotonic() - turn_began:.0f} s\n")
    figures.append(answered_twice())
    took = f"Seed {arguments.seed}, {time.monotonic() - began:.0f} s in all."
    return report("faults", arguments.write, figures, took)


if __name__ == "__main__":
    sys.exit(main())

"""Editors that are killed, alone or with broker and worker, and what they leave: F5, F16."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

from fault_harness import Place, in_lanes, place, seconds_until
from fault_requests import WatchedClient, request
from fault_strikes import slowest
from figures import Figure, zero

EDITOR = Path(__file__).with_name("fault_editor.py")
FREED_S = 10.0
STAGES = ("upload", "download")
IDLE_S, GONE_S = 1.0, 15.0
VICTIMS = ("editor", "broker", "worker")
ORDERS = [*itertools.permutations(VICTIMS, 1), *itertools.permutations(VICTIMS, 2)]
ZOMBIE_S = 2.0


def start_editor(here: Place, stage: str, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  (our own script)
        [sys.executable, EDITOR, here.folder, json.dumps(here.start_command), stage, str(seed)],
        env={**os.environ, "SMART_MATTE_RUNTIME": str(here.folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


class Held(NamedTuple):
    """What the broker has while nobody wants anything."""

    clients: int
    jobs: int
    descriptors: int
    files: frozenset[str]
    worker: int


def _held(here: Place, client: WatchedClient) -> Held:
    status = client.status()
    return Held(
        status.clients,
        status.jobs_waiting + status.jobs_running,
        sum(1 for _ in Path(f"/proc/{status.pid}/fd").iterdir()),
        frozenset(str(path) for path in here.folder.rglob("*")),
        here.worker(),
    )


class Vanished(NamedTuple):
    """An editor that vanished: killed or too quick, how long it was missed, was all well then."""

    was_killed: bool
    freed_s: float
    is_next_good: bool


def vanishing_editors(tries: int, seed: int) -> list[Figure]:
    """F5."""

    def lane(rng: Random, count: int) -> list[Vanished]:
        with place() as here, here.client() as client:
            here.wait_for_worker(client)
            request(client, rng)
            before = _held(here, client)
            found = []
            for _ in range(count):
                editor = start_editor(here, rng.choice(STAGES), rng.randrange(1 << 30))
                editor.communicate()
                freed_s = seconds_until(lambda: _held(here, client) == before, 2 * FREED_S)
                next_ = request(client, rng)
                found.append(Vanished(editor.returncode < 0, freed_s, next_.is_good))
        return found

    found = in_lanes(tries, 2, f"F5/{seed}", lane)
    killed = [one for one in found if one.was_killed]
    name = f"F5 {len(killed)} SIGKILLs of an editor in upload or download"
    return [
        slowest(f"{name}: until all it held was free", [one.freed_s for one in killed], FREED_S),
        zero(f"{name}: failures of the next request", sum(not one.is_next_good for one in found)),
    ]


class Leavings(NamedTuple):
    """What was left after some were killed."""

    gone_s: float
    zombies: int
    files: int


def orphans(rounds: int, seed: int) -> list[Figure]:
    """F16: one or two of three killed, in every order."""
    todo = ORDERS * rounds

    def lane(rng: Random, count: int) -> list[Leavings]:
        return [_kill_in_order(todo.pop(), rng) for _ in range(count)]

    found = in_lanes(len(todo), 5, f"F16/{seed}", lane)
    name = f"F16 {len(found)} kills of one or two of three"
    left = sum(one.gone_s >= GONE_S for one in found)
    return [
        zero(f"{name}: with a process left after the idle time", left),
        zero(f"{name}: zombies of more than {ZOMBIE_S:g} s", sum(one.zombies for one in found)),
        zero(f"{name}: files left by brokers that weren't killed", sum(o.files for o in found)),
        slowest(f"{name}: until all were gone, {IDLE_S:g} s of idle time included",
                [one.gone_s for one in found], None),
    ]  # fmt: skip


def _kill_in_order(victims: tuple[str, ...], rng: Random) -> Leavings:
    with place(broker_exit_s=IDLE_S) as here:
        editor = start_editor(here, "", rng.randrange(1 << 30))
        find = {
            "editor": lambda: editor.pid,
            "broker": here.broker,
            "worker": here.worker,
        }
        while editor.stdout.readline().strip() != "matting":
            pass
        for victim in victims:
            time.sleep(rng.uniform(0, 0.3))
            pid = find[victim]()
            if pid:
                os.kill(pid, signal.SIGKILL)
        zombies = Zombies()

        def is_over() -> bool:
            editor.poll()
            alive = tagged(str(here.folder))
            zombies.look(alive)
            return not alive

        gone_s = seconds_until(is_over, GONE_S)
        for pid in tagged(str(here.folder)):
            command = _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")
            state = _read(pid, "stat").rpartition(b")")[2].split()[:2]
            sys.stderr.write(f"left after {victims}: {pid}, state and parent {state}: {command}\n")
        editor.communicate()
        left = {path.name for path in here.folder.iterdir()} - {"backend.lock", "start.lock"}
        was_last_killed = "broker" in victims and here.info is not None
        return Leavings(gone_s, len(zombies.old), 0 if was_last_killed else len(left))


def tagged(folder: str) -> set[int]:
    """All processes that were started with this runtime folder and haven't ended."""
    tag = f"SMART_MATTE_RUNTIME={folder}\0".encode()
    return {pid for pid in _processes() if tag in _read(pid, "environ")}


class Zombies:
    """Children of the living that have ended and that nobody collects."""

    def __init__(self) -> None:
        self.old: set[int] = set()
        self._seen: dict[int, float] = {}

    def look(self, parents: set[int]) -> None:
        now = time.monotonic()
        for pid in _processes():
            state, parent, *_ = *_read(pid, "stat").rpartition(b")")[2].split(), b"", b"0"
            is_unburied = state == b"Z" and int(parent) in parents
            if is_unburied and now - self._seen.setdefault(pid, now) > ZOMBIE_S:
                self.old.add(pid)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

"""
S7 and S11 of the goals: memory that was never written, files that are, and who is called.

What a process opens and whom it calls is seen by strace; where that isn't installed this is said,
and not looked at.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from random import Random

from broker_harness import OUTPUTS, cutout, is_right
from figures import Figure, zero
from ground import broker, folder, is_served
from test_leak_canary import (
    CLOSED_FORM,
    FAKE,
    IMAGE,
    REAL,
    SELECTED,
    SELECTION,
    Raw,
    Service,
    ask,
    service,
)

from smart_matte_link.client import Client
from smart_matte_link.job import Answer
from smart_matte_link.messages import Begin, Cancel, MessageType, new_job_id

PERTURB = 165
REPLIES = 1000
REAL_REPLIES = 25
RUN = 16
"""So many equal bytes in a row count as memory that was never written."""

FRESH, FREED = bytes([PERTURB ^ 0xFF]) * RUN, bytes([PERTURB]) * RUN
"""What glibc fills blocks with: at malloc the complement, at free the byte itself."""

CALLS = "open,openat,openat2,creat,memfd_create,connect,bind,listen"
OPENED = re.compile(
    r'(?:open|openat|openat2|creat)\((?:[^,"]*, )?"([^"]*)", ([^)]*)\)? *=? *(-?\d*)'
)
WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE")
ADDRESSED = re.compile(r"(connect|bind)\(\d+, \{sa_family=(\w+)")


@contextlib.contextmanager
def perturbed_memory() -> Iterator[None]:
    """Processes that are started in here fill what they ask for and what they free."""
    names = {"MALLOC_PERTURB_": str(PERTURB), "PYTHONMALLOC": "malloc"}
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def cut_out_canary(client: Client, backend: Service, options: dict) -> Answer:
    planes = [(IMAGE, backend.canary.pixels), (SELECTION, SELECTED)]
    return client.cutout(planes, OUTPUTS, options)


def is_unwritten(pixels: memoryview) -> bool:
    data = bytes(pixels)
    return FRESH in data or FREED in data


def unwritten_memory() -> Iterator[Figure]:
    with perturbed_memory():
        with broker() as backend, backend.client() as client:
            answers = [cutout(client) for _ in range(REPLIES)]
            planes = [plane.pixels for answer in answers for plane in answer.planes.values()]
            found = sum(map(is_unwritten, planes))
            wrong = sum(not is_right(answer) for answer in answers)
        with folder() as path, service(path, REAL) as backend, backend.client() as client:
            for _ in range(REAL_REPLIES):
                answer = cut_out_canary(client, backend, CLOSED_FORM)
                found += any(is_unwritten(plane.pixels) for plane in answer.planes.values())
    count = REPLIES + REAL_REPLIES
    yield zero(
        f"S7 of {count} replies ({REAL_REPLIES} of the real worker), with bytes of unwritten memory"
        " (MALLOC_PERTURB_)",
        found,
    )
    yield is_served("S7 with every block of memory filled,", not wrong)


def do_all_kinds(backend: Service, options: dict) -> None:
    """A job that is done, one that fails, one that is refused, one that is cancelled."""
    with backend.client() as first:  # slow, as long as strace looks at imports
        cut_out_canary(first, backend, options)
    with Raw(backend).greet() as client:
        client.download(ask(client, backend.canary, keep=True, **options))
        refused = new_job_id()
        client.send(Begin((IMAGE, SELECTION), OUTPUTS, {"matter": "none", "do": "fail"}), refused)
        client.send(Cancel(), refused)
        client.expect(MessageType.ERROR, refused)
        client.download(ask(client, backend.canary, SELECTED, **options))
        cancelled = ask(client, backend.canary, **options)
        client.send(Cancel(), cancelled)
        client.expect_error("cancelled", cancelled)


def traced(worker: tuple[str, ...], options: dict) -> tuple[list[str], list[str]]:
    """All system calls of broker and worker, and those among them from the first job on."""
    with folder() as outside:
        trace = outside / "trace"
        under = ("strace", "-D", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace))
        (outside / "x").mkdir(mode=0o700)
        with service(outside / "x", worker, under) as backend:
            before = len(trace.read_text().splitlines())
            do_all_kinds(backend, options)
            during = trace.read_text().splitlines()[before:]
        return trace.read_text().splitlines(), during


def files_written(lines: list[str]) -> set[str]:
    written = {"memfd_create" for line in lines if "memfd_create(" in line}
    for path, flags, result in (found for line in lines for found in OPENED.findall(line)):
        is_writing = any(flag in flags for flag in WRITING) or not flags
        if is_writing and not result.startswith("-"):
            written.add(path)
    return written


EXPECTED = (
    re.compile(r"/log/(?:broker|worker)\.log$"),
    re.compile(r"/site-packages/.*/__pycache__$"),  # numba sees whether it could write there
    re.compile(r"^/dev/shm/sem\.\w+$"),  # a semaphore: 32 bytes
)
"""What a worker may open for writing; the canary isn't in any of them (see ``service``)."""


def is_expected(path: str) -> bool:
    return path == os.devnull or any(pattern.search(path) for pattern in EXPECTED)


def system_calls() -> Iterator[Figure]:
    if shutil.which("strace") is None:
        yield Figure("S7, S11 under strace", "skipped: strace isn't installed", "", is_met=True)
        return
    everything: list[str] = []
    for worker, options in ((FAKE, {}), (REAL, CLOSED_FORM)):
        lines, during = traced(worker, options)
        everything += lines
        written = files_written(during)
        name = "the real" if worker is REAL else "a fake"
        odd = sorted(path for path in written if not is_expected(path))
        told = f": {', '.join(odd)}" if odd else ""
        yield zero(
            f"S7 files opened for writing while {name} worker has jobs, but for logs, semaphores"
            f" and numba's look at its cache{told}",
            len(odd),
        )
    logs = [path for path in files_written(everything) if path.endswith(".log")]
    called = [found for line in everything for found in ADDRESSED.findall(line)]
    abroad = sorted({f"{call} {family}" for call, family in called if family != "AF_UNIX"})
    told = f": {', '.join(abroad)}" if abroad else ""
    yield zero(f"S11 connect or bind to anything but AF_UNIX, from start to end{told}", len(abroad))
    unix = sum(family == "AF_UNIX" for _, family in called)
    # That strace saw the processes at all: their logs, and their own two sockets.
    yield Figure(
        "S7, S11 logs and Unix sockets that strace saw",
        f"{len(logs)} and {unix}",
        "some",
        bool(logs) and unix > 0,
    )


def leaks(_rng: Random) -> Iterator[Figure]:
    """S7 and S11."""
    yield from unwritten_memory()
    yield from system_calls()


BLOCKS = {"S7": leaks}

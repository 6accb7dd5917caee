"""Ties a worker to the broker that started it, and keeps the picture out of core dumps."""

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

STDIN = 0
LINE_BYTES_MAX = 64 * 1024
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when the thread that started it ends."""

OOM_SCORE_STEP, OOM_SCORE_MAX = 500, 1000
"""The kernel, out of memory, takes the worker before the editor or anything else of the user's."""


def read_first_line() -> bytes:
    """The first line of standard input, whole; shorter when it ended before."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
        piece = os.read(STDIN, LINE_BYTES_MAX)
        if not piece:
            break
        line += piece
    return bytes(line)


def end_with_parent(parent: int) -> None:
    """
    End this process at once when its parent is gone. Call it from the main thread.

    Standard input is a pipe whose other end only the parent holds: it ends with the parent. That
    takes a thread, which a native call that never returns could starve; Linux kills without.

    Args:
        parent: its process id, asked for as early as possible: one that died before leaves
            another.
    """
    if sys.platform == "linux":
        # The signal comes when the parent's *thread* ends: the broker starts workers from one
        # that lives as long as itself.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)
    threading.Thread(target=_exit_at_end_of_input, name="tether", daemon=True).start()


def forbid_core_dumps() -> None:
    """No picture of the user's in a core file, nor in what a crash collector is handed."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  (not on Windows)

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write_proc("coredump_filter", "0")  # collectors behind a pipe don't obey the limit


def prefer_for_oom_kill() -> None:
    """Ask Linux, where it is allowed, to take this process first when memory runs out."""
    with suppress(OSError, ValueError):
        score = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
        _write_proc("oom_score_adj", str(min(score + OOM_SCORE_STEP, OOM_SCORE_MAX)))


def _write_proc(name: str, text: str) -> None:
    with suppress(OSError):  # another system, or a container that hides it
        Path("/proc/self", name).write_text(text, encoding="ascii")


def _exit_at_end_of_input() -> None:
    with suppress(OSError):
        while os.read(STDIN, 4096):
            pass
    os._exit(0)

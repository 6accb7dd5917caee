"""Whether a process of whom a file tells is still that process, and how to end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PS_TIMEOUT_S = 5


def start_of_process(pid: int) -> str:
    """
    Name the moment when a process started, in a form that only serves to be compared.

    Returns:
        "" where there is no such process, or it has ended and waits to be collected.
    """
    if sys.platform == "win32":
        return _start_on_windows(pid)
    if sys.platform == "linux":
        return _start_on_linux(pid)
    return _start_by_ps(pid)


def kill_process(pid: int) -> None:
    """End a process at once, whatever it is doing; one that is gone or another's stays so."""
    try:
        os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    except OSError:
        return


def _start_on_linux(pid: int) -> str:
    """Clock ticks from boot to start, and which boot; proc(5), fields 3 and 22."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    state, *rest = fields.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else f"{boot}:{rest[18]}"


def _start_by_ps(pid: int) -> str:
    try:
        answer = subprocess.run(  # noqa: S603  (fixed words and an integer)
            ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)],
            env={"LC_ALL": "C", "TZ": "UTC"},
            capture_output=True,
            text=True,
            timeout=PS_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    state, _, started = answer.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()


def _start_on_windows(pid: int) -> str:
    if sys.platform != "win32":
        return ""
    import ctypes  # noqa: PLC0415  (the types of Windows exist only there)
    from ctypes import wintypes  # noqa: PLC0415

    query_limited_information, still_active = 0x1000, 259
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return ""
    try:
        code = wintypes.DWORD()
        times = [wintypes.FILETIME() for _ in range(4)]
        process = wintypes.HANDLE(handle)
        if not kernel.GetExitCodeProcess(process, ctypes.byref(code)):
            return ""
        if code.value != still_active:
            return ""
        if not kernel.GetProcessTimes(process, *map(ctypes.byref, times)):
            return ""
        return f"{times[0].dwHighDateTime:x}{times[0].dwLowDateTime:08x}"
    finally:
        kernel.CloseHandle(wintypes.HANDLE(handle))

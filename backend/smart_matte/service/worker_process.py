"""One worker process: started, told who it is on its standard input, watched, killed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smart_matte.service.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smart_matte.service.clock import LoopClock
    from smart_matte.service.sockets import Router

STDERR_LINES_MAX = 30
STDERR_LINE_MAX = 300
"""Last words of a worker that crashed, for the log: so many lines, so long."""

LOG = logging.getLogger(__name__)


class WorkerProcess(Peer):
    """
    A worker and the connection to it, which only it can use: nobody else knows its identity.

    Attributes:
        started: when, by the loop's clock.
        is_ready: whether it has said what it is.
        is_leaving: whether it was asked to go, or killed.
        pinged: when it was last asked for a life sign.
        stopped_since: when it was first seen stopped (SIGSTOP); None while it runs.
    """

    def __init__(
        self,
        router: Router,
        clock: LoopClock,
        command: Sequence[str],
        settings: Mapping[str, Any],
    ) -> None:
        """
        Start the process.

        Raises:
            OSError: it can't be started.
        """
        identity = secrets.token_hex(32)
        super().__init__(router, identity.encode(), clock)
        self.started = self.pinged = clock.now
        self.is_ready = False
        self.is_leaving = False
        self.stopped_since: float | None = None
        self._last_words: deque[str] = deque(maxlen=STDERR_LINES_MAX)
        # Popen starts a new program: what this process holds of ZeroMQ isn't forked along.
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        threading.Thread(target=self._listen_to_stderr, daemon=True).start()
        first_line = json.dumps({"endpoint": router.endpoint, "identity": identity, **settings})
        with contextlib.suppress(OSError):  # it has died already, which poll will tell
            self._stdin.write(first_line.encode() + b"\n")
            self._stdin.flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """What it ended with; None while it hasn't."""
        return self._process.poll()

    def last_words(self) -> str:
        """The end of what it wrote to its error stream."""
        return "\n".join(self._last_words)

    def let_go(self) -> None:
        """Close its standard input: it ends by itself."""
        self.is_leaving = True
        with contextlib.suppress(OSError):
            self._stdin.close()

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.is_leaving = True
        self._process.kill()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it when that takes too long."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def is_stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP); only Linux tells."""
        if sys.platform != "linux":
            return False
        flags = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(OSError):
            found = os.waitid(os.P_PID, self.pid, flags)
            return found is not None and found.si_code == os.CLD_STOPPED
        return False

    def worked_s(self) -> float | None:
        """Processor time that it has used, all threads together; only Linux tells so cheaply."""
        if sys.platform != "linux":
            return None
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
            user, system = fields.rpartition(")")[2].split()[11:13]  # proc(5), 14 and 15
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return None

    @property
    def _stdin(self) -> Any:  # noqa: ANN401  (IO[bytes], which it always has)
        return self._process.stdin

    def _listen_to_stderr(self) -> None:
        stream = self._process.stderr
        if stream is None:
            return
        with stream, contextlib.suppress(OSError, ValueError):
            while line := stream.readline(STDERR_LINE_MAX):
                self._last_words.append(line.decode(errors="replace").rstrip())

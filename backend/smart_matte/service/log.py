"""Logs: one file for each process, small, for its owner only, without anything of a picture."""

import contextlib
import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_log_path

FILE_BYTES_MAX = 5 * 1024 * 1024
FILES_MAX = 5
FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def default_folder() -> Path:
    """The user's log folder."""
    return user_log_path("smart-matte", appauthor=False)


def open_log(path: Path | None, *, on_terminal: bool = False) -> Path | None:
    """
    Let this process log to a file; another that writes to it as well loses nothing by that.

    A folder or disk that takes no log stops nothing: the service works without one.

    Args:
        path: the file; older ones get .1 to .4; None for no file.
        on_terminal: whether the error stream gets the same.

    Returns:
        The file; None where there is none.
    """
    logging.raiseExceptions = False  # a full disk is no reason to write to the error stream
    handlers: list[logging.Handler] = [logging.NullHandler()]
    opened = None
    if path is not None:
        try:
            handlers.append(_open_file(path))
            opened = path
        except OSError:
            opened = None
    if on_terminal:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=handlers, force=True)
    return opened


class _OwnersFile(logging.handlers.RotatingFileHandler):
    """
    A log file for its owner only.

    Where two processes write to it (backends of two runtime folders do), one of them turns it
    over, and the other goes on with the new one.
    """

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802  (logging's name)
        self._follow()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802  (logging's name)
        # Without the lock, or a disk that takes it, the line goes into the file as it is.
        with contextlib.suppress(OSError), FileLock(f"{self.baseFilename}.lock", 0, mode=0o600):
            if not self._follow():
                super().doRollover()

    def _follow(self) -> bool:
        """Open the file anew if another process has turned it over; whether it had."""
        if self.stream is None:
            return False
        try:
            is_same = os.path.samestat(
                os.stat(self.baseFilename),  # noqa: PTH116  (a text is at hand)
                os.fstat(self.stream.fileno()),
            )
        except FileNotFoundError:
            is_same = False
        except (OSError, ValueError):  # no file at all
            return False
        if not is_same:
            self.stream.close()
            self.stream = self._open()
        return not is_same

    def _open(self) -> Any:  # noqa: ANN401  (the type that the base class hides)
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda name, flags: os.open(name, flags, 0o600),
        )


def _open_file(path: Path) -> logging.Handler:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _OwnersFile(
        path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_MAX - 1, encoding="utf-8", errors="replace"
    )

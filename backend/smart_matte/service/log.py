"""Logs: one file for each process, small, for its owner only, without anything of a picture."""

import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

from platformdirs import user_log_path

FILE_BYTES_MAX = 5 * 1024 * 1024
FILES_MAX = 5
FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def default_folder() -> Path:
    """The user's log folder."""
    return user_log_path("smart-matte", appauthor=False)


def open_log(path: Path | None, *, on_terminal: bool = False) -> Path | None:
    """
    Let this process log to a file that no other process writes.

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

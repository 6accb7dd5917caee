"""A disk that is full from the n-th write on, for whatever Python writes through it."""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

WRITING = set("wax+")


class Disk:
    """
    Counts writes and refuses some of them.

    Attributes:
        writes: how many there were.
        full_from: the first that fails, from 1; 0 for none.
        full_for: how many fail from there on.
    """

    def __init__(self, full_from: int = 0, full_for: int = 10**9) -> None:
        self.writes = 0
        self.full_from = full_from
        self.full_for = full_for

    def write(self) -> bool:
        """Whether there is room for one more."""
        self.writes += 1
        return not self.full_from or not 0 <= self.writes - self.full_from < self.full_for


class _File:
    """An open file of which a write that fails leaves half of what it was given."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any) -> int:
        if not self._disk.write():
            self._file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)


@contextmanager
def mounted(disk: Disk) -> Iterator[Disk]:
    """Let everything that is opened for writing, and every fsync, go through *disk*."""
    really_open, really_sync = io.open, os.fsync

    def open_on_disk(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        opened = really_open(file, mode, *arguments, **named)
        return _File(opened, disk) if WRITING & set(mode) else opened

    def sync(descriptor: int) -> None:
        if not disk.write():
            raise OSError(errno.ENOSPC, "No space left on device")
        really_sync(descriptor)

    io.open, builtins.open, os.fsync = open_on_disk, open_on_disk, sync
    try:
        yield disk
    finally:
        io.open, builtins.open, os.fsync = really_open, really_open, really_sync


def for_each_write(work: Callable[[Disk], None]) -> int:
    """Run *work* with the disk full from the first write on, the second, …; how many there are."""
    disk = Disk(full_from=1)
    while True:
        work(disk)
        if disk.writes < disk.full_from:
            return disk.writes
        disk = Disk(full_from=disk.full_from + 1)

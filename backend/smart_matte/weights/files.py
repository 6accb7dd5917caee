"""Files handled with care: hashed, written whole or not at all, disk troubles as sentences."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal

from smart_matte.errors import WeightsError

FULL = (errno.ENOSPC, errno.EDQUOT)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 lower-case hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """
    Write a file so that *path* never holds part of it, whenever the program is stopped.

    Two writers of the same path must hold a lock.

    Raises:
        WeightsError: the disk is full, or refuses.
    """
    unfinished = path.with_name(path.name + ".tmp")
    with disk_troubles(path.parent):
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def require_free_bytes(folder: Path, needed_bytes: int) -> None:
    """
    Make sure that a disk has room, before starting on something long.

    Raises:
        WeightsError: it has less than *needed_bytes*.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise WeightsError(
            f"The disk that holds {folder} has {decimal(free_bytes)} free where"
            f" {decimal(needed_bytes)} are needed; free some, or set SMART_MATTE_WEIGHTS to a"
            " folder on another disk."
        )


@contextmanager
def disk_troubles(folder: Path) -> Iterator[None]:
    """Turn what the disk says while *folder* is worked in into a WeightsError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise WeightsError(
                f"The disk that holds {folder} is full; free some space, or set"
                " SMART_MATTE_WEIGHTS to a folder on another disk, and try again."
            ) from error
        raise WeightsError(
            f"{error.filename or folder} can't be used ({error.strerror or error}); set"
            " SMART_MATTE_WEIGHTS to a folder that you may write to."
        ) from error

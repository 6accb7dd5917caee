"""Files handled with care: hashed, written whole or not at all, disk troubles as sentences."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
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
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """
    Write files of one folder, of which none is replaced before all are safe on the disk.

    As ``write_whole`` for each of them. A program that is stopped between two replacements leaves
    the first ones new and the others old.
    """
    unfinished = {path: path.with_name(path.name + ".tmp") for path in contents}
    folder = next(iter(contents)).parent
    with disk_troubles(folder, sum(map(len, contents.values()))):
        try:
            for path, content in contents.items():
                with unfinished[path].open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for path in contents:
                unfinished[path].replace(path)
        finally:
            for path in unfinished.values():
                path.unlink(missing_ok=True)


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
def disk_troubles(folder: Path, needed_bytes: int = 0) -> Iterator[None]:
    """
    Turn what the disk says while *folder* is worked in into a WeightsError.

    Args:
        folder: what is worked in.
        needed_bytes: how much is to be written there, for the sentence.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            space = f"{decimal(needed_bytes)} of space" if needed_bytes else "some space"
            raise WeightsError(
                f"The disk that holds {folder} is full; free {space}, or set SMART_MATTE_WEIGHTS"
                " to a folder on another disk, and try again."
            ) from error
        raise WeightsError(
            f"{error.filename or folder} can't be used ({error.strerror or error}); set"
            " SMART_MATTE_WEIGHTS to a folder that you may write to."
        ) from error

"""Which pictures a command line names, which selection goes with each, and what they are called."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smart_matte.errors import OptionError, SelectionError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
"""What is taken from a folder; a picture named by itself may be called anything."""

RESULT_SUFFIXES = ("_alpha", "_foreground", "_cutout", "_trimap", "_preview")
"""Endings of our own results, which folders and patterns must not feed back."""

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Job:
    """
    One picture to cut out.

    Attributes:
        picture: its file; None is standard input.
        name: what its results begin with.
    """

    picture: Path | None
    name: str

    @property
    def label(self) -> str:
        """How messages call it."""
        return "standard input" if self.picture is None else str(self.picture)


def find_jobs(names: Sequence[str]) -> list[Job]:
    """
    List the pictures that a command line names, in its order.

    Args:
        names: files, folders, glob patterns, and "-" for standard input.

    Raises:
        OptionError: nothing matches, or two pictures would write the same results.
    """
    jobs: dict[str, Job] = {}
    for picture in dict.fromkeys(picture for name in names for picture in _expand(name)):
        name = "stdin" if picture is None else picture.stem
        if name in jobs and picture is not None:  # photo.jpg and photo.png
            name = picture.name
        if name in jobs:
            raise OptionError(
                f"{jobs[name].label} and {picture} would write the same files;"
                " cut them out in two calls with different output folders."
            )
        jobs[name] = Job(picture, name)
    return list(jobs.values())


def find_selection(selection: str | None, job: Job) -> Path | None:
    """
    Find the file of a picture's selection.

    Args:
        selection: a file for all pictures, or a folder that holds ``<picture's name>.*``; None
            is no selection.
        job: the picture.

    Raises:
        SelectionError: it is not there.
    """
    if selection is None:
        return None
    if selection == STANDARD_INPUT:
        raise SelectionError("Only the picture can come from standard input; name a file.")
    path = Path(selection)
    if not os.path.exists(selection):  # noqa: PTH110  (never raises, whatever the name)
        raise SelectionError(f"There is no selection “{selection}”; check its name.")
    found = _find_by_name(path, job) if path.is_dir() else path
    if job.picture is not None and os.path.exists(job.picture) and found.samefile(job.picture):  # noqa: PTH110
        raise SelectionError(f"{job.label} can't be its own selection; name another file.")
    return found


def _find_by_name(folder: Path, job: Job) -> Path:
    matches = sorted(
        child
        for child in folder.iterdir()
        if child.stem == job.name and child.suffix.lower() in PICTURE_SUFFIXES
    )
    if not matches:
        raise SelectionError(
            f"{folder} holds no selection for {job.label}; it would be called {job.name}.png."
        )
    return matches[0]


def _expand(name: str) -> Iterator[Path | None]:
    if name == STANDARD_INPUT:
        yield None
        return
    if not name:
        raise OptionError("A picture's name is empty; name a file, a folder or a pattern.")
    path = Path(name)
    if os.path.isdir(name):  # noqa: PTH112  (never raises, whatever the name)
        found = sorted(child for child in path.iterdir() if _is_input(child))
        if not found:
            raise OptionError(f"There are no pictures in {name}; name a folder that holds some.")
        yield from found
    elif not os.path.exists(name) and glob.has_magic(name):  # noqa: PTH110
        paths = map(Path, sorted(glob.glob(name, recursive=True)))  # noqa: PTH207  (absolute too)
        matches = [match for match in paths if match.is_file() and not _is_result(match)]
        if not matches:
            raise OptionError(f"No picture matches {name}; check the pattern.")
        yield from matches
    else:
        yield path  # reading it will say what is wrong with it


def _is_input(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not _is_result(path) and path.is_file()


def _is_result(path: Path) -> bool:
    return path.stem.endswith(RESULT_SUFFIXES)

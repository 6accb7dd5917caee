"""Which pictures a command line names, which selection goes with each, and what they are called."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smart_matte.errors import OptionError, SelectionError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""What is taken from a folder; a picture named by itself may be called anything."""

RESULT_SUFFIXES = ("_alpha", "_foreground", "_cutout", "_trimap", "_preview")
"""Endings of our own results, which a folder given twice must not feed back."""

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
    pictures = [picture for name in names for picture in _expand(name)]
    jobs: dict[str, Job] = {}
    for picture in pictures:
        name = "stdin" if picture is None else picture.stem
        if name in jobs:
            first = jobs[name].label
            if picture is not None and str(picture) == first:
                continue
            raise OptionError(
                f"{first} and {picture} would both write {name}_cutout.png;"
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
    path = Path(selection)
    if not path.exists():
        raise SelectionError(f"There is no selection {selection}; check its name.")
    if not path.is_dir():
        return path
    matches = sorted(
        child
        for child in path.iterdir()
        if child.stem == job.name and child.suffix.lower() in PICTURE_SUFFIXES
    )
    if not matches:
        raise SelectionError(
            f"{selection} holds no selection for {job.label}; it would be called {job.name}.png."
        )
    return matches[0]


def _expand(name: str) -> Iterator[Path | None]:
    if name == STANDARD_INPUT:
        yield None
        return
    path = Path(name)
    if path.is_dir():
        found = sorted(child for child in path.iterdir() if _is_input(child))
        if not found:
            raise OptionError(f"There are no pictures in {name}; name a folder that holds some.")
        yield from found
    elif not path.exists() and glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  (absolute patterns too)
        if not matches:
            raise OptionError(f"Nothing matches {name}; check the pattern.")
        yield from (Path(match) for match in matches if Path(match).is_file())
    else:
        yield path  # reading it will say what is wrong with it


def _is_input(path: Path) -> bool:
    return (
        path.suffix.lower() in PICTURE_SUFFIXES
        and not path.stem.endswith(RESULT_SUFFIXES)
        and path.is_file()
    )

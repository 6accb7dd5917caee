"""A job as the worker takes it in: its planes from chunks, its options, and what may go wrong."""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from smart_matte.engine.cutout import FINISHING_OPTIONS
from smart_matte.engine.options import Options
from smart_matte.engine.types import AnyArray
from smart_matte.errors import Cancelled, OptionError, SmartMatteError
from smart_matte.service.planes import (
    SAMPLE_TYPES,
    SourceImage,
    check_outputs,
    source_image,
    trimap_from_plane,
)
from smart_matte_link.envelope import Inflow
from smart_matte_link.errors import ProtocolError
from smart_matte_link.messages import (
    CHANNELS,
    ERROR_CODES,
    Begin,
    Error,
    Output,
    Plane,
    make_error,
)

DEFAULTS = Options()

KINDS: dict[object, str] = {
    str: "a text",
    bool: "true or false",
    float: "a number",
    float | None: "a number or nothing",
    tuple[str, ...]: "a list of texts",
}
"""The types that options have, in words."""

MEMORY_WORDS = ("out of memory", "allocate memory", "insufficient memory", "failed to allocate")
"""What torch and OpenCV say when memory ran out, in whatever exception."""

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818  (as Cancelled: an outcome, not a fault)
    """
    Raised within a job that has to end now.

    Attributes:
        error: what the other side is told.
    """

    def __init__(self, error: Error) -> None:
        super().__init__(error.code)
        self.error = error


@dataclass(frozen=True)
class Request:
    """
    What a job asks for, checked, beside its pixels.

    Attributes:
        options: the user's choices.
        outputs: the planes wanted back.
        keep: whether the raw result should be kept for ``refine``.
    """

    options: Options
    outputs: tuple[Output, ...]
    keep: bool


class Inputs:
    """
    The planes of a job, filled as their bytes come in.

    The memory is zeroed, so that what never came can't be anything else; each plane is handed out
    once, so that nothing here holds it any longer.
    """

    def __init__(self, planes: tuple[Plane, ...]) -> None:
        self._planes = {plane.role: plane for plane in planes}
        self._samples: dict[str, AnyArray] = {
            plane.role: np.zeros(
                (plane.height, plane.width, CHANNELS[plane.order]), SAMPLE_TYPES[plane.sample]
            )
            for plane in planes
        }
        self._unfilled = [memoryview(self._samples[plane.role].data).cast("B") for plane in planes]
        self._inflow = Inflow(sum(plane.byte_count for plane in planes))

    def add(self, chunk: memoryview) -> None:
        """
        Put the next bytes where they belong; *chunk* is copied.

        Raises:
            ProtocolError: more bytes than declared.
        """
        self._inflow.add(len(chunk))
        while chunk:
            space = self._unfilled[0]
            count = min(len(space), len(chunk))
            space[:count] = chunk[:count]
            chunk = chunk[count:]
            if count < len(space):
                self._unfilled[0] = space[count:]
            else:
                self._unfilled.pop(0)

    def finish(self, byte_count: int) -> None:
        """
        All has been sent.

        Raises:
            ProtocolError: fewer bytes came than were declared, or than the end counts.
        """
        self._inflow.finish(byte_count)

    def take_image(self) -> SourceImage:
        """The picture."""
        return source_image(self._planes["image"], self._samples.pop("image"))

    def take_selection(self) -> AnyArray | None:
        """
        The trimap where there is one, else the selection; (H, W), as the engine takes it.

        Raises:
            SelectionError: a trimap with nothing unknown, or with values that are no numbers.
        """
        selection, trimap = self._samples.pop("selection", None), self._samples.pop("trimap", None)
        if trimap is not None:
            return trimap_from_plane(trimap[..., 0])
        return None if selection is None else selection[..., 0]


def read_begin(begin: Begin) -> tuple[Request, Inputs]:
    """
    Check a new job and make room for its planes.

    Raises:
        OptionError: an option that doesn't exist, or a value that can't be.
        ProtocolError: outputs that this picture can't have.
        MemoryError: the planes don't fit.
    """
    request = Request(read_options(begin.options), begin.outputs, begin.keep)
    image = next(plane for plane in begin.planes if plane.role == "image")
    check_outputs(image, begin.outputs)
    return request, Inputs(begin.planes)


def read_options(values: Mapping[str, Any], defaults: Options = DEFAULTS) -> Options:
    """
    Options from a JSON object with their names; those left out are as in *defaults*.

    Raises:
        OptionError: says which name doesn't exist, or which value can't be and what would do.
    """
    kinds = get_type_hints(Options)
    changes = {}
    for name, value in values.items():
        if name not in kinds:
            names = ", ".join(field.name for field in fields(Options))
            raise OptionError(f"There is no option “{name}”; there are: {names}.")
        if not _is_of_kind(value, kinds[name]):
            raise OptionError(f"{name} has to be {KINDS[kinds[name]]}.")
        changes[name] = tuple(value) if isinstance(value, list) else value
    return defaults.with_changes(**changes)


def read_refining_options(values: Mapping[str, Any], computed_with: Options) -> Options:
    """
    Options for finishing a kept result again; those left out stay as they were.

    Raises:
        OptionError: as read_options, or one differs that would need the models.
    """
    options = read_options(values, computed_with)
    for field in fields(Options):
        is_same = getattr(options, field.name) == getattr(computed_with, field.name)
        if not is_same and field.name not in FINISHING_OPTIONS:
            raise OptionError(
                f"{field.name} can't be changed by refining; only {', '.join(FINISHING_OPTIONS)}"
                " can. Run the job again."
            )
    return options


def error_from(error: Exception) -> Error:
    """What the other side is told about an exception; an unexpected one is logged as well."""
    if isinstance(error, Stopped):
        return error.error
    if isinstance(error, ProtocolError):
        return make_error(error.code, error.sentence)
    if isinstance(error, Cancelled):
        return make_error("cancelled", "The job was cancelled.")
    if isinstance(error, SmartMatteError) and error.code in ERROR_CODES:
        return make_error(error.code, str(error))
    if _is_out_of_memory(error):
        return make_error(
            "out_of_memory",
            "There is too little memory for this picture.",
            "Close other programs, or work on a smaller picture.",
        )
    log.error("%s\n%s", type(error).__name__, describe_stack(error))
    return make_error(
        "internal",
        f"Smart Matte has a fault: {type(error).__name__} while it was computing.",
        "Please report it; “smart-matte status” says where the log is.",
    )


def describe_stack(error: BaseException) -> str:
    """Where an exception came from, without its words: they might quote the picture."""
    frames = traceback.extract_tb(error.__traceback__)
    return "\n".join(f"  {Path(at.filename).name}:{at.lineno} {at.name}" for at in frames)


def _is_of_kind(value: object, kind: object) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    if kind == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number or (value is None and kind is not float)


def _is_out_of_memory(error: Exception) -> bool:
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(word in words for word in MEMORY_WORDS)

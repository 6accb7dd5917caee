"""The plug-in in a GIMP of the tests, and batches of cases for it."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import EditorBackend
from gimp_program import Gimp, without_noise
from homes import gimp_home
from programs import Editors, Finished

from smart_matte.install.folders import facts_for, plugin_source, put
from smart_matte_link.messages import CHANNELS

BATCHES = Path(__file__).with_name("gimp_batches")
NAME = "smart-matte"
TYPES = {
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "half": np.float16,
    "float": np.float32,
    "double": np.float64,
}
BATCH_S = 200.0


def install(gimp: Gimp, facts: Mapping[str, Any] | None = None) -> Path:
    """Install the plug-in as ``smart-matte install gimp`` does, with other facts where given."""
    target = gimp.plug_ins / NAME
    put(plugin_source("gimp", NAME), target, facts_for(None) if facts is None else facts)
    return target


def put_meddler(gimp: Gimp) -> Path:
    """
    Install the plug-in that runs scripts beside others.

    Returns:
        The folder it looks into: it runs NAME.todo, which is NAME.done then.
    """
    folder = gimp.plug_ins / "meddler"
    scripts = folder / "scripts"
    scripts.mkdir(parents=True)
    program = folder / "meddler.py"
    program.write_text(f"#!/usr/bin/env python3\n{(BATCHES / program.name).read_text()}")
    program.chmod(0o755)
    return scripts


@contextmanager
def gimp_for_a_module(editors: Editors) -> Iterator[Gimp]:
    """A GIMP with the plug-in, for the batches of a whole module."""
    reason = editors.place.lacks("gimp")
    if reason:
        pytest.skip(reason)
    home = editors.make_home(gimp_home(editors))
    try:
        gimp = Gimp(editors, home)
        install(gimp)
        yield gimp
    finally:
        editors.drop_home(home)


def pixels(drawable: Mapping[str, Any]) -> np.ndarray:
    """The pixels that a batch told of, (H, W, C) in their own type."""
    width, height = drawable["size"]
    flat = np.frombuffer(base64.b64decode(drawable["pixels"]), TYPES[drawable["type"]])
    return flat.reshape(height, width, drawable["channels"])


@dataclass(frozen=True)
class Job:
    """
    What the backend that follows orders had from the plug-in.

    Attributes:
        planes: what the planes were, by role.
        outputs: what was asked for, by role.
        options: the options.
        pixels: (H, W, C) by role; empty where the job wasn't answered.
    """

    planes: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]
    options: dict[str, Any]
    pixels: dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """
    What a batch did with one image.

    Attributes:
        before: the image before the run.
        after: the image as it was saved, read by another GIMP.
        status: the PDB's.
        problem: the PDB's text; None after a success.
        job: what the backend got; None where the plug-in never asked it.
        facts: whatever else the batch told of this case.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    status: str
    problem: str | None
    job: Job | None
    facts: dict[str, Any]

    def layer(self, name: str) -> dict[str, Any]:
        """A layer after the run."""
        return layer_in(self.after, name)

    def layer_before(self, name: str = "subject") -> dict[str, Any]:
        """A layer before the run."""
        return layer_in(self.before, name)

    @property
    def names(self) -> list[str]:
        """The layers after the run, from the top."""
        return [layer["name"] for layer in self.after["layers"]]


@dataclass(frozen=True)
class Batch:
    """What a whole batch did, and what it said on stderr beyond GIMP's usual noise."""

    cases: dict[str, Case]
    stderr: str


def layer_in(image: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A layer of an image that a batch told of."""
    return next(layer for layer in image["layers"] if layer["name"] == name)


def run_cases(gimp: Gimp, module: str, backend: EditorBackend | None, **values: Any) -> Batch:
    """
    Do the cases of a module of gimp_batches in one GIMP, and look at what they saved in another.

    Raises:
        AssertionError: a case couldn't be done at all; with its traceback.
    """
    folder = gimp.home / "tmp" / module
    folder.mkdir()
    start = "import sys; sys.path[:0] = [batches]; import pathlib; folder = pathlib.Path(folder)"
    orders = backend.orders if backend else folder / "no backend"
    named = {"batches": BATCHES, "folder": folder, "orders": orders, "values": values}
    gimp.batch(
        f"{start}\nimport {module}\n{module}.main(folder, pathlib.Path(orders), **values)",
        env=backend.env if backend else None,
        timeout_s=BATCH_S,
        with_checkout=True,
        with_fonts=True,
        **named,
    )
    stderr = last_words(gimp)
    told = json.loads((folder / "cases.json").read_text())
    broken = "\n".join(facts["broken"] for facts in told.values() if "broken" in facts)
    assert not broken, f"{broken}\n{stderr}"
    gimp.batch(f"{start}\nimport making\nmaking.look(folder)", with_checkout=True, **named)
    after = json.loads((folder / "after.json").read_text())
    seen = backend.seen() if backend else []
    cases = {}
    for name, facts in told.items():
        number, jobs = facts["job"], facts["jobs"]
        job = _job(backend, seen[number], number) if backend and jobs > number else None
        words = facts["status"], facts["problem"]
        cases[name] = Case(facts["before"], after.get(name, {}), *words, job, facts)
    return Batch(cases, stderr)


def _job(backend: EditorBackend, seen: Mapping[str, Any], number: int) -> Job:
    came, start, arrays = backend.came(number), 0, {}
    for plane in seen["planes"] if came else ():
        kind = np.dtype({"u8": "u1", "u16": "<u2", "f32": "<f4"}[plane["sample"]])
        shape = plane["height"], plane["width"], CHANNELS[plane["order"]]
        count = int(np.prod(shape))
        arrays[plane["role"]] = np.frombuffer(came, kind, count, start).reshape(shape)
        start += count * kind.itemsize
    assert start == len(came)
    planes, outputs = ({p["role"]: p for p in seen[name]} for name in ("planes", "outputs"))
    return Job(planes, outputs, seen["options"], arrays)


def last_words(gimp: Gimp) -> str:
    """What GIMP and its plug-ins said on stderr in the last batch, without the usual noise."""
    log = max((gimp.home / "logs").glob("*.err"))
    return without_noise(Finished(0, "", log.read_text(errors="replace")))

"""The tests' side of inside/script_folder.py: hand a script to a running editor, get its words."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from programs import EditorError, Program, wait_for


class ScriptFolder:
    """Where an editor looks for scripts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._numbers = itertools.count()

    def put(self, text: str, values: Mapping[str, Any]) -> Path:
        """Hand over a script; the answer will be at the path that is returned."""
        path = self.folder / f"{next(self._numbers):04d}"
        task = {"text": dedent(text), "file": f"script {path.name}", "values": dict(values)}
        part = path.with_suffix(".new")
        part.write_text(json.dumps(task), encoding="utf-8")
        part.rename(path.with_suffix(".todo"))
        return path.with_suffix(".done")

    def answer(self, path: Path, program: Program, timeout_s: float) -> str:
        """
        Wait for what a script printed.

        Raises:
            EditorError: it failed, the editor ended before, or neither in time.
        """
        wait_for(lambda: path.exists() or not program.is_running(), "the script ends", timeout_s)
        if not path.exists():
            raise EditorError(f"the editor has ended: {program.wait(1)}")
        answer = json.loads(path.read_text(encoding="utf-8"))
        if answer["error"]:
            raise EditorError(f"{answer['output']}\n{answer['error']}")
        return answer["output"]


class Running:
    """
    An editor that runs with a window, in which scripts can be run.

    Attributes:
        program: its process.
    """

    def __init__(self, program: Program, scripts: ScriptFolder) -> None:
        self.program = program
        self._scripts = scripts

    def script(self, text: str, *, timeout_s: float = 60.0, **values: Any) -> str:
        """Run a script in it and return what it printed; values become global names."""
        return self._scripts.answer(self._scripts.put(text, values), self.program, timeout_s)

    def begin_script(self, text: str, **values: Any) -> None:
        """Run a script in it without waiting: for one that opens a dialog."""
        self._scripts.put(text, values)

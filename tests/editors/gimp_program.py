"""The real GIMP: batches without a window, and a window whose images scripts can look at."""

import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from programs import EditorError, Editors, Finished
from screen import Screen
from scripting import Running, ScriptFolder

INSIDE = Path(__file__).with_name("inside")
BATCH_S = 120.0
START_S = 90.0

PRELUDE = """\
import gi
for name, version in (("Gimp", "3.0"), ("Gegl", "0.4"), ("Babl", "0.1")):
    gi.require_version(name, version)
from gi.repository import Babl, Gegl, Gimp, Gio, GLib
"""

QUIET = {
    "show-welcome-dialog": "no",
    "check-updates": "no",
    "save-session-info": "no",
    "save-device-status": "no",
    "save-document-history": "no",
}

NOISE = re.compile(
    r"cannot open display|gimp_wire_read\(\): unexpected EOF|gimp_flush\(\): error: Broken pipe"
    r"|script_fu_add_resource_arg|g_object_unref: assertion|list of contexts not empty"
    r"|^stale context|Failed to parse tag cache|batch command executed|batch command experienced"
    r"|Zombie plug-in: the process of plug-in '[\w.-]+' never exited"  # 3.2, on a busy machine
    r"|Glycin running without sandbox|ignored because resources of type|^\s*$"
)
"""What GIMP says on stderr when all is well."""


class Gimp:
    """
    A GIMP with a home of its own.

    Attributes:
        home: its home; home / "gimp" is GIMP's own folder, home / "run" the backend's.
    """

    def __init__(self, editors: Editors, home: Path) -> None:
        self.editors = editors
        self.home = home
        self._numbers = itertools.count()

    @property
    def plug_ins(self) -> Path:
        """Where GIMP looks for the user's plug-ins: plug-ins/NAME/NAME.py."""
        folder = self.home / "gimp" / "plug-ins"
        folder.mkdir(exist_ok=True)
        return folder

    def write_settings(self) -> None:
        """Settle, as a user would have, everything that GIMP asks at its first start."""
        found = re.search(r"\d+\.\d+\.\d+", self._run(["gimp-console", "--version"]).stdout)
        if found is None:
            raise EditorError("GIMP doesn't say its version")
        settings = {"config-version": f'"{found[0]}"', **QUIET}
        text = "".join(f"({name} {value})\n" for name, value in settings.items())
        (self.home / "gimp" / "gimprc").write_text(text)

    def batch(
        self,
        text: str,
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: float = BATCH_S,
        with_checkout: bool = False,
        with_fonts: bool = False,
        **values: Any,
    ) -> str:
        """
        Run a Python script in a GIMP without a window.

        Args:
            text: the script; Gimp, Gegl, Babl, Gio and GLib are there.
            env: what to add to GIMP's environment.
            timeout_s: when to give up.
            with_checkout: as in Editors.start.
            with_fonts: for text layers; they take a moment.
            values: further global names of the script; anything that is JSON, and paths.

        Returns:
            What it printed.

        Raises:
            EditorError: it raised; with its traceback, and without GIMP's usual noise.
        """
        script = self.home / "tmp" / f"batch-{next(self._numbers)}.py"
        prepared = json.dumps(values, default=str)
        code = f"import json\n{PRELUDE}\nglobals().update(json.loads({prepared!r}))\n"
        script.write_text(code + dedent(text), encoding="utf-8")
        argv = [
            "gimp-console",
            "-id" if with_fonts else "-idf",
            "--batch-interpreter=python-fu-eval",
        ]
        command = f"exec(compile(open({str(script)!r}).read(), {str(script)!r}, 'exec'))"
        finished = self._run([*argv, "-b", command, "--quit"], env, timeout_s, with_checkout)
        if finished.code:
            raise EditorError(
                f"GIMP ended with {finished.code}\n{finished.stdout}\n{without_noise(finished)}"
            )
        return finished.stdout

    @contextmanager
    def window(
        self,
        screen: Screen,
        files: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        *,
        with_checkout: bool = False,
    ) -> Iterator[Running]:
        """
        Start a GIMP with a window, and end it.

        Scripts run in a process of GIMP's Python console, beside the user interface: they see the
        open images by Gimp.get_images() and change nothing unless they want to.
        """
        folder = Path(tempfile.mkdtemp(dir=self.home / "tmp"))
        scripts = ScriptFolder(folder / "scripts")
        shutil.copy(INSIDE / "script_folder.py", folder)
        loop = (
            f"import sys, time; sys.path.insert(0, {str(folder)!r})\n{PRELUDE}"
            "from script_folder import do_next\n"
            "names = dict(Gimp=Gimp, Gegl=Gegl, Babl=Babl, Gio=Gio, GLib=GLib)\n"
            f"while True: do_next({str(scripts.folder)!r}, names) is None and time.sleep(0.05)\n"
        )
        argv = ["gimp", "-n", "--no-splash", "--batch-interpreter=python-fu-eval"]
        start = self.editors.start(
            [*argv, "-b", loop, *map(str, files)],
            self.home,
            {**screen.env, **(env or {})},
            with_checkout=with_checkout,
        )
        with start as program, screen.kept_on_failure():
            running = Running(program, scripts)
            running.script("", timeout_s=START_S)
            yield running

    def _run(
        self,
        argv: list[str],
        env: Mapping[str, str] | None = None,
        timeout_s: float = BATCH_S,
        with_checkout: bool = False,  # noqa: FBT001, FBT002  (handed on)
    ) -> Finished:
        return self.editors.run(argv, self.home, env, timeout_s, with_checkout=with_checkout)


def without_noise(finished: Finished) -> str:
    """What stderr says beyond the usual."""
    return "\n".join(line for line in finished.stderr.splitlines() if not NOISE.search(line))

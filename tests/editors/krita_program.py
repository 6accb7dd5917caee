"""The real Krita, on a virtual screen: one script and its exit code, or a window to be driven."""

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from programs import EditorError, Editors, Program
from screen import Screen
from scripting import Running, ScriptFolder

INSIDE = Path(__file__).with_name("inside")
EXTENSION = "smart_matte_test"
DESKTOP = f"""\
[Desktop Entry]
Type=Service
ServiceTypes=Krita/PythonPlugin
X-KDE-Library={EXTENSION}
X-Python-2-Compatible=false
Name=Scripts of the tests
Comment=Lets tests run scripts in Krita
"""
WITHOUT_OPENGL = "[General]\ncanvasState=OPENGL_SUCCESS\nOpenGLRenderer=none\n"
"""Of its kritadisplayrc: Krita paints its canvas itself."""
SCRIPT_S = 120.0
START_S = 90.0
END_S = 10.0


class Krita:
    """
    A Krita with a home of its own.

    Attributes:
        home: its home; home / "run" is the backend's folder.
    """

    def __init__(self, editors: Editors, home: Path) -> None:
        self.editors = editors
        self.home = home
        self._numbers = itertools.count()

    @property
    def plug_ins(self) -> Path:
        """Where Krita looks for the user's Python plug-ins: NAME.desktop and NAME/."""
        return self.home / ".local" / "share" / "krita" / "pykrita"

    @property
    def settings(self) -> Path:
        """Krita's kritarc; "[python]" in it says which plug-ins are on."""
        return self.home / ".config" / "kritarc"

    def install_extension(self) -> None:
        """Put the tests' own extension in place, and switch it on."""
        package = self.plug_ins / EXTENSION
        package.mkdir(parents=True)
        package.with_suffix(".desktop").write_text(DESKTOP)
        shutil.copy(INSIDE / "krita_extension.py", package / "__init__.py")
        shutil.copy(INSIDE / "script_folder.py", package)
        self.settings.parent.mkdir(exist_ok=True)
        self.settings.write_text(f"[python]\nenable_{EXTENSION}=true\n")

    def paint_without_opengl(self) -> None:
        """
        Let Krita paint its canvas itself, from its next start on.

        A virtual screen has no graphics card: OpenGL is emulated, which takes 60 ms and more for
        each picture of the window, and all that Krita shows waits for it. Only where time is
        measured, for so painted, Krita 5.2.9 was seen to crash when a document closes.
        """
        self.settings.with_name("kritadisplayrc").write_text(WITHOUT_OPENGL)

    def script(
        self,
        screen: Screen,
        text: str,
        *,
        files: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        timeout_s: float = SCRIPT_S,
        with_checkout: bool = False,
        **values: Any,
    ) -> str:
        """
        Run one Python script in a Krita, which ends with it.

        Args:
            screen: where its window opens.
            text: the script; "krita" is Krita.instance(), "application" Qt's.
            files: pictures to open; the script starts when the first one is there.
            env: what to add to Krita's environment.
            timeout_s: when to give up.
            with_checkout: as in Editors.start.
            values: further global names of the script, anything that is JSON.

        Returns:
            What it printed.

        Raises:
            EditorError: it raised, with its traceback; or Krita ended otherwise.
        """
        env = {"SMART_MATTE_TEST_ONCE": "1", **(env or {})}
        program, scripts = self._start(screen, files, env, with_checkout=with_checkout)
        with program, screen.kept_on_failure():
            answer = scripts.put(text, values)
            output = scripts.answer(answer, program, timeout_s)
            finished = program.wait(END_S)
            if finished.code:
                raise EditorError(f"Krita ended with {finished.code}: {finished.stderr}")
            return output

    @contextmanager
    def window(
        self,
        screen: Screen,
        files: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        *,
        with_checkout: bool = False,
    ) -> Iterator[Running]:
        """Start a Krita that stays, in which scripts can be run, and end it."""
        program, scripts = self._start(screen, files, env or {}, with_checkout=with_checkout)
        with program, screen.kept_on_failure():
            running = Running(program, scripts)
            running.script("", timeout_s=START_S)
            yield running

    def _start(
        self,
        screen: Screen,
        files: Sequence[Path],
        env: Mapping[str, str],
        *,
        with_checkout: bool,
    ) -> tuple[Program, ScriptFolder]:
        scripts = ScriptFolder(self.home / "tmp" / f"scripts-{next(self._numbers)}")
        wishes = {"SMART_MATTE_TEST_SCRIPTS": str(scripts.folder), "PYTHONFAULTHANDLER": "1"}
        if files:
            wishes["SMART_MATTE_TEST_PICTURE"] = "1"
        program = self.editors.start(
            ["krita", "--nosplash", *map(str, files)],
            self.home,
            {**screen.env, **wishes, **env},
            with_checkout=with_checkout,
        )
        return program, scripts

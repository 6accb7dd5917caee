"""A virtual screen with a window manager, and hands and eyes for it."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from programs import CHECKOUT, EditorError, Editors, Finished, wait_for

SIZE = (1400, 900)
PICTURES = CHECKOUT / "build" / "editors"
"""Where screenshots are left for people to look at."""

TOOLS = ("Xvfb", "openbox", "xdotool", "wmctrl", "import")
START_S = 30.0
ACTION_S = 20.0


class Screen:
    """
    An X server of its own.

    Attributes:
        env: what a program needs in its environment to open windows here.
    """

    def __init__(self, editors: Editors) -> None:
        self._editors = editors
        self._home = editors.make_home()
        size = "{}x{}x24".format(*SIZE)
        words = ["-displayfd", "1", "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
        self._server = editors.start(["Xvfb", *words], self._home)
        self._programs = [self._server]
        try:
            number = wait_for(self._number, "Xvfb starts", START_S)
            self.env = {"DISPLAY": f":{number}"}
            self._programs.append(editors.start(["openbox"], self._home, self.env))
            wait_for(lambda: self._try("wmctrl", "-m").code == 0, "openbox starts", START_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Windows and their programs go with it."""
        for program in self._programs:
            program.kill()
        self._editors.drop_home(self._home)

    @contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Keep what the screen shows, as a picture with the test's name, when something fails."""
        try:
            yield
        except BaseException:
            test = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].split()[0]
            self.screenshot("failed-" + re.sub(r"[^\w.-]", "-", test))
            raise

    def windows(self) -> dict[int, str]:
        """Ids and titles of the windows that a person sees."""
        lines = self._try("wmctrl", "-l").stdout.splitlines()
        fields = [[*line.split(None, 3), ""] for line in lines]
        return {int(window, 16): title for window, _, _, title, *_ in fields}

    def find_window(self, title: str) -> int | None:
        """Id of the first window whose title matches the pattern."""
        return next((w for w, text in self.windows().items() if re.search(title, text)), None)

    def wait_for_window(self, title: str, timeout_s: float = 60.0) -> int:
        """Wait for a window whose title matches the pattern, and give its id."""
        try:
            found = wait_for(lambda: self.find_window(title) or 0, "a window", timeout_s)
        except EditorError:
            there = sorted(self.windows().values())
            raise EditorError(f"no window {title!r} within {timeout_s:g} s; {there}") from None
        return found

    def wait_until_gone(self, title: str, timeout_s: float = 30.0) -> None:
        """Wait until no window's title matches the pattern."""
        wait_for(lambda: self.find_window(title) is None, f"{title!r} closes", timeout_s)

    def focus(self, window: int) -> None:
        """Let the keyboard go to this window."""
        self._do("xdotool", "windowactivate", "--sync", str(window))

    def maximise(self, window: int) -> None:
        """Let the window fill the screen."""
        words = ["-i", "-r", hex(window), "-b", "add,maximized_vert,maximized_horz"]
        self._do("wmctrl", *words)

    def close_window(self, window: int) -> None:
        """Ask a window to close, as its button in the title does."""
        self._do("wmctrl", "-i", "-c", hex(window))

    def place_of(self, window: int) -> tuple[int, int, int, int]:
        """x, y, width and height of a window on the screen, without its frame."""
        text = self._do("xdotool", "getwindowgeometry", "--shell", str(window)).stdout
        fields = dict(line.split("=") for line in text.split())
        return tuple(int(fields[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def click(self, x: int, y: int, button: int = 1) -> None:
        """Click at a place of the screen."""
        self._do("xdotool", "mousemove", str(x), str(y), "sleep", "0.1", "click", str(button))

    def key(self, *keys: str) -> None:
        """Press keys, each such as "Return" or "ctrl+z", in the window that has the focus."""
        self._do("xdotool", "key", "--delay", "60", *keys)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self._do("xdotool", "type", "--delay", "30", text)

    def screenshot(self, name: str) -> Path:
        """Keep what the screen shows as build/editors/SUITE/NAME.png."""
        path = PICTURES / self._editors.place.name / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = self._home / "tmp" / "screen.png"
        self._do("import", "-window", "root", str(picture))
        path.write_bytes(picture.read_bytes())
        return path

    def _number(self) -> str:
        if not self._server.is_running():
            raise EditorError(f"Xvfb ended: {self._server.stderr}")
        said = self._server.stdout
        return said.strip() if said.endswith("\n") else ""

    def _do(self, *argv: str) -> Finished:
        finished = self._try(*argv)
        if finished.code:
            raise EditorError(f"{subprocess.list2cmdline(argv)}: {finished.stderr}")
        return finished

    def _try(self, *argv: str) -> Finished:
        return self._editors.run(argv, self._home, self.env, ACTION_S)

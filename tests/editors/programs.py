"""Run programs where the editors are: with a home of their own, a deadline, and nothing left."""

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from root import NATIVE, Place

CHECKOUT = Path(__file__).resolve().parents[2]
MARK = "SMART_MATTE_TEST_RUN"
"""Environment variable by which a run's processes are found, wherever they have gone."""

PATIENCE_S = 60.0
LOOK_AGAIN_S = 0.05


class EditorError(AssertionError):
    """An editor didn't do what the test asked for; the text is what it said."""


def wait_for(find: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait until something is found, which is what isn't false."""
    deadline = time.monotonic() + timeout_s
    while not (found := find()):
        if time.monotonic() > deadline:
            raise EditorError(f"{what}: not within {timeout_s:g} s")
        time.sleep(LOOK_AGAIN_S)
    return found


@dataclass(frozen=True)
class Finished:
    """What a program that has ended left: its exit code (negative: the signal) and its words."""

    code: int
    stdout: str
    stderr: str


class Program:
    """
    A program that runs.

    Its output goes to files: a grandchild that holds it open keeps nobody waiting.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log_out, self.log_err = log.with_suffix(".out"), log.with_suffix(".err")
        with self.log_out.open("wb") as out, self.log_err.open("wb") as err:
            self.process = subprocess.Popen(  # noqa: S603  (the tests' own commands)
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def stdout(self) -> str:
        return self.log_out.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.log_err.read_text(errors="replace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout_s: float) -> Finished:
        """Wait for its end; past the deadline it is killed, which is an error."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            said = f"{self.stdout}\n{self.stderr}"
            command = " ".join(map(str, self.process.args))
            raise EditorError(f"{command}: not done within {timeout_s:g} s\n{said}") from None
        return Finished(code, self.stdout, self.stderr)

    def kill(self) -> None:
        """End it at once, and what it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Editors:
    """
    Runs programs in one place, each in a home of its choice.

    Folders keep their paths: what lies in the temporary folder is the same inside and outside. So
    a backend that runs outside is reached through the runtime folder of the home.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.mark = secrets.token_hex(8)
        self._homes: list[Path] = []
        self._numbers = itertools.count()
        for home in Path(tempfile.gettempdir()).glob("editor-*-*"):
            if not Path(f"/proc/{home.name.split('-')[1]}").exists():  # a run that was killed
                self._homes.append(home)
                self.drop_home(home)

    def close(self) -> None:
        """End every process of this run, also those that left their session; forget its homes."""
        self._end(self.processes())
        for home in list(self._homes):
            self.drop_home(home)

    def drop_home(self, home: Path) -> None:
        """End what runs in a home, and delete it."""
        self._end(self.processes(home))
        shutil.rmtree(home, ignore_errors=True)
        self._homes.remove(home)

    @staticmethod
    def _end(pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self, home: Path | None = None) -> dict[int, str]:
        """Process ids and names of what this run started (in one home) and still runs."""
        needle = f"{MARK}={self.mark}\0" if home is None else f"HOME={home}\0"
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if needle.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "comm").read_text().strip()
        return found

    def make_home(self, model: Path | None = None) -> Path:
        """A home of its own, a copy of another one where given; its path is short, for sockets."""
        home = Path(tempfile.mkdtemp(prefix=f"editor-{os.getpid()}-"))
        self._homes.append(home)
        if model is not None:
            shutil.copytree(model, home, symlinks=True, dirs_exist_ok=True)
        for name in ("gimp", "tmp", "logs"):
            (home / name).mkdir(exist_ok=True)
        for name in ("run", "session"):  # the backend's folder, and the desktop session's
            (home / name).mkdir(mode=0o700, exist_ok=True)
        return home

    def run(
        self,
        argv: Sequence[str],
        home: Path,
        env: Mapping[str, str] | None = None,
        timeout_s: float = PATIENCE_S,
        *,
        with_checkout: bool = False,
    ) -> Finished:
        """Run a program to its end; arguments as in start."""
        with self.start(argv, home, env, with_checkout=with_checkout) as program:
            return program.wait(timeout_s)

    def start(
        self,
        argv: Sequence[str],
        home: Path,
        env: Mapping[str, str] | None = None,
        *,
        with_checkout: bool = False,
    ) -> Program:
        """
        Start a program; it dies with the thread that started it.

        Args:
            argv: the program and its arguments.
            home: from make_home.
            env: what to add to its environment, which has nothing of this process's.
            with_checkout: whether it also sees, read-only, the project and the Python that runs
                these tests.
        """
        shared = _project_and_python() if with_checkout and self.place.root else []
        command = self.place.command(list(argv), shared, [Path(tempfile.gettempdir())])
        environment = {**self._environment(home), **(env or {})}
        log = home / "logs" / f"{next(self._numbers):03d}-{Path(argv[0]).name}.log"
        return Program(command, environment, log)

    def _environment(self, home: Path) -> dict[str, str]:
        path = os.environ["PATH"] if self.place.name == NATIVE else "/usr/bin:/bin"
        return {
            MARK: self.mark,
            "HOME": str(home),
            "PATH": f"{path}:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(home / "tmp"),
            "XDG_RUNTIME_DIR": str(home / "session"),
            "GIMP3_DIRECTORY": str(home / "gimp"),
            "SMART_MATTE_RUNTIME": str(home / "run"),
            "NO_AT_BRIDGE": "1",  # no accessibility bus is there
        }


def _project_and_python() -> list[Path]:
    """What a backend that a plug-in starts needs: an interpreter from outside runs there too."""
    if Path(sys.base_prefix) != Path("/usr"):
        return [CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)]
    interpreter = Path(sys.executable).resolve()
    return [CHECKOUT, Path(sys.prefix), interpreter, Path(sysconfig.get_path("stdlib"))]

"""
Find an environment with the real editors, or build one; as a program, do it ahead of the tests.

``python tests/editors/root.py trixie`` prints where it is and how long it took.
"""

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build_root.sh"
ENTER = HERE / "enter.sh"
MIRROR_VARIABLE = "SMART_MATTE_DEBIAN_MIRROR"
"""Environment variable that names Debian's mirror, in place of the one apt uses here."""

CACHE_VARIABLE = "SMART_MATTE_CACHE"
SUITES = ("trixie", "forky")
NATIVE = "native"
OLDEST = {"gimp": 3, "krita": 5}
"""Older ones have other plug-ins."""

BUILD_S = 1200
LOCK_S = BUILD_S + 300
TOOLS = ("unshare", "setpriv", "chroot")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class AbsentError(Exception):
    """There are no real editors here; the sentence is the reason for skipping."""


@dataclass(frozen=True)
class Place:
    """
    Where the editors are.

    Attributes:
        name: the suite of the root, or "native".
        root: the root's folder; None where the editors are installed on this machine.
        cache: a folder for what belongs to this root and is made once.
        stage: the empty folder on which the root is put together for each program.
    """

    name: str
    root: Path | None
    cache: Path
    stage: Path

    def command(self, argv: list[str], shared: list[Path], writable: list[Path]) -> list[str]:
        """Wrap a command so that it runs there, and is killed when this process dies."""
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        if self.root is None:
            return [*guard, *argv]
        folders = ":".join([*map(str, shared), *(f"+{folder}" for folder in writable)])
        alone = ["unshare", "--mount", "--propagation", "private"]
        enter = [str(ENTER), str(self.root), str(self.stage), folders]
        return [*guard, *alone, *enter, *argv]

    def lacks(self, *programs: str) -> str:
        """Why one of these programs can't be run; "" where all can. A root has them all."""
        if self.root is not None:
            return ""
        native = _native_editors()
        missing = [p for p in programs if p not in native and (p in OLDEST or not shutil.which(p))]
        return f"{', '.join(missing)} (new enough) isn't installed here" if missing else ""


def find_place(suite: str, say: Callable[[str], None]) -> Place:
    """
    Find the editors: a root of this Debian suite if one can be had, else those of this machine.

    Args:
        suite: one of SUITES.
        say: is told before something takes minutes.

    Raises:
        AbsentError: neither is there.
    """
    if suite not in SUITES:
        raise ValueError(f"{suite} is none of {SUITES}")
    obstacle = _obstacle_to_roots()
    if not obstacle:
        return _root_place(suite, say)
    native = _native_editors()
    if suite == SUITES[0] and native:
        versions = "-".join(f"{name}-{version}" for name, version in native.items())
        cache = cache_folder() / versions
        return Place(NATIVE, None, cache, cache)
    raise AbsentError(f"no GIMP 3 or Krita 5 here, and no root can be built: {obstacle}")


def cache_folder() -> Path:
    """Where things that take long to make are kept, outside the checkout."""
    chosen = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen).absolute() if chosen else Path(base) / "smart-matte"


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """
    Make a folder if it isn't there; of several processes one makes it and the others wait.

    It appears under its name only when it is complete.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=LOCK_S):
        if not folder.is_dir():
            partial = folder.with_name(folder.name + ".partial")
            if partial.exists():  # a build was cut off; its mounts ended with it
                shutil.rmtree(partial)
            make(partial)
            partial.rename(folder)
    return folder


def mirror_of_this_machine(apt: Path = Path("/etc/apt")) -> str:
    """
    Say where this machine gets Debian's packages from.

    Raises:
        AbsentError: its sources don't say.
    """
    chosen = os.environ.get(MIRROR_VARIABLE)
    if chosen:
        return chosen
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in files:
        if file.is_file() and file.suffix in {".list", ".sources"}:
            text = re.sub(r"(?m)^#.*\n?", "", file.read_text(encoding="utf-8"))
            sources = _deb822(text) if file.suffix == ".sources" else _one_line(text)
            for uri, suites in sources:
                if platform.freedesktop_os_release().get("VERSION_CODENAME") in suites:
                    return uri
    raise AbsentError(f"apt's sources name no Debian mirror; set {MIRROR_VARIABLE}")


def _one_line(text: str) -> Iterator[tuple[str, list[str]]]:
    for uri, suite in re.findall(r"(?m)^\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s.*\bmain\b", text):
        yield uri, [suite]


def _deb822(text: str) -> Iterator[tuple[str, list[str]]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"(?m)^([\w-]+):\s*(.*)$", stanza))
        if "deb" in fields.get("Types", "").split() and "main" in fields.get("Components", ""):
            for uri in fields.get("URIs", "").split():
                yield uri, fields.get("Suites", "").split()


def _root_place(suite: str, say: Callable[[str], None]) -> Place:
    key = hashlib.sha256(BUILD.read_bytes()).hexdigest()[:12]
    cache = cache_folder() / f"{suite}-{key}"
    (cache / "stage").mkdir(parents=True, exist_ok=True)
    root = made_once(cache / "root", lambda folder: _build(suite, folder, say))
    return Place(suite, root, cache, cache / "stage")


def _build(suite: str, folder: Path, say: Callable[[str], None]) -> None:
    mirror = mirror_of_this_machine()
    say(f"Building a Debian {suite} root with GIMP and Krita, once (minutes): {folder}")
    if not shutil.which("debootstrap"):
        for words in (["update"], ["install", "-y", "--no-install-recommends", "debootstrap"]):
            subprocess.run(["apt-get", "-q", *words], check=True, timeout=BUILD_S, stdout=2)  # noqa: S603, S607
    log = folder.parent / "build.log"
    command = ["unshare", "--mount", "--propagation", "private", BUILD]
    with log.open("wb") as file:
        code = subprocess.run(  # noqa: S603  (our own script)
            [*command, suite, mirror, KEYRING, folder],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=BUILD_S,
            check=False,
        ).returncode
    if code:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise RuntimeError(f"The Debian {suite} root can't be built ({log}):\n{end}")


def _obstacle_to_roots() -> str:
    """Why no root can be built or entered here; "" where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} isn't installed"
    if not shutil.which("debootstrap") and not shutil.which("apt-get"):
        return "debootstrap isn't installed"
    if not KEYRING.exists():
        return f"Debian's keys aren't at {KEYRING}"
    trial = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],  # noqa: S607  (the system's own)
        capture_output=True,
        check=False,
        timeout=10,
    )
    return "" if trial.returncode == 0 else "mounting isn't allowed"


@functools.cache
def _native_editors() -> dict[str, str]:
    """Versions of the editors that are installed on this machine and new enough."""
    found = {}
    for program, oldest in OLDEST.items():
        if shutil.which(program):
            answer = subprocess.run(  # noqa: S603  (an editor asked for its version)
                [program, "--version"], capture_output=True, text=True, check=False, timeout=30
            )
            version = re.search(r"(\d+)\.\d+(\.\d+)*", answer.stdout)
            if version and int(version[1]) >= oldest:
                found[program] = version[0]
    return found


if __name__ == "__main__":
    start = time.monotonic()
    for name in sys.argv[1:] or SUITES[:1]:
        found = find_place(name, print)
        sys.stdout.write(f"{found.root or NATIVE} {time.monotonic() - start:.0f} s\n")

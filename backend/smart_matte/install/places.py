"""Where GIMP 3 and Krita keep what belongs to their user."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

GIMP_DIRECTORY = "GIMP3_DIRECTORY"
"""GIMP's own variable: the whole settings folder; relative to the home folder."""

GIMP_PROGRAMS = ("gimp-console", "gimp-console-3.2", "gimp-console-3.0", "gimp-3.0", "gimp")
VERSION_S = 30
FIRST_START_S = 180
"""GIMP's first start looks at all of its plug-ins; 20 s on two busy cores."""

FLATPAK_FOLDERS = ("/var/lib/flatpak/app", ".local/share/flatpak/app", ".var/app")


@dataclass(frozen=True)
class Place:
    """
    A folder from which an editor loads plug-ins.

    Attributes:
        folder: the user's settings folder (GIMP) or resource folder (Krita).
        settings: Krita's kritarc; None where there is nothing to enable.
        shared: for an editor in a sandbox, a runtime folder that it and the backend see at the
            same path; None else.
        shared_by_flatpak: the same, where both a Flatpak and a usual editor load from here.
    """

    folder: Path
    settings: Path | None = None
    shared: Path | None = None
    shared_by_flatpak: Path | None = None


def gimp_places(
    home: Path, environment: Mapping[str, str], platform: str = sys.platform
) -> list[Place]:
    """
    The settings folders of every GIMP 3 that was started before, and what GIMP3_DIRECTORY names.

    Those of a GIMP that was never started are not made up: GIMP takes a folder that exists as a
    sign that everything is set up, and would neither take over the settings of an older version
    nor create the folders that brushes are saved to (app_run in app/app.c).

    Args:
        home: the user's home folder.
        environment: variables of the process.
        platform: as sys.platform.
    """
    found = []
    chosen = environment.get(GIMP_DIRECTORY)
    if chosen:
        found.append(Place(home / chosen))  # an absolute one stays as it is
    for folder, shared, shared_by_flatpak in _gimp_folders(home, environment, platform):
        found += [
            Place(version, None, shared, shared_by_flatpak)
            for version in sorted(folder.glob("3.*"))
            if version.is_dir() and re.fullmatch(r"3\.\d+", version.name)
        ]
    return list({place.folder: place for place in found}.values())


def has_gimp_2(home: Path, environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether there are settings of GIMP 2."""
    folders = [folder for folder, *_ in _gimp_folders(home, environment, platform)]
    return any(path.is_dir() for folder in folders for path in folder.glob("2.*"))


def find_gimp() -> tuple[str, int] | None:
    """A program on PATH that is GIMP, with its major version; one of version 3 if there is one."""
    others = None
    for name in GIMP_PROGRAMS:
        program = shutil.which(name)
        if program is None:
            continue
        try:
            answer = subprocess.run(  # noqa: S603  (GIMP, and a fixed word)
                [program, "--version"], capture_output=True, timeout=VERSION_S, check=False
            )
        except (OSError, subprocess.SubprocessError):
            continue
        version = re.search(rb"version (\d+)\.", answer.stdout)
        if version is not None and version[1] == b"3":
            return program, 3
        if version is not None:
            others = program, int(version[1])
    return others


def start_gimp_once(program: str) -> None:
    """Let GIMP set up its own folder, without a window; that it may fail is no matter here."""
    try:
        subprocess.run(  # noqa: S603  (GIMP, and fixed words)
            [program, "--no-interface", "--no-data", "--no-fonts", "--quit"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FIRST_START_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return


def krita_places(
    home: Path, environment: Mapping[str, str], platform: str = sys.platform
) -> list[Place]:
    """
    The resource folders of every Krita that was started before; the usual one where none was.

    Args:
        home: the user's home folder.
        environment: variables of the process.
        platform: as sys.platform.
    """
    if platform == "win32":
        roaming, local = _windows_folders(home, environment)
        return [Place(roaming / "krita", local / "kritarc")]
    if platform == "darwin":
        library = home / "Library"
        return [
            Place(library / "Application Support" / "krita", library / "Preferences" / "kritarc")
        ]
    data = _absolute(environment.get("XDG_DATA_HOME"), home / ".local" / "share")
    config = _absolute(environment.get("XDG_CONFIG_HOME"), home / ".config")
    usual = Place(data / "krita", config / "kritarc")
    sandboxed = []
    flatpak = home / ".var" / "app" / "org.kde.krita"
    if flatpak.is_dir():
        folder = flatpak / "data"
        settings = flatpak / "config" / "kritarc"
        sandboxed.append(Place(folder / "krita", settings, folder / "smart-matte"))
    snap = home / "snap" / "krita"
    if (snap / "current").is_dir():
        folder = snap / "current"
        settings = folder / ".config" / "kritarc"
        shared = snap / "common" / "smart-matte"
        sandboxed.append(Place(folder / ".local" / "share" / "krita", settings, shared))
    return [usual, *sandboxed] if usual.folder.is_dir() or not sandboxed else sandboxed


def is_krita_running(platform: str = sys.platform) -> bool:
    """Whether some Krita runs, as far as can be told."""
    if platform == "linux":
        return any(name == "krita" for name in _process_names())
    command = ["pgrep", "-x", "krita"]
    if platform == "win32":
        command = ["tasklist", "/NH", "/FI", "IMAGENAME eq krita.exe"]
    try:
        answer = subprocess.run(  # noqa: S603  (fixed words)
            command, capture_output=True, timeout=VERSION_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0 and (platform != "win32" or b"krita.exe" in answer.stdout)


def _gimp_folders(
    home: Path, environment: Mapping[str, str], platform: str
) -> Iterator[tuple[Path, Path | None, Path | None]]:
    """The folders with one folder per version, and what Place says of each."""
    if platform == "win32":
        yield _windows_folders(home, environment)[0] / "GIMP", None, None
    elif platform == "darwin":
        yield home / "Library" / "Application Support" / "GIMP", None, None
    else:
        flatpak = home / ".var" / "app" / "org.gimp.GIMP"
        is_flatpak = any((home / at / flatpak.name).is_dir() for at in FLATPAK_FOLDERS)
        shared = flatpak / "data" / "smart-matte"
        config = _absolute(environment.get("XDG_CONFIG_HOME"), home / ".config")
        # Flathub's GIMP is let into this one as well (--filesystem=xdg-config/GIMP).
        yield config / "GIMP", None, shared if is_flatpak else None
        yield flatpak / "config" / "GIMP", shared, None
        snap = home / "snap" / "gimp"
        yield snap / "current" / ".config" / "GIMP", snap / "common" / "smart-matte", None


def _windows_folders(home: Path, environment: Mapping[str, str]) -> tuple[Path, Path]:
    """Roaming and local application data."""
    data = home / "AppData"
    return (
        Path(environment.get("APPDATA") or data / "Roaming"),
        Path(environment.get("LOCALAPPDATA") or data / "Local"),
    )


def _absolute(named: str | None, default: Path) -> Path:
    """What a variable names; relative paths don't count (XDG Base Directory Specification)."""
    return Path(named) if named and Path(named).is_absolute() else default


def _process_names() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            yield path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # it has ended
            continue

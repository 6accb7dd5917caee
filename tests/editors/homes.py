"""Homes in which an editor was started once: it starts in seconds then, and asks nothing."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from gimp_program import Gimp
from krita_program import INSIDE, Krita
from programs import Editors
from root import HERE, made_once
from screen import Screen


def gimp_home(editors: Editors) -> Path:
    """A home in which GIMP knows its own plug-ins."""

    def warm(home: Path) -> None:
        gimp = Gimp(editors, home)
        gimp.write_settings()
        gimp.batch("")

    return _warmed(editors, "gimp", warm)


def krita_home(editors: Editors) -> Path:
    """A home in which Krita knows its brushes, and has the tests' extension."""

    def warm(home: Path) -> None:
        krita = Krita(editors, home)
        krita.install_extension()
        with Screen(editors) as screen:
            krita.script(screen, "")

    return _warmed(editors, "krita", warm)


def _warmed(editors: Editors, name: str, warm: Callable[[Path], None]) -> Path:
    def make(folder: Path) -> None:
        home = editors.make_home()
        warm(home)
        shutil.copytree(home, folder, symlinks=True, ignore=shutil.ignore_patterns("logs", "tmp"))
        editors.drop_home(home)

    files = [Path(__file__), HERE / f"{name}_program.py", *sorted(INSIDE.glob("*.py"))]
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    return made_once(editors.place.cache / f"{name}-{key}", make)

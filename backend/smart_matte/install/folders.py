"""A plug-in's folder: filled, put in place in one step, removed."""

import json
import os
import secrets
import shlex
import shutil
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import smart_matte
import smart_matte_link
from smart_matte.errors import OutputError, SmartMatteError
from smart_matte.install.catalogues import compile_catalogues
from smart_matte_link.editing.installed import FILE_NAME as FACTS_NAME

LINK = Path(smart_matte_link.__file__).parent
LEFT_OUT = {"__pycache__", "locale", "ruff.toml", "tests"}


def plugin_source(editor: str, name: str) -> Path:
    """
    Where a plug-in's own files are: in the installed package, or in the checkout.

    Args:
        editor: "gimp" or "krita".
        name: of the plug-in's folder.

    Raises:
        SmartMatteError: they are missing.
    """
    here = Path(__file__).resolve()
    for parent in (here.parent / "plugins" / editor, here.parents[3] / f"plugin_{editor}"):
        if (parent / name).is_dir():
            return parent / name
    raise SmartMatteError(
        f"This installation of Smart Matte has no plug-in for {editor.title()}; install it again."
    )


def backend_command() -> list[str]:
    """The program that starts the backend: this very installation's."""
    name = "smart-matte.exe" if sys.platform == "win32" else "smart-matte"
    running = Path(sys.argv[0]).absolute()
    for program in (Path(sysconfig.get_path("scripts"), name), running):
        if program.name == name and os.access(program, os.X_OK) and program.is_file():
            return [str(program)]
    return [sys.executable, "-m", "smart_matte.cli"]


def facts_for(shared: Path | None, shared_by_flatpak: Path | None = None) -> dict[str, Any]:
    """
    What goes into backend.json.

    Args:
        shared: the runtime folder of an editor that is in a sandbox.
        shared_by_flatpak: the same where only some of the editors that load the plug-in are.
    """
    facts: dict[str, Any] = {"command": backend_command(), "version": smart_matte.__version__}
    if shared:
        facts |= _in_sandbox(shared)
    if shared_by_flatpak:
        facts["sandbox"] = _in_sandbox(shared_by_flatpak)
    return facts


def serve_command(shared: Path) -> str:
    """What users type to start a backend that serves in a folder."""
    program = "smart-matte" if shutil.which("smart-matte") else shlex.join(backend_command())
    return f"{program} serve --folder {shlex.quote(str(shared))}"


def put(source: Path, target: Path, facts: Mapping[str, Any], *, dev: bool = False) -> None:
    """
    Put a plug-in in place; whatever stops this, there is a whole one or none.

    Args:
        source: folder of its own files.
        target: folder to be made or replaced.
        facts: for backend.json.
        dev: link to the sources instead of copying them.

    Raises:
        OutputError: the folder is somebody else's, or can't be written.
    """
    check_ours(target)
    new, old = _leftovers(target)
    with disk_troubles(target):
        _forget_leftovers(target)
        try:
            fill(source, new, facts, dev=dev)
            if target.exists():
                target.rename(old)
            new.rename(target)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            _forget_leftovers(target)


def remove(target: Path) -> bool:
    """
    Remove a plug-in; False where there is none.

    Raises:
        OutputError: the folder is somebody else's, or can't be removed.
    """
    if not os.path.lexists(target):
        return False
    check_ours(target)
    with disk_troubles(target):
        shutil.rmtree(target)
        _forget_leftovers(target)
    return True


def check_ours(target: Path) -> None:
    """
    Leave alone what we didn't put there.

    Raises:
        OutputError: there is something, without our backend.json.
    """
    is_ours = not target.is_symlink() and (target / FACTS_NAME).is_file()
    if os.path.lexists(target) and not is_ours:
        raise OutputError(
            f"{target} wasn't put there by “smart-matte install”; move it away and try again."
        )


def fill(source: Path, folder: Path, facts: Mapping[str, Any], *, dev: bool = False) -> None:
    """
    Fill a new folder with a plug-in and all that it needs.

    Args:
        source: folder of its own files.
        folder: to be made.
        facts: for backend.json.
        dev: link to the sources instead of copying them.
    """
    _bring(source, folder, dev=dev)
    _bring(LINK, folder / LINK.name, dev=dev)
    compile_catalogues(folder / LINK.name / "locale")
    for path in folder.glob("*.py"):
        if path.read_bytes()[:2] == b"#!":  # GIMP starts it as a program
            path.chmod(path.stat().st_mode | 0o111)
    content = json.dumps(dict(facts), indent=2, ensure_ascii=False)
    (folder / FACTS_NAME).write_text(content + "\n", encoding="utf-8")


def pack(folder: Path, archive: Path) -> None:
    """
    Write everything below a folder into a zip, in one step.

    Raises:
        OutputError: it can't be written.
    """
    temporary = archive.with_name(f".{archive.name}.{secrets.token_hex(4)}")
    with disk_troubles(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
                for path in sorted(folder.rglob("*")):
                    file.write(path, path.relative_to(folder))
            temporary.replace(archive)
        finally:
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """
    Write a file in one step.

    Raises:
        OutputError: it can't be written; an older one is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk_troubles(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            if path.exists():
                shutil.copymode(path, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def disk_troubles(path: Path) -> Iterator[None]:
    """What the system refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or path} can't be written ({error.strerror or error}); check its"
            " permissions and the free space, and try again."
        ) from error


def _bring(source: Path, folder: Path, *, dev: bool) -> None:
    """Copy the files of a folder, or link to them; caches, tests and catalogues stay behind."""
    folder.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name in LEFT_OUT or path.name.startswith("."):
            continue
        if path.is_dir():
            _bring(path, folder / path.name, dev=dev)
        elif dev:
            (folder / path.name).symlink_to(path.resolve())
        else:
            shutil.copyfile(path, folder / path.name)


def _leftovers(target: Path) -> tuple[Path, Path]:
    """Where a plug-in is while it is made, and while it is replaced; no editor looks there."""
    return target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")


def _forget_leftovers(target: Path) -> None:
    for leftover in _leftovers(target):
        shutil.rmtree(leftover, ignore_errors=True)


def _in_sandbox(shared: Path) -> dict[str, str]:
    return {"folder": str(shared), "serve": serve_command(shared)}

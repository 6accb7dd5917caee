"""The link runs wherever an editor's Python does: 3.9, nothing installed."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "backend" / "smart_matte_link"
FILES = sorted(PACKAGE.rglob("*.py"))

EXERCISE = """
import pathlib, sys, tempfile
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import smart_matte_link
package = pathlib.Path(sys.argv[1], "smart_matte_link")
for path in package.rglob("*.py"):
    parts = path.relative_to(package.parent).with_suffix("").parts
    __import__(".".join(part for part in parts if part != "__init__"))
from smart_matte_link.client import Client
from smart_matte_link.connection import prepare_folder, read_connection, write_connection
from smart_matte_link.envelope import decode, encode
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Begin, ConnectionInfo, Output, Plane, new_job_id
from smart_matte_link.processes import start_of_process
plane = Plane("image", 4, 3, "BGRA", "u16", "linear")
begin = Begin((plane,), (Output("alpha", "GRAY", "u8"),), {"decontaminate": 50.0}, 5.0, True)
assert decode(encode(begin, 0, new_job_id()), protocol=1).body == begin
folder = pathlib.Path(tempfile.mkdtemp(), "run")
prepare_folder(folder)
try:
    Client("test", "1", folder=folder, start=False).connect()
except LinkError as error:
    assert error.code == "unreachable"
info = ConnectionInfo("1.0", 1, start_of_process(1) or "-", "ipc:///x", "ab" * 32, "1", "cd" * 16)
write_connection(folder, info)
assert read_connection(folder) == info
print("well")
"""


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_imports_only_the_standard_library_and_its_own_package(path: Path) -> None:
    assert {*imported_packages(path)} <= {*sys.stdlib_module_names, "smart_matte_link"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_written_in_the_syntax_of_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_the_files_are_all_there() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_the_package_works_in_the_pythons_of_editors(version: str) -> None:
    python = working_python(version)
    if python is None:
        pytest.skip(f"no working python{version} on PATH")
    answer = subprocess.run(  # noqa: S603  (a Python and fixed words)
        [python, "-I", "-W", "error", "-c", EXERCISE, str(PACKAGE.parent)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.stdout.strip(), answer.stderr) == ("well", "")


def working_python(version: str) -> str | None:
    """A Python of this version that starts; a version manager's stand-in may not."""
    python = shutil.which(f"python{version}")
    if python is None:
        return None
    answer = subprocess.run(  # noqa: S603  (a Python and fixed words)
        [python, "-c", ""], capture_output=True, timeout=60, check=False
    )
    return python if answer.returncode == 0 else None

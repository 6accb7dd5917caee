"""A clock that is set, or jumps, can't end anything: time is measured by the monotonic one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import smart_matte.service
import smart_matte_link

WALL_CLOCK = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
FOLDERS = [Path(module.__path__[0]) for module in (smart_matte.service, smart_matte_link)]


def wall_clock_uses(source: str) -> Iterator[int]:
    """Line numbers where the wall clock is read, or a name for it is imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node.value).rpartition(".")[2]
            if node.attr in WALL_CLOCK.get(name, ()):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (node.lineno for name in node.names if name.name in WALL_CLOCK["time"])


def test_service_and_link_never_read_the_wall_clock() -> None:
    files = [path for folder in FOLDERS for path in folder.rglob("*.py")]
    assert len(files) > 30
    found = [f"{path.name}:{line}" for path in files for line in wall_clock_uses(path.read_text())]
    assert found == []


def test_the_wall_clock_would_be_found() -> None:
    source = """
import time, datetime
from time import time as now
a = time.time()
b = datetime.datetime.now()
c = datetime.date.today()
d = time.monotonic()
"""
    assert sorted(wall_clock_uses(source)) == [3, 4, 5, 6]

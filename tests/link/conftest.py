"""Fixtures for the link: a folder for sockets, and backends that follow a script."""

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("smart_matte_link") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "backend"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private runtime folder whose path is short enough for a Unix socket."""
    path = Path(tempfile.mkdtemp(prefix="link-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)

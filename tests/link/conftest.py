"""Fixture for the link: a folder for sockets."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private runtime folder whose path is short enough for a Unix socket."""
    path = Path(tempfile.mkdtemp(prefix="link-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)

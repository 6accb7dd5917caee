"""Fixtures for the service: private folders, brokers with fake workers, logs."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_harness import Backend, running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private runtime folder whose path is short enough for a Unix socket."""
    path = Path(tempfile.mkdtemp(prefix="service-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def backend(folder: Path) -> Iterator[Backend]:
    """A broker of the test's own."""
    with running(folder) as backend:
        yield backend


@pytest.fixture(scope="module", params=["", "tcp://127.0.0.1:*"], ids=["ipc", "tcp"])
def shared_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A broker that all tests of a file share: none of them may harm it."""
    path = Path(tempfile.mkdtemp(prefix="service-"))
    with running(path, endpoint=request.param) as backend:
        yield backend
        assert backend.process.poll() is None, "the broker has died"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Handlers and levels of the root logger are put back."""
    root = logging.getLogger()
    before, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.raiseExceptions = raising

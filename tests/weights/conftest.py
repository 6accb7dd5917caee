"""A store and a manifest of one's own, and a server to fetch from."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from misbehaving_server import Server

from smart_matte.weights import manifest
from smart_matte.weights.manifest import Entry


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def store_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store; requests to this machine go past any proxy."""
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "store"


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the manifest by one of these entries."""

    def replace(*entries: Entry) -> None:
        path = tmp_path / "manifest.json"
        root = {"version": manifest.VERSION, "weights": [asdict(entry) for entry in entries]}
        path.write_text(json.dumps(root))
        monkeypatch.setattr(manifest, "manifest_path", lambda: path)

    return replace

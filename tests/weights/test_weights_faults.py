"""Whatever happens to a disk, a file or a process: the right weights are loaded, or none."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import full_disk
import misbehaving_server as behaving
import pytest
import torch
from bad_weights import SAFETENSORS, flipped, truncated, write_malicious
from full_disk import Disk
from misbehaving_server import Server
from published import PTH, STATE_DICT, describe, describe_file
from safetensors.torch import save

from smart_matte import weights
from smart_matte.engine.models.weights_check import check_weights
from smart_matte.errors import WeightsError
from smart_matte.weights import files, store
from smart_matte.weights.download import Patience, download
from smart_matte.weights.manifest import Entry

Publish = Callable[..., None]


@pytest.fixture
def tiny(server: Server, publish: Publish) -> Entry:
    """An entry that the server publishes."""
    server.content = PTH
    entry = describe(PTH, (server.url("tiny.pth"),))
    publish(entry)
    return entry


def check_tiny(name: str, state_dict: dict[str, torch.Tensor]) -> None:
    check_weights(name, state_dict, STATE_DICT)


def loaded() -> set[str]:
    return set(weights.load_state_dict("tiny"))


# A full disk


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("full_for", [1, 10**9])
def test_a_disk_full_at_any_write_leaves_no_part_and_the_earlier_version(
    tmp_path: Path, store_folder: Path, full_for: int
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(save({"own": torch.ones(3)}))

    def fetch_on(disk: Disk) -> None:
        disk.full_for = full_for
        weights.import_files([own], "tiny")
        sentence = ""
        with full_disk.mounted(disk):
            try:
                weights.fetch("tiny")
            except WeightsError as error:
                sentence = str(error)
        assert bool(sentence) == (disk.writes >= disk.full_from)
        if sentence:
            assert loaded() == {"own"}
            assert "is full; free " in sentence
            assert "kB of space" in sentence or "bytes of space" in sentence
        else:
            assert loaded() == set(STATE_DICT)
        assert not list(store_folder.glob("*.tmp"))
        original = store_folder / "downloads" / "tiny" / "tiny.pth"
        assert not original.exists() or original.read_bytes() == PTH

    # note, its sync; the file, its sync; weights and facts, a write and a sync each
    assert full_disk.for_each_write(fetch_on) == 8


@pytest.mark.usefixtures("tiny")
def test_a_fetch_goes_on_when_the_disk_has_room_again() -> None:
    with full_disk.mounted(Disk(full_from=3)), pytest.raises(WeightsError, match="is full"):
        weights.fetch("tiny")
    weights.fetch("tiny")
    assert loaded() == set(STATE_DICT)


# Damage


@pytest.fixture
def installed(tiny: Entry) -> Path:
    weights.fetch(tiny.name)
    return store.path_of("tiny")


def test_damaged_weights_are_never_loaded(installed: Path) -> None:
    good = installed.read_bytes()
    for damaged in (*truncated(good, 16), *flipped(good, 100)):
        installed.write_bytes(damaged)
        with pytest.raises(WeightsError, match="smart-matte weights fetch tiny"):
            weights.load_state_dict("tiny")
        assert weights.verify()[0].kind == "broken"
    installed.write_bytes(good)
    assert loaded() == set(STATE_DICT)


def test_weights_that_are_swapped_after_the_look_are_not_loaded(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = store.look

    def look_and_swap(name: str) -> store.State:
        state = look(name)
        content = installed.read_bytes()
        installed.write_bytes(content[:-4] + b"\0\0\0?")  # the last number, and nothing else
        return state

    monkeypatch.setattr(store, "look", look_and_swap)
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.load_state_dict("tiny")


def test_damaged_downloads_are_never_installed(tiny: Entry, server: Server) -> None:
    for damaged in (*truncated(PTH, 16), *flipped(PTH, 24)):
        server.content = damaged
        with pytest.raises(WeightsError, match="could not be fetched"):
            weights.install.fetch_entry(tiny, patience=Patience(tries=1, stall_s=1))
        assert not weights.is_installed("tiny")
        assert not list(store.folder().rglob("*.pth"))


def test_weights_through_a_link_are_held_to_the_same(installed: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    installed.rename(elsewhere)
    installed.symlink_to(elsewhere)
    assert loaded() == set(STATE_DICT)
    elsewhere.write_bytes(SAFETENSORS[:-1] + b"?")
    with pytest.raises(WeightsError):
        weights.load_state_dict("tiny")


# Malice


@pytest.mark.usefixtures("tiny")
def test_malicious_files_are_refused_and_nothing_of_them_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / "malicious"
    folder.mkdir()
    paths = write_malicious(folder, canary)
    assert len(paths) >= 40
    pickle.loads(paths[0].read_bytes())  # noqa: S301  (the trap works)
    canary.unlink()
    for path in paths:
        for name in ("tiny", None):
            with pytest.raises(WeightsError) as caught:
                weights.import_files([path], name, check=check_tiny)
            assert "\n" not in str(caught.value), path.name
    assert not canary.exists()
    assert not weights.is_installed("tiny")


# A process that is killed

DOWNLOAD = """
import os, signal, sys
from pathlib import Path
from smart_matte.weights.download import Patience, download
from smart_matte.weights.manifest import WeightsFile

url, size, sha256, destination, stop = sys.argv[1:]

def progress(_name, done, _total):
    if done >= int(stop):
        os.kill(os.getpid(), signal.SIGKILL)

file = WeightsFile("big.pth", int(size), sha256, (url,))
download(file, Path(destination), progress, Patience(tries=1, stall_s=5))
"""


def kill_and_resume(server: Server, folder: Path, points: int) -> None:
    """Kill a download at points evenly spread, each going on where the last one ended."""
    server.content = torch.arange(200_000).numpy().tobytes()
    file = describe_file(server.content, (server.url("big.pth"),), "big.pth")
    destination = folder / "big.pth"
    for point in range(points):
        stop = point * file.bytes // points
        server.plan = [behaving.slow]
        ended = subprocess.run(  # noqa: S603  (our own script)
            [
                *(sys.executable, "-c", DOWNLOAD, *file.urls, str(file.bytes), file.sha256),
                *(str(destination), str(stop)),
            ],
            check=False,
        )
        assert ended.returncode == -9
        assert not destination.exists()
        assert (folder / "big.pth.part").stat().st_size >= stop
    download(file, destination, lambda *_: None, Patience(tries=1))
    assert destination.read_bytes() == server.content
    assert files.sha256_of(destination) == file.sha256
    assert len(server.requests) == points + 1
    assert sum("Range" in seen for seen in server.requests) >= points - 1
    assert [path.name for path in folder.iterdir()] == ["big.pth"]


def test_a_download_that_is_killed_again_and_again_ends_bit_exact(
    server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    kill_and_resume(server, folder, 4)

"""Weights come into the store whole, verified, once, and only under an accepted licence."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import misbehaving_server as behaving
import pytest
import torch
from misbehaving_server import Server
from published import PTH, STATE_DICT, describe, describe_file, pth_bytes
from safetensors.torch import save_file

from smart_matte import weights
from smart_matte.errors import WeightsError
from smart_matte.weights import files, install, licences, store
from smart_matte.weights.manifest import Entry

Publish = Callable[..., None]


@pytest.fixture
def tiny(server: Server, publish: Publish) -> Entry:
    """An entry that the server publishes."""
    server.content = PTH
    entry = describe(PTH, (server.url("tiny.pth"),))
    publish(entry)
    return entry


def is_tiny_installed() -> bool:
    loaded = weights.load_state_dict("tiny")
    return loaded.keys() == STATE_DICT.keys() and all(
        torch.equal(loaded[key], tensor) for key, tensor in STATE_DICT.items()
    )


def test_fetching_installs_and_removes_the_original(tiny: Entry, store_folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    installed = weights.fetch("tiny", lambda *what: told.append(what))
    assert is_tiny_installed()
    assert installed.verified_source
    assert installed.sources == {"tiny.pth": tiny.files[0].sha256}
    assert told[-1] == ("tiny.pth", len(PTH), len(PTH))
    assert list(store_folder.rglob("*.pth*")) == []


@pytest.mark.usefixtures("tiny")
def test_what_is_installed_is_not_fetched_again(server: Server) -> None:
    first = weights.fetch("tiny")
    assert weights.fetch("tiny") == first
    assert len(server.requests) == 1


@pytest.mark.usefixtures("tiny")
def test_what_a_killed_process_left_behind_is_removed(store_folder: Path) -> None:
    weights.fetch("tiny")
    left = store_folder / "downloads" / "tiny" / "tiny.pth"
    left.parent.mkdir()
    left.write_bytes(PTH)
    weights.fetch("tiny")
    assert not left.exists()


@pytest.mark.usefixtures("tiny")
def test_what_is_broken_is_fetched_again() -> None:
    weights.fetch("tiny")
    content = bytearray(store.path_of("tiny").read_bytes())
    content[-1] ^= 1  # only the whole SHA-256 tells
    store.path_of("tiny").write_bytes(content)
    assert weights.verify()[0].kind == "broken"
    weights.fetch("tiny")
    assert weights.verify()[0].kind == "installed"
    assert is_tiny_installed()


@pytest.mark.usefixtures("tiny")
def test_fetching_replaces_a_variant_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(pth_bytes({"own": torch.ones(1)}))
    weights.import_files([own], "tiny")
    assert weights.fetch("tiny").verified_source
    assert is_tiny_installed()


@pytest.mark.usefixtures("tiny")
def test_a_failed_fetch_keeps_what_was_installed(server: Server, tmp_path: Path) -> None:
    own = tmp_path / "own.pth"
    own.write_bytes(pth_bytes({"own": torch.ones(1)}))
    weights.import_files([own], "tiny")
    server.plan = [behaving.status(404)]
    with pytest.raises(WeightsError, match="404"):
        weights.fetch("tiny")
    assert weights.load_state_dict("tiny").keys() == {"own"}


def test_a_file_that_cannot_be_converted_is_not_installed(server: Server, publish: Publish) -> None:
    server.content = pth_bytes({"state_dict": {}})
    publish(describe(server.content, (server.url(),)))
    with pytest.raises(WeightsError, match="flat dictionary"):
        weights.fetch("tiny")
    assert not weights.is_installed("tiny")


def test_entries_of_several_files_fetch_them_all(server: Server, shared_data: Path) -> None:
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    entry = weights.find_entry("deeplabv3-mobilenetv2")
    here = [replace(file, urls=(server.url(file.name),)) for file in entry.files]

    def by_name(handler: behaving.Handler) -> None:
        handler.server.content = (folder / handler.path.lstrip("/")).read_bytes()
        handler.server.etag = ""
        behaving.well(handler)

    server.plan = [by_name, by_name]
    installed = install.fetch_entry(replace(entry, files=tuple(here)))
    assert list(installed.sources.values()) == [file.sha256 for file in entry.files]
    assert weights.is_installed("deeplabv3-mobilenetv2")


# Licences


def test_a_forbidding_licence_is_shown_and_must_be_accepted_once(
    tiny: Entry, server: Server, publish: Publish
) -> None:
    publish(replace(tiny, commercial_use=False, licence="Look, don't sell"))
    with pytest.raises(WeightsError, match=r"Look, don't sell.*--accept-licence") as caught:
        weights.fetch("tiny")
    assert caught.value.exit_code == 6
    assert server.requests == []
    assert weights.fetch("tiny", accept_licence=True).accepted_licence
    shutil.rmtree(store.folder() / "downloads", ignore_errors=True)
    store.path_of("tiny").unlink()
    weights.fetch("tiny")  # accepted before
    assert is_tiny_installed()


def test_changed_terms_must_be_accepted_again(tiny: Entry, publish: Publish) -> None:
    licences.accept(replace(tiny, commercial_use=False, licence="old terms"))
    publish(replace(tiny, commercial_use=False, licence="new terms"))
    with pytest.raises(WeightsError, match="new terms"):
        weights.fetch("tiny")


def test_an_unreadable_acceptance_is_none(tiny: Entry) -> None:
    entry = replace(tiny, commercial_use=False)
    licences.accept(entry)
    assert licences.is_accepted(entry)
    (store.folder() / "tiny.licence.json").write_text("{")
    assert not licences.is_accepted(entry)


def test_importing_asks_for_the_licence_too(tiny: Entry, publish: Publish, tmp_path: Path) -> None:
    publish(replace(tiny, commercial_use=False))
    given = tmp_path / "given.pth"
    given.write_bytes(PTH)
    for name in (None, "tiny"):
        with pytest.raises(WeightsError, match="--accept-licence"):
            weights.import_files([given], name)
    assert not weights.is_installed("tiny")
    weights.import_files([given], accept_licence=True)
    assert is_tiny_installed()


# Importing


@pytest.mark.usefixtures("tiny")
def test_a_published_file_is_recognised_under_any_name(tmp_path: Path) -> None:
    given = tmp_path / "download (1)"
    given.write_bytes(PTH)
    (installed,) = weights.import_files([given])
    assert (installed.name, installed.verified_source) == ("tiny", True)
    assert is_tiny_installed()
    assert given.read_bytes() == PTH


@pytest.mark.usefixtures("tiny")
def test_a_folder_is_searched(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "notes.txt").write_text("of the same size".ljust(len(PTH)))
    (folder / "tiny.pth").write_bytes(PTH)
    (folder / "more").mkdir()
    assert [installed.name for installed in weights.import_files([folder])] == ["tiny"]


@pytest.mark.usefixtures("tiny")
def test_importing_removes_a_begun_download(tmp_path: Path) -> None:
    begun = store.folder() / "downloads" / "tiny"
    begun.mkdir(parents=True)
    (begun / "tiny.pth.part").write_bytes(PTH[:100])
    given = tmp_path / "tiny.pth"
    given.write_bytes(PTH)
    weights.import_files([given])
    assert not begun.exists()


@pytest.mark.parametrize("content", [PTH[:-1], PTH[:-1] + b"?", b""])
@pytest.mark.usefixtures("tiny")
def test_an_unknown_file_is_refused(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "given.pth"
    given.write_bytes(content)
    with pytest.raises(WeightsError, match=r"given\.pth is none of the published .*--as NAME"):
        weights.import_files([given])


@pytest.mark.parametrize("content", [None, PTH[:-1]])
@pytest.mark.usefixtures("tiny")
def test_a_folder_without_weights_is_said_to_hold_none(
    tmp_path: Path, content: bytes | None
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    if content is not None:
        (folder / "other.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"given holds none of the published .*--as NAME"):
        weights.import_files([folder])


@pytest.mark.usefixtures("tiny")
def test_an_empty_folder_cannot_be_taken_as_weights(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    with pytest.raises(WeightsError, match=r"are read from \.pth"):
        weights.import_files([folder], "tiny")


def refuse_own(name: str, state_dict: dict[str, torch.Tensor]) -> None:
    if "own" in state_dict:
        raise WeightsError(f"These are not the weights of {name}.")


@pytest.mark.usefixtures("tiny")
def test_tensors_that_the_check_refuses_replace_nothing(tmp_path: Path) -> None:
    weights.fetch("tiny", check=refuse_own)
    before = [path.read_bytes() for path in sorted(store.folder().glob("tiny.*"))]
    given = tmp_path / "own.safetensors"
    save_file({"own": torch.ones(3)}, given)
    with pytest.raises(WeightsError, match="not the weights of tiny"):
        weights.import_files([given], "tiny", check=refuse_own)
    assert [path.read_bytes() for path in sorted(store.folder().glob("tiny.*"))] == before
    assert is_tiny_installed()


def test_what_is_fetched_is_checked_before_it_is_kept(server: Server, publish: Publish) -> None:
    server.content = pth_bytes({"own": torch.ones(3)})
    publish(describe(server.content, (server.url(),)))
    with pytest.raises(WeightsError, match="not the weights of tiny"):
        weights.fetch("tiny", check=refuse_own)
    assert not weights.is_installed("tiny")


@pytest.mark.usefixtures("tiny")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "absent.pth", pipe):
        with pytest.raises(WeightsError, match="no file or folder"):
            weights.import_files([path])


@pytest.mark.usefixtures("tiny")
def test_a_file_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.pth"
    given.write_bytes(PTH)

    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(install, "sha256_of", refuse)
    with pytest.raises(WeightsError, match=r"given\.pth can't be read \(Permission denied\)"):
        weights.import_files([given])


@pytest.mark.usefixtures("tiny")
def test_a_variant_of_ones_own_is_installed_as_unverified(tmp_path: Path) -> None:
    given = tmp_path / "own.safetensors"
    save_file({"own": torch.full((3,), 2.0)}, given)
    (installed,) = weights.import_files([given], "tiny")
    assert not installed.verified_source
    assert installed.sources == {"own.safetensors": files.sha256_of(given)}
    assert weights.load_state_dict("tiny")["own"].tolist() == [2, 2, 2]


@pytest.mark.usefixtures("tiny")
def test_naming_the_weights_of_a_published_file_verifies_it(tmp_path: Path) -> None:
    given = tmp_path / "given.pth"
    given.write_bytes(PTH)
    assert weights.import_files([given], "tiny")[0].verified_source


@pytest.fixture
def pair(publish: Publish, tmp_path: Path) -> Path:
    """A folder with two files that belong together."""
    folder = tmp_path / "pair"
    folder.mkdir()
    described = []
    for name in ("deeplabv3.xml", "deeplabv3.bin"):
        (folder / name).write_bytes(name.encode())
        described.append(describe_file(name.encode(), name=name))
    publish(describe(b"", format="openvino-ir", files=tuple(described)))
    return folder


@pytest.mark.parametrize("given", ["deeplabv3.xml", "deeplabv3.bin", "."])
@pytest.mark.parametrize("name", [None, "tiny"])
def test_one_of_two_files_finds_the_other_beside_it(
    pair: Path, monkeypatch: pytest.MonkeyPatch, given: str, name: str | None
) -> None:
    seen: list[list[str]] = []

    def convert(weights_format: str, originals: list[Path]) -> dict[str, torch.Tensor]:
        assert weights_format == "openvino-ir"
        seen.append([path.name for path in originals])
        return STATE_DICT

    monkeypatch.setattr("smart_matte.weights.convert.convert", convert)
    (installed,) = weights.import_files([pair / given], name)
    assert seen == [["deeplabv3.xml", "deeplabv3.bin"]]
    assert installed.verified_source


@pytest.mark.parametrize("name", [None, "tiny"])
def test_half_a_pair_is_refused(pair: Path, name: str | None) -> None:
    (pair / "deeplabv3.bin").unlink()
    with pytest.raises(WeightsError, match=r"\.bin"):
        weights.import_files([pair / "deeplabv3.xml"], name)


@pytest.mark.usefixtures("tiny")
def test_two_files_for_one_are_refused(tmp_path: Path) -> None:
    given = [tmp_path / "a.pth", tmp_path / "b.pth"]
    for path in given:
        path.write_bytes(PTH)
    with pytest.raises(WeightsError, match=r"\.pth"):
        weights.import_files(given, "tiny")


@pytest.mark.parametrize("given", ["deeplabv3.xml", "deeplabv3.bin", "."])
def test_the_real_openvino_files_are_imported(shared_data: Path, given: str) -> None:
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    (installed,) = weights.import_files([folder / given])
    assert installed.verified_source
    assert weights.verify()[0].kind == "installed"
    tensors = weights.load_state_dict("deeplabv3-mobilenetv2")
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


# Interruptions. The weights are big enough that a slow server takes seconds.

FETCH = """
import json, sys
from smart_matte.weights.download import Patience
from smart_matte.weights.install import fetch_entry
from smart_matte.weights.manifest import Entry, WeightsFile

values = json.loads(sys.argv[1])
files = tuple(WeightsFile(**{**file, "urls": tuple(file["urls"])}) for file in values["files"])
fetch_entry(Entry(**{**values, "files": files}), patience=Patience(tries=3, stall_s=5))
"""


@pytest.fixture
def big(server: Server, publish: Publish) -> Entry:
    server.content = pth_bytes({"weight": torch.arange(600_000, dtype=torch.float32)})
    entry = describe(server.content, (server.url("tiny.pth"),))
    publish(entry)
    return entry


@contextmanager
def fetching(entry: Entry) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603  (our own interpreter and script)
        [sys.executable, "-c", FETCH, json.dumps(asdict(entry))]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_fetch_that_is_killed_is_continued_and_never_leaves_a_wrong_file(
    big: Entry, server: Server, store_folder: Path
) -> None:
    part = store_folder / "downloads" / "tiny" / "tiny.pth.part"
    original = part.with_name("tiny.pth")
    for share in (0.2, 0.5, 0.8):
        server.plan = [behaving.slow]
        with fetching(big) as process:
            while not part.is_file() or part.stat().st_size < share * len(server.content):
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not original.exists()
        assert not store.path_of("tiny").exists()
    came_before = part.stat().st_size
    weights.fetch("tiny")
    assert server.requests[-1]["Range"] == f"bytes={came_before}-"
    assert len(server.requests) == 4
    assert weights.load_state_dict("tiny")["weight"][-1] == 599_999
    assert not part.exists()


def test_two_processes_at_once_fetch_once(big: Entry, server: Server) -> None:
    server.plan = [behaving.slow]
    with fetching(big) as first, fetching(big) as second:
        assert (first.wait(60), second.wait(60)) == (0, 0)
    assert len(server.requests) == 1
    assert weights.verify()[0].kind == "installed"


# Full disks


def test_a_disk_too_small_is_noticed_before_anything_is_fetched(
    big: Entry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=big.bytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WeightsError, match=r"2\.4 MB free where 4\.8 MB are needed"):
        weights.fetch("tiny")
    assert server.requests == []


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real file system of 1 MiB, whose smallness is noticed only when writing fails."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.name != "posix" or os.geteuid() != 0 or not mount or not unmount:
        pytest.skip("mounting a small disk takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run([mount, *options], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("this machine doesn't let a test mount a disk")
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(folder / "store"))
    for module in (install, store):
        monkeypatch.setattr(module, "require_free_bytes", lambda *_: None)
    yield folder
    subprocess.run([unmount, str(folder)], check=True)  # noqa: S603


def grow(folder: Path, size: str) -> None:
    mount = shutil.which("mount") or "mount"
    options = ["-o", f"remount,size={size}", str(folder)]
    subprocess.run([mount, *options], check=True)  # noqa: S603


@pytest.mark.usefixtures("big")
def test_a_disk_that_fills_up_is_a_sentence_at_every_stage_and_nothing_is_lost(
    small_disk: Path, server: Server
) -> None:
    with pytest.raises(WeightsError, match=r"The disk that holds .* is full"):
        weights.fetch("tiny")  # while downloading
    assert weights.verify() == []

    grow(small_disk, "3m")
    with pytest.raises(WeightsError, match=r"The disk that holds .* is full"):
        weights.fetch("tiny")  # while keeping what was converted
    assert weights.verify() == []
    assert list((small_disk / "store").glob("*.safetensors*")) == []

    grow(small_disk, "16m")
    weights.fetch("tiny")
    assert weights.verify()[0].kind == "installed"
    assert len(server.requests) == 2
    assert "Range" in server.requests[1]

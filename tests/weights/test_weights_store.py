"""What is kept can be loaded, what is damaged is said to be, with the command that mends it."""

import errno
import json
import os
import random
from pathlib import Path

import pytest
import torch
from published import PTH, STATE_DICT, describe

from smart_matte import weights
from smart_matte.errors import WeightsError
from smart_matte.weights import store
from smart_matte.weights.files import require_free_bytes, write_whole

ENTRY = describe(PTH)
SOURCES = {"tiny.pth": ENTRY.files[0].sha256}


@pytest.fixture(autouse=True)
def only_tiny(publish: object) -> None:
    publish(ENTRY)  # type: ignore[operator]


@pytest.fixture
def kept() -> Path:
    with store.locked("tiny"):
        store.keep(ENTRY, STATE_DICT, SOURCES, verified_source=True)
    return store.path_of("tiny")


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_what_was_kept_is_loaded(kept: Path) -> None:
    assert weights.is_installed("tiny")
    loaded = weights.load_state_dict("tiny")
    assert loaded.keys() == STATE_DICT.keys()
    for key, tensor in STATE_DICT.items():
        assert torch.equal(loaded[key], tensor)
    assert sorted(path.name for path in kept.parent.iterdir()) == [
        "tiny.json",
        "tiny.lock",
        "tiny.safetensors",
    ]


def test_what_is_noted_describes_the_file(kept: Path) -> None:
    noted = json.loads((kept.parent / "tiny.json").read_text())
    assert noted["bytes"] == kept.stat().st_size
    assert noted["sha256"] == store.sha256_of(kept)
    assert noted["sources"] == SOURCES
    assert noted["verified_source"] is True
    assert noted["converter"] == store.CONVERTER
    assert noted["licence"] == "MIT"
    assert noted["accepted_licence"] is False
    assert noted["installed_at"].endswith("+00:00")


def test_missing_weights_name_the_command_that_fetches_them() -> None:
    assert not weights.is_installed("tiny")
    with pytest.raises(WeightsError) as caught:
        weights.load_state_dict("tiny")
    assert str(caught.value) == (
        "The weights “tiny” are not installed; run: smart-matte weights fetch tiny"
    )


@pytest.mark.parametrize("ask", [weights.is_installed, weights.load_state_dict, weights.fetch])
def test_an_unknown_name_is_a_sentence(ask: object) -> None:
    with pytest.raises(WeightsError, match="no weights called “huge”"):
        ask("huge")  # type: ignore[operator]


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_file_cut_short_is_noticed_when_loading(kept: Path, sixteenth: int) -> None:
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) * sixteenth // 16])
    assert not weights.is_installed("tiny")
    with pytest.raises(WeightsError, match=r"are broken .* run: smart-matte weights fetch tiny$"):
        weights.load_state_dict("tiny")


def test_a_damaged_header_is_noticed_when_loading(kept: Path) -> None:
    flip(kept, 9)
    with pytest.raises(WeightsError, match="are broken"):
        weights.load_state_dict("tiny")


def test_every_changed_bit_is_found_by_verify(kept: Path) -> None:
    chance = random.Random(0)  # noqa: S311  (which bits to try)
    size = kept.stat().st_size
    for _ in range(200):
        position, bit = chance.randrange(size), chance.randrange(8)
        flip(kept, position, bit)
        (state,) = weights.verify(["tiny"])
        assert state.kind == "broken"
        assert "run: smart-matte weights fetch tiny" in state.sentence
        flip(kept, position, bit)
    (state,) = weights.verify(["tiny"])
    assert (state.kind, state.sentence) == ("installed", "")


def test_a_file_that_is_gone_is_broken_not_missing(kept: Path) -> None:
    kept.unlink()
    with pytest.raises(WeightsError, match="the file is gone"):
        weights.load_state_dict("tiny")


def test_something_else_in_the_files_place_is_broken(kept: Path) -> None:
    kept.unlink()
    os.mkfifo(kept)
    with pytest.raises(WeightsError, match="are broken"):
        weights.load_state_dict("tiny")


@pytest.mark.parametrize("noted", ["", "{}", "[]", '{"name": "tiny"}', "\x00"])
def test_damaged_notes_are_broken(kept: Path, noted: str) -> None:
    (kept.parent / "tiny.json").write_text(noted)
    with pytest.raises(WeightsError, match=r"are broken .*run: smart-matte weights fetch tiny$"):
        weights.load_state_dict("tiny")


def test_a_folder_that_cannot_be_looked_into_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", "/" + "long" * 100)  # the system refuses such names
    assert not weights.is_installed("tiny")
    with pytest.raises(WeightsError, match="are broken"):
        weights.load_state_dict("tiny")


def test_a_fingerprint_changes_with_the_file_and_with_nothing_else(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {store.fingerprint("tiny")}
    weights.load_state_dict("tiny")
    assert store.fingerprint("tiny") in seen
    content, found = kept.read_bytes(), kept.stat()
    write_whole(kept, content)  # same bytes, same time, and yet another file
    os.utime(kept, ns=(found.st_atime_ns, found.st_mtime_ns))
    seen.add(store.fingerprint("tiny"))
    kept.write_bytes(content[:-1])
    seen.add(store.fingerprint("tiny"))
    kept.unlink()
    seen.add(store.fingerprint("tiny"))
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "another"))
    seen.add(store.fingerprint("tiny"))
    assert len(seen) == 5


def test_an_installation_stopped_midway_is_none(kept: Path) -> None:
    (kept.parent / "tiny.json").unlink()  # what is written last
    with pytest.raises(WeightsError, match="are not installed"):
        weights.load_state_dict("tiny")


@pytest.mark.usefixtures("kept")
def test_what_another_converter_made_must_be_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.is_installed("tiny")
    monkeypatch.setattr(store, "CONVERTER", store.CONVERTER + 1)
    with pytest.raises(WeightsError, match="another version of Smart Matte"):
        weights.load_state_dict("tiny")


def test_a_broken_variant_of_ones_own_is_mended_by_importing_it_again() -> None:
    with store.locked("tiny"):
        store.keep(ENTRY, STATE_DICT, {"my run.pth": "0" * 64}, verified_source=False)
    flip(store.path_of("tiny"), 9)
    with pytest.raises(WeightsError, match=r"weights import 'my run\.pth' --as tiny$"):
        weights.load_state_dict("tiny")


@pytest.mark.usefixtures("kept")
def test_verify_without_names_looks_at_what_is_there(publish: object) -> None:
    other = describe(b"other", name="other")
    publish(ENTRY, other)  # type: ignore[operator]
    assert [state.name for state in weights.verify()] == ["tiny"]
    assert [state.kind for state in weights.verify(["other", "tiny"])] == ["missing", "installed"]


def test_a_licence_that_needs_accepting_is_noted_as_accepted() -> None:
    entry = describe(PTH, commercial_use=False)
    with store.locked("tiny"):
        assert store.keep(entry, STATE_DICT, SOURCES, verified_source=True).accepted_licence


def test_the_folder_is_the_users_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for nothing in (None, ""):
        if nothing is None:
            monkeypatch.delenv("SMART_MATTE_WEIGHTS")
        else:
            monkeypatch.setenv("SMART_MATTE_WEIGHTS", nothing)
        assert store.folder().parts[-2:] == ("smart-matte", "weights")
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", "~/elsewhere")
    assert store.folder() == Path.home() / "elsewhere"


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "here" / "file"
    path.parent.mkdir()
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match="is full"):
        write_whole(path, b"new")
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_too_small_a_disk_is_noticed_before_writing(tmp_path: Path) -> None:
    require_free_bytes(tmp_path, 1)
    with pytest.raises(WeightsError, match="are needed; free some"):
        require_free_bytes(tmp_path, 1 << 60)


def test_a_folder_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "file" / "store"))
    with pytest.raises(WeightsError, match="can't be used"), store.locked("tiny"):
        pass

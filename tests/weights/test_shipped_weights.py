"""Weights that come with the program are there at once, and the user's own go before them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from published import STATE_DICT
from safetensors.torch import save_file

from smart_matte import weights
from smart_matte.errors import WeightsError
from smart_matte.weights import manifest, store
from smart_matte.weights.files import sha256_of
from smart_matte.weights.manifest import SHIPPED, Entry, WeightsFile, find_entry, parse_manifest


@pytest.fixture
def shipped(tmp_path: Path, publish: Callable[..., None]) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_file(STATE_DICT, path)
    file = WeightsFile(path.name, path.stat().st_size, sha256_of(path), ())
    publish(Entry("tiny", "a few", "Apache-2.0", True, "here", SHIPPED, (file,)))
    return path


def test_they_are_installed_without_being_fetched(shipped: Path, store_folder: Path) -> None:
    assert weights.is_installed("tiny")
    torch.testing.assert_close(weights.load_state_dict("tiny"), STATE_DICT)
    assert weights.fetch("tiny").sha256 == sha256_of(shipped)
    assert [state.kind for state in weights.verify()] == ["installed"]
    assert not list(store_folder.glob("*.safetensors"))


def test_ones_own_take_their_place_until_they_are_fetched_again(
    shipped: Path, tmp_path: Path
) -> None:
    before = store.fingerprint("tiny")
    own = {key: tensor + 1 for key, tensor in STATE_DICT.items()}
    save_file(own, tmp_path / "own.safetensors")
    weights.import_files([tmp_path / "own.safetensors"], "tiny")
    torch.testing.assert_close(weights.load_state_dict("tiny"), own)
    assert store.fingerprint("tiny") != before
    assert weights.fetch("tiny").sha256 == sha256_of(shipped)
    torch.testing.assert_close(weights.load_state_dict("tiny"), STATE_DICT)
    assert store.fingerprint("tiny") == before


def test_a_changed_byte_is_found_and_the_cure_is_to_install_again(shipped: Path) -> None:
    content = bytearray(shipped.read_bytes())
    content[-1] ^= 1
    shipped.write_bytes(content)
    for use in (weights.load_state_dict, weights.fetch):
        with pytest.raises(WeightsError, match=r"SHA-256 is wrong\); install Smart Matte again"):
            use("tiny")
    shipped.unlink()
    assert not weights.is_installed("tiny")


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    "wrong", [{"urls": ["https://example.org/x"]}, {"name": "other.safetensors"}]
)
def test_a_manifest_with_another_file_or_an_address_for_them_is_refused(
    wrong: dict[str, object],
) -> None:
    text = manifest.manifest_path().read_text()
    assert parse_manifest(text) == (find_entry("tiny"),)
    key, value = next(iter(wrong.items()))
    old = '"urls": []' if key == "urls" else '"name": "tiny.safetensors"'
    new = f'"{key}": {value!r}'.replace("'", '"')
    with pytest.raises(ValueError, match="can't be"):
        parse_manifest(text.replace(old, new))


def test_what_is_shipped_is_what_the_manifest_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert store.look("fba-compact", whole=True).is_shipped

"""The weights commands show, fetch, import and verify, and end with the right exit code."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from smart_matte import weights
from smart_matte.cli import weights as command
from smart_matte.engine.models.deeplabv3_mobilenetv2 import DeepLabV3MobileNetV2
from smart_matte.engine.options import MATTERS, NETWORK_SEGMENTERS
from smart_matte.errors import WeightsError
from smart_matte.weights import manifest, store


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its signature)
        """Keep the tests' output clean."""


def pth_bytes(value: float) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((3,), value)}, buffer)
    return buffer.getvalue()


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that a server on this machine publishes, and its address."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def free_and_guarded(
    published: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two entries, one of them under a licence that forbids commercial use."""
    folder, address = published
    described = []
    for name, value, commercial_use in (("free", 1.0, True), ("guarded", 2.0, False)):
        content = pth_bytes(value)
        (folder / f"{name}.pth").write_bytes(content)
        file = {
            "name": f"{name}.pth",
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "urls": [f"{address}/{name}.pth"],
        }
        described.append(
            {
                "name": name,
                "summary": f"Good for tests of what is {name}.",
                "licence": "MIT" if commercial_use else "Look, don't sell",
                "commercial_use": commercial_use,
                "source": "https://example.com/weights",
                "format": "torch-state-dict",
                "files": [file],
            }
        )
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"version": manifest.VERSION, "weights": described}))
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    monkeypatch.setattr(command, "check_weights", lambda *_: None)  # no network is called free
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def run(*arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(command.weights_group, [str(each) for each in arguments], answer)


def succeed(*arguments: str | Path, answer: str | None = None) -> str:
    result = run(*arguments, answer=answer)
    assert result.exception is None, result.exception
    return result.stdout


def fail(*arguments: str | Path, answer: str | None = None) -> str:
    """The sentence that a command ends with, whose exit code is 6."""
    result = run(*arguments, answer=answer)
    assert isinstance(result.exception, WeightsError)
    assert result.exception.exit_code == 6
    return str(result.exception)


def listed() -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(succeed("list", "--json"))}


def damage(name: str) -> None:
    content = bytearray(store.path_of(name).read_bytes())
    content[-1] ^= 1
    store.path_of(name).write_bytes(content)


@pytest.fixture
def somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_can_ask", lambda: True)


def test_list_shows_every_entry_with_its_licence_and_state() -> None:
    succeed("fetch", "free")
    shown = " ".join(succeed("list").split())
    for words in ("free installed", "guarded not installed", "Look, don't sell", "use: no", "MIT"):
        assert words in shown
    assert str(store.folder()) in shown.replace(" ", "")


def test_list_as_json_tells_the_same() -> None:
    succeed("fetch", "free")
    items = listed()
    assert [items[name]["state"] for name in ("free", "guarded")] == ["installed", "missing"]
    assert items["free"]["verified_source"] is True
    assert items["guarded"]["verified_source"] is None
    assert items["guarded"]["commercial_use"] is False
    assert items["guarded"]["licence_accepted"] is False
    assert items["guarded"]["licence"] == "Look, don't sell"


def test_list_names_the_shipped_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert set(listed()) == {entry.name for entry in weights.entries()}


def test_fetch_installs_what_is_named() -> None:
    assert "free: installed" in succeed("fetch", "free")
    assert weights.load_state_dict("free")["weight"].tolist() == [1, 1, 1]


def test_fetch_shows_its_progress_on_the_error_stream() -> None:
    result = run("fetch", "free")
    assert "free.pth" in result.stderr
    assert "free.pth" not in result.stdout


def test_fetch_asks_nobody_when_nobody_is_there() -> None:
    assert "--accept-licence" in fail("fetch", "free", "guarded")
    assert not weights.is_installed("free")  # licences come before downloads


def test_fetch_goes_on_when_the_licence_is_accepted() -> None:
    assert "guarded: installed" in succeed("fetch", "guarded", "--accept-licence")
    assert listed()["guarded"]["licence_accepted"] is True


@pytest.mark.usefixtures("somebody_is_there")
def test_fetch_shows_the_licence_and_asks_once() -> None:
    result = run("fetch", "guarded", answer="y\n")
    assert result.exception is None
    assert "Look, don't sell" in result.stderr
    assert "https://example.com/weights" in result.stderr
    store.path_of("guarded").unlink()
    assert "Do you accept" not in run("fetch", "guarded").stderr
    assert weights.is_installed("guarded")


@pytest.mark.usefixtures("somebody_is_there")
@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_fetch_installs_nothing_when_the_answer_is_no(answer: str) -> None:
    assert "may not be used commercially" in fail("fetch", "guarded", answer=answer)
    assert not weights.is_installed("guarded")


def test_an_unknown_name_is_a_sentence_before_anything_is_fetched() -> None:
    assert "no weights called “huge”" in fail("fetch", "free", "huge")
    assert not weights.is_installed("free")
    assert "no weights called “huge”" in fail("verify", "huge")


def test_fetch_says_what_went_wrong(published: tuple[Path, str]) -> None:
    (published[0] / "free.pth").unlink()
    assert "HTTP 404" in fail("fetch", "free")


def test_import_recognises_a_file(tmp_path: Path) -> None:
    given = tmp_path / "given.bin"
    given.write_bytes(pth_bytes(1.0))
    line = succeed("import", given)
    assert "free: installed" in line
    assert "unverified" not in line


def test_import_as_says_that_the_source_is_unverified(tmp_path: Path) -> None:
    given = tmp_path / "own.pth"
    given.write_bytes(pth_bytes(3.0))
    assert "is none of the published" in fail("import", given)
    assert "unverified source" in succeed("import", given, "--as", "free")
    assert "unverified" in succeed("list")
    assert "unverified source" in succeed("verify")
    assert listed()["free"]["verified_source"] is False
    assert weights.load_state_dict("free")["weight"].tolist() == [3, 3, 3]


@pytest.mark.usefixtures("somebody_is_there")
def test_import_asks_for_the_licence_of_what_it_recognises(tmp_path: Path) -> None:
    given = tmp_path / "given.pth"
    given.write_bytes(pth_bytes(2.0))
    assert "may not be used" in fail("import", given, answer="n\n")
    assert "guarded: installed" in succeed("import", given, answer="y\n")


def test_the_real_openvino_files_are_imported_and_verified(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "store"))
    folder = shared_data / "deeplabv3_mobilenetv2_voc"
    assert "deeplabv3-mobilenetv2: installed" in succeed("import", folder / "deeplabv3.xml")
    assert "deeplabv3-mobilenetv2: installed" in succeed("verify")


@pytest.fixture
def real_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped manifest and the networks' own check, on a store of one's own."""
    monkeypatch.undo()
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "store"))


@pytest.mark.usefixtures("real_entries")
def test_import_refuses_tensors_of_another_network_and_keeps_what_was_installed(
    tmp_path: Path,
) -> None:
    name = "deeplabv3-mobilenetv2"
    own, wrong = tmp_path / "own.safetensors", tmp_path / "wrong.safetensors"
    save_file(DeepLabV3MobileNetV2().state_dict(), own)
    save_file({"weight": torch.zeros(3)}, wrong)
    assert f"{name}: installed" in succeed("import", own, "--as", name)
    before = store.path_of(name).read_bytes()
    assert fail("import", wrong, "--as", name) == (
        f"These are not the weights of {name}: input_scale is missing; import another file, or"
        f" run: smart-matte weights fetch {name}"
    )
    assert store.path_of(name).read_bytes() == before
    assert "every byte as it was" in succeed("verify", name)


def test_fetch_checks_the_tensors_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, state_dict: dict[str, torch.Tensor]) -> None:
        raise WeightsError(f"{name} can't have {list(state_dict)}.")

    monkeypatch.setattr(command, "check_weights", refuse)
    assert fail("fetch", "free") == "free can't have ['weight']."
    assert not weights.is_installed("free")


@pytest.mark.usefixtures("real_entries")
@pytest.mark.parametrize("arguments", [(), ("fetch",)])
def test_help_fetches_what_auto_uses(arguments: tuple[str, ...]) -> None:
    fetched = [
        line.split()[3]
        for line in succeed(*arguments, "--help").splitlines()
        if line.strip().startswith("smart-matte weights fetch")
    ]
    assert fetched
    assert set(fetched) <= {MATTERS[0], NETWORK_SEGMENTERS[0]}


def test_verify_has_nothing_to_complain_about_when_nothing_is_installed() -> None:
    assert "No weights are installed" in succeed("verify")


def test_verify_passes_what_is_whole() -> None:
    succeed("fetch", "free")
    assert "free: installed, every byte" in succeed("verify")
    assert "free: installed, every byte" in succeed("verify", "free")


def test_verify_names_the_command_that_mends_and_that_command_does() -> None:
    succeed("fetch", "free")
    succeed("fetch", "guarded", "--accept-licence")
    damage("free")
    result = run("verify")
    assert isinstance(result.exception, WeightsError)
    assert "1 of 2" in str(result.exception)
    assert "guarded: installed" in result.stdout
    mend = "smart-matte weights "
    line = next(line for line in result.stdout.splitlines() if mend in line)
    succeed(*line.split(mend)[1].split())
    assert "broken" not in succeed("verify")


def test_verify_counts_a_named_entry_that_is_missing() -> None:
    result = run("verify", "free")
    assert isinstance(result.exception, WeightsError)
    assert "run: smart-matte weights fetch free" in result.stdout


@pytest.mark.parametrize("name", ["", "list", "fetch", "import", "verify"])
def test_help_shows_examples(name: str) -> None:
    shown = succeed(*([name] if name else []), "--help")
    assert "Examples:" in shown
    assert f"  smart-matte weights {name}" in shown


@pytest.mark.parametrize("name", ["fetch", "import"])
def test_nothing_to_do_is_a_usage_error(name: str) -> None:
    assert run(name).exit_code == 2

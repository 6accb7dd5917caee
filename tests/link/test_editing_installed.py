"""Which backend belongs to an installed plug-in."""

import json
from pathlib import Path

import pytest

from smart_matte_link.editing import installed
from smart_matte_link.editing.installed import Installed, read_installed
from smart_matte_link.errors import LinkError

SERVE = "smart-matte serve --folder /shared"
UNREACHABLE = LinkError("unreachable", "No backend is running.", "Start one.")


def write(folder: Path, facts: object) -> None:
    (folder / "backend.json").write_text(json.dumps(facts), encoding="utf-8")


def test_what_the_installer_wrote_is_read(tmp_path: Path):
    write(tmp_path, {"command": ["/opt/ü/smart-matte"], "version": "1.2", "newer": [1]})
    assert read_installed(tmp_path) == Installed(("/opt/ü/smart-matte",), "1.2")


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b""])
def test_a_plug_in_put_there_by_hand_looks_for_the_program_itself(tmp_path: Path, content):
    if content is not None:
        (tmp_path / "backend.json").write_bytes(content)
    assert read_installed(tmp_path) == Installed()


def test_what_is_for_the_sandbox_counts_only_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, {"command": ["s"], "sandbox": {"folder": "/shared", "serve": SERVE}})
    monkeypatch.setattr(installed, "IN_FLATPAK", tmp_path / "absent")
    assert read_installed(tmp_path) == Installed(("s",))
    monkeypatch.setattr(installed, "IN_FLATPAK", tmp_path / "backend.json")
    assert read_installed(tmp_path) == Installed(("s",), folder="/shared", serve=SERVE)


def test_in_a_sandbox_the_error_names_the_command_to_type():
    error = Installed(serve=SERVE).explained(UNREACHABLE)
    assert error.code == "unreachable"
    assert str(error).endswith(f"Open a terminal and type: {SERVE}")


def test_elsewhere_and_for_other_errors_the_error_is_what_it_was():
    other = LinkError("busy", "The queue is full.")
    assert Installed().explained(UNREACHABLE) is UNREACHABLE
    assert Installed(serve=SERVE).explained(other) is other


def test_in_a_sandbox_nothing_is_started(folder: Path):
    sandboxed = Installed(("false",), folder=str(folder), serve=SERVE)
    with sandboxed.client("gimp") as client, pytest.raises(LinkError) as caught:
        client.connect()
    assert str(caught.value) == "No backend is running. Start one with “smart-matte serve”."
    assert list(folder.iterdir()) == []

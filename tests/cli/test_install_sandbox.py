"""The command that users type for an editor in a sandbox."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from smart_matte.cli.commands import cli
from smart_matte.errors import SmartMatteError
from smart_matte.install.folders import facts_for
from smart_matte_link.client import Client
from smart_matte_link.connection import FOLDER_VARIABLE

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sandboxes of Linux")


def test_the_command_to_type_serves_in_the_shared_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "the usual one"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    facts = facts_for(tmp_path / "it's shared")
    shared = Path(facts["folder"])
    command = [*shlex.split(facts["serve"]), "--detach"]
    try:
        subprocess.run(command, check=True, timeout=60, capture_output=True)  # noqa: S603  (ours)
        with Client("test", "1", folder=shared, start=False) as client:
            assert client.status().pid
        status = CliRunner().invoke(cli, ["status", "--folder", str(shared)])
        assert "running" in status.output
    finally:
        stopped = CliRunner().invoke(cli, ["stop", "--drain", "0", "--folder", str(shared)])
    assert "has stopped" in stopped.output
    assert not (tmp_path / "the usual one").exists()


def test_status_looks_in_the_named_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "the usual one"))
    result = CliRunner().invoke(cli, ["status", "--folder", str(tmp_path / "other")])
    assert isinstance(result.exception, SmartMatteError)
    assert os.environ[FOLDER_VARIABLE] == str(tmp_path / "other")

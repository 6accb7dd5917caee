"""``smart-matte serve``, ``status`` and ``stop``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from broker_harness import Backend, is_alive, wait_until
from click.testing import CliRunner, Result

from smart_matte.cli.service import serve_command, status_command, stop_command
from smart_matte.errors import SmartMatteError
from smart_matte_link.connection import read_connection
from smart_matte_link.processes import kill_process


def run(command, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, SmartMatteError):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def surroundings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_MATTE_RUNTIME", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))


def test_status_shows_what_there_is_to_people_and_programs(backend: Backend) -> None:
    backend.is_healthy()
    output = run(status_command).output
    for part in ("running", str(backend.process.pid), "cpu", "fake", "broker.log", "libzmq"):
        assert part in output.replace("\n", "")
    reply = json.loads(run(status_command, "--json").output)
    assert reply["pid"] == backend.process.pid
    assert reply["models"] == [
        {"name": "fake", "kind": "matter", "is_installed": True, "is_loaded": True}
    ]
    assert {"devices", "workers", "uptime_s", "versions", "log_file", "jobs_waiting"} <= set(reply)


def test_status_without_a_backend_says_so_and_starts_none(folder: Path) -> None:
    with pytest.raises(SmartMatteError, match="No backend is running"):
        run(status_command)
    assert read_connection(folder) is None


def test_stop_without_a_backend_is_fine() -> None:
    result = run(stop_command)
    assert "No backend" in result.output
    assert result.exit_code == 0


def test_a_second_serve_leaves_at_once_and_stop_ends_the_first(backend: Backend) -> None:
    command = [sys.executable, "-m", "smart_matte.service"]
    done = subprocess.run(  # noqa: S603  (our own program)
        command, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0
    assert str(backend.process.pid) in done.stdout
    assert done.stderr == ""
    assert "stopped" in run(stop_command).output
    assert backend.process.wait(5) == 0


def test_serve_refuses_other_machines(folder: Path) -> None:
    command = [sys.executable, "-m", "smart_matte.service", "tcp://0.0.0.0:1"]
    done = subprocess.run(  # noqa: S603  (our own program)
        command, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 78
    assert "SSH tunnel" in done.stderr
    assert not (folder / "connection.json").exists()


def test_serve_detached_lives_on(folder: Path) -> None:
    output = run(serve_command, "--detach").output
    info = read_connection(folder)
    try:
        assert str(info.pid) in output
        assert os.getsid(info.pid) != os.getsid(0)
        assert "running" in run(status_command).output
        assert (folder / "state" / "smart-matte" / "log" / "broker.log").is_file()
        run(stop_command, "--drain", "0")
        wait_until(lambda: not is_alive(info.pid))
    finally:
        if is_alive(info.pid):
            kill_process(info.pid)

"""A full disk costs log lines, and a start that says so; never half a connection file."""

import logging
import os
import secrets
from pathlib import Path

import full_disk
import pytest
from full_disk import Disk

from smart_matte.service import lifecycle
from smart_matte.service import log as log_module
from smart_matte.service.lifecycle import ServeError, serve
from smart_matte.service.log import open_log
from smart_matte.service.settings import Settings
from smart_matte_link.connection import read_connection, write_connection
from smart_matte_link.messages import SPECIFICATION, ConnectionInfo


def some_info() -> ConnectionInfo:
    return ConnectionInfo(
        SPECIFICATION, os.getpid(), "started", "ipc:///x", secrets.token_hex(32), "0", "0" * 32
    )


def test_a_connection_file_is_written_whole_or_the_older_one_stays(folder: Path) -> None:
    def write_on(disk: Disk) -> None:
        older, newer = some_info(), some_info()
        write_connection(folder, older)
        with full_disk.mounted(disk):
            try:
                write_connection(folder, newer)
            except OSError:
                assert disk.writes >= disk.full_from
                assert read_connection(folder) == older
            else:
                assert read_connection(folder) == newer
        assert [path.name for path in folder.iterdir()] == ["connection.json"]

    assert full_disk.for_each_write(write_on) == 2  # and the sync


@pytest.mark.usefixtures("logging_as_before")
def test_a_log_goes_on_after_any_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_module, "FILE_BYTES_MAX", 400)

    def log_on(disk: Disk) -> None:
        disk.full_for = 3
        folder = tmp_path / str(disk.full_from)
        with full_disk.mounted(disk):
            open_log(folder / "broker.log")
            for number in range(12):
                logging.getLogger("x").info("line %d", number)
            for handler in logging.getLogger().handlers:
                handler.close()
        written = "".join(path.read_text() for path in folder.iterdir())
        lost = [number for number in range(12) if f"line {number}\n" not in written]
        assert len(lost) <= disk.full_for
        if not lost or lost[-1] < 11:
            assert "line 11\n" in (folder / "broker.log").read_text()

    assert full_disk.for_each_write(log_on) >= 12
    assert capsys.readouterr().err == ""


def test_a_start_on_a_full_disk_says_how_much_is_needed_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMART_MATTE_RUNTIME", str(folder))

    # The test's own process keeps its limits and its logging.
    monkeypatch.setattr(lifecycle, "_limit_process", lambda: None)
    monkeypatch.setattr(lifecycle, "open_log", lambda *_, **__: None)
    with full_disk.mounted(Disk(full_from=1)), pytest.raises(ServeError) as caught:
        serve(Settings(log_folder=folder / "log"), ("true",))
    assert "bytes of space" in str(caught.value)
    assert "No space left" in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["backend.lock"]

"""Logs are small, for their owner, and never in the way; time survives a pause."""

import errno
import io
import logging
import os
import re
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from smart_matte.service import log as log_module
from smart_matte.service.clock import STEP_MAX_S, LoopClock
from smart_matte.service.log import open_log

pytestmark = pytest.mark.usefixtures("logging_as_before")


def test_a_log_and_its_folder_are_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "broker.log"
    before = os.umask(0)
    try:
        assert open_log(path) == path
    finally:
        os.umask(before)
    logging.getLogger("x").info("a line")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "a line" in path.read_text()


def test_old_lines_make_room_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "FILE_BYTES_MAX", 1000)
    path = tmp_path / "broker.log"
    open_log(path)
    for number in range(200):
        logging.getLogger("x").info("line %d", number)
    files = [file for file in tmp_path.glob("broker.log*") if file.suffix != ".lock"]
    assert len(files) == 5
    assert max(file.stat().st_size for file in files) <= 1000
    assert "line 199" in path.read_text()
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_place_that_takes_no_log_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert open_log(tmp_path / "file" / "broker.log") is None
    logging.getLogger("x").info("nowhere")


class FullDisk(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_log(tmp_path / "broker.log")
    handler = logging.getLogger().handlers[-1]
    handler.setStream(FullDisk()).close()
    logging.getLogger("x").info("a line")
    assert capsys.readouterr().err == ""


def test_a_pause_counts_for_no_more_than_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LoopClock()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    clock.advance()
    assert clock.now == STEP_MAX_S
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600.5)
    clock.advance()
    assert clock.now == STEP_MAX_S + 0.5


WRITE_MANY = """
import logging, sys
from pathlib import Path
from smart_matte.service import log

log.FILE_BYTES_MAX, log.FILES_MAX = 1000, 1000
log.open_log(Path(sys.argv[1]))
for number in range(1000):
    logging.getLogger("x").info("%s says %d;", sys.argv[2], number)
"""


def test_of_two_processes_that_write_neither_loses_a_line(tmp_path: Path) -> None:
    path = tmp_path / "broker.log"
    writers = [
        subprocess.Popen(  # noqa: S603  (our own lines)
            [sys.executable, "-c", WRITE_MANY, str(path), name]
        )
        for name in ("one", "two")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    said = Counter(
        found
        for file in tmp_path.glob("broker.log*")
        for found in re.findall(r"(\w+) says (\d+);", file.read_text())
    )
    assert said == {(name, str(number)): 1 for name in ("one", "two") for number in range(1000)}
    assert len(list(tmp_path.glob("broker.log*"))) > 20


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "broker.log"
    open_log(path)
    logging.getLogger("x").info("a line")
    path.rename(tmp_path / "elsewhere")
    logging.getLogger("x").info("another line")
    assert "another line" in path.read_text()
    assert "another" not in (tmp_path / "elsewhere").read_text()

"""The runtime folder and the connection file: only its owner's, and never half of it."""

import dataclasses
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smart_matte_link import connection
from smart_matte_link.connection import (
    FILE_NAME,
    check_folder,
    is_running,
    prepare_folder,
    read_connection,
    remove_connection,
    runtime_folder,
    write_connection,
)
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import SPECIFICATION, ConnectionInfo
from smart_matte_link.processes import kill_process, start_of_process

PERMISSIONS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
NOBODY = 65534

INFO = ConnectionInfo(
    SPECIFICATION,
    os.getpid(),
    start_of_process(os.getpid()),
    "ipc:///run/user/1/smart-matte/s",
    "ab" * 32,
    "1.0",
    "cd" * 16,
)

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("any_umask")
def test_folder_and_file_are_private_under_every_umask(folder: Path) -> None:
    run = folder / "run"
    prepare_folder(run)
    write_connection(run, INFO)
    assert run.stat().st_mode & PERMISSIONS == 0o700
    assert (run / FILE_NAME).stat().st_mode & PERMISSIONS == 0o600
    assert read_connection(run) == INFO
    assert [path.name for path in run.iterdir()] == [FILE_NAME]


def test_a_new_file_replaces_the_old_one_in_one_step(folder: Path) -> None:
    newer = dataclasses.replace(INFO, epoch="ef" * 16)
    write_connection(folder, INFO)
    with (folder / FILE_NAME).open("rb") as old:
        write_connection(folder, newer)
        assert b"cdcd" in old.read()
    assert read_connection(folder) == newer


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, fault: int
) -> None:
    write_connection(folder, INFO)

    def fail(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    if call == "write":
        monkeypatch.setattr(connection, "to_json", fail)
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match=os.strerror(fault)):
        write_connection(folder, dataclasses.replace(INFO, epoch="ef" * 16))
    monkeypatch.undo()
    assert read_connection(folder) == INFO
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"garbage",
        b"\xff" * 100,
        b"{}",
        b'{"pid": true}',
        b"[" * 70_000,
        b" " * 100_000,
    ],
    ids=repr,
)
def test_a_file_that_makes_no_sense_is_as_good_as_none(folder: Path, content: bytes) -> None:
    path = folder / FILE_NAME
    path.write_bytes(content[:70_000])
    path.chmod(0o600)
    assert read_connection(folder) is None
    write_connection(folder, INFO)
    assert read_connection(folder) == INFO


def test_every_truncation_of_the_file_is_as_good_as_none(folder: Path) -> None:
    write_connection(folder, INFO)
    whole = (folder / FILE_NAME).read_bytes()
    for length in range(len(whole)):
        (folder / FILE_NAME).write_bytes(whole[:length])
        assert read_connection(folder) is None


def test_no_folder_and_no_file_mean_no_backend(folder: Path) -> None:
    assert read_connection(folder) is None
    assert read_connection(folder / "missing") is None


def make_link_file(folder: Path) -> None:
    (folder / FILE_NAME).symlink_to("/etc/passwd")


def make_link_to_own_file(folder: Path) -> None:
    write_connection(folder, INFO)
    (folder / FILE_NAME).rename(folder / "real")
    (folder / FILE_NAME).symlink_to(folder / "real")


def make_open_file(folder: Path) -> None:
    write_connection(folder, INFO)
    (folder / FILE_NAME).chmod(0o644)


def make_group_file(folder: Path) -> None:
    write_connection(folder, INFO)
    (folder / FILE_NAME).chmod(0o640)


def make_open_folder(folder: Path) -> None:
    write_connection(folder, INFO)
    folder.chmod(0o755)


def make_writable_folder(folder: Path) -> None:
    write_connection(folder, INFO)
    folder.chmod(0o730)


def make_folder_of_a_file(folder: Path) -> None:
    (folder / FILE_NAME).mkdir(mode=0o700)


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / FILE_NAME, 0o600)


def make_foreign_file(folder: Path) -> None:
    write_connection(folder, INFO)
    os.chown(folder / FILE_NAME, NOBODY, NOBODY)


def make_foreign_folder(folder: Path) -> None:
    write_connection(folder, INFO)
    os.chown(folder, NOBODY, NOBODY)


@pytest.mark.parametrize(
    "spoil",
    [
        make_link_file,
        make_link_to_own_file,
        make_open_file,
        make_group_file,
        make_open_folder,
        make_writable_folder,
        make_folder_of_a_file,
        make_pipe,
        pytest.param(make_foreign_file, marks=needs_root),
        pytest.param(make_foreign_folder, marks=needs_root),
    ],
)
def test_nothing_that_others_could_have_made_is_used(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(folder)
    with pytest.raises(
        LinkError, match=r"link|open to other|no file|opened|somebody else"
    ) as caught:
        read_connection(folder)
    assert caught.value.code == "unreachable"
    assert "Remove it" in caught.value.hint
    assert "ab" * 32 not in str(caught.value)


def test_a_folder_that_is_a_link_a_file_or_open_is_refused(folder: Path) -> None:
    (folder / "real").mkdir(mode=0o700)
    (folder / "link").symlink_to(folder / "real")
    (folder / "file").touch()
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    for name in ("link", "file", "open"):
        with pytest.raises(LinkError):
            prepare_folder(folder / name)
        with pytest.raises(LinkError):
            write_connection(folder / name, INFO)
    with pytest.raises(LinkError):
        check_folder(folder / "missing")
    with pytest.raises(LinkError):
        prepare_folder(folder / "file" / "below")


def test_a_link_in_the_files_place_is_replaced_and_not_followed(folder: Path) -> None:
    victim = folder / "victim"
    victim.write_text("untouched")
    (folder / FILE_NAME).symlink_to(victim)
    write_connection(folder, INFO)
    assert victim.read_text() == "untouched"
    assert read_connection(folder) == INFO


def test_only_the_own_file_is_removed(folder: Path) -> None:
    newer = dataclasses.replace(INFO, epoch="ef" * 16)
    write_connection(folder, newer)
    remove_connection(folder, INFO)
    assert read_connection(folder) == newer
    remove_connection(folder, newer)
    assert read_connection(folder) is None
    remove_connection(folder, newer)


def test_the_runtime_folder_follows_the_environment(folder: Path) -> None:
    assert runtime_folder({"SMART_MATTE_RUNTIME": "/a/b"}) == Path("/a/b")
    assert runtime_folder({"XDG_RUNTIME_DIR": str(folder)}) == folder / "smart-matte"
    cache = {"XDG_RUNTIME_DIR": str(folder / "missing"), "XDG_CACHE_HOME": "/c"}
    assert runtime_folder({"XDG_RUNTIME_DIR": "relative"}).parts[-2:] == ("smart-matte", "run")
    if sys.platform == "linux":
        assert runtime_folder(cache) == Path("/c/smart-matte/run")
        assert runtime_folder({"XDG_CACHE_HOME": "relative"}).is_relative_to(Path.home())
    with pytest.raises(LinkError, match="full path"):
        runtime_folder({"SMART_MATTE_RUNTIME": "here"})


def test_a_process_is_known_by_its_start_not_by_its_number_alone() -> None:
    assert is_running(INFO)
    assert not is_running(dataclasses.replace(INFO, started="long ago"))
    assert not is_running(dataclasses.replace(INFO, pid=2**31 - 2))


def test_a_killed_process_is_not_running_even_before_it_is_collected() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    info = dataclasses.replace(INFO, pid=process.pid, started=start_of_process(process.pid))
    assert is_running(info)
    kill_process(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(info)
    process.wait()
    process.stdout.close()
    assert not is_running(info)
    kill_process(process.pid)

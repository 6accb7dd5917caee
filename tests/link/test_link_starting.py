"""Finding a backend that runs, starting one that doesn't, and getting rid of a stopped one."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_backend import EPOCH, FakeBackend, wait_for
from raw_server import raw_server, say_and_wait

from smart_matte_link import starting
from smart_matte_link.client import Client
from smart_matte_link.connection import FILE_NAME, read_connection, write_connection
from smart_matte_link.envelope import Message
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import (
    SPECIFICATION,
    ConnectionInfo,
    MessageType,
    Output,
    Plane,
    Upgrade,
)
from smart_matte_link.processes import kill_process, start_of_process
from smart_matte_link.session import Identity
from smart_matte_link.starting import EDITORS_OWN, find_command, open_session

PROGRAM = Path(__file__).with_name("started_backend.py")
STALE = ConnectionInfo(SPECIFICATION, 2**31 - 2, "-", "ipc:///gone", "ab" * 32, "1", EPOCH)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the started program looks at itself in /proc"
)


class Program:
    """The backend that a client may start, and what is known of its starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "starts"

    def client(self, mode: str = "serves", **options: Any) -> Client:
        command = [sys.executable, str(PROGRAM), str(self.log), mode]
        return Client("test", "1", folder=self.folder, start_command=command, **options)

    def starts(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    monkeypatch.setenv("LINK_TEST_PATH", os.pathsep.join(filter(None, sys.path)))
    found = Program(folder)
    yield found
    pids = [start["pid"] for start in found.starts()]
    for pid in pids:
        kill_process(pid)
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids)), "a zombie"


def test_a_backend_is_started_detached_and_clean(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in EDITORS_OWN:
        monkeypatch.setenv(name, "")
    with program.client() as client:
        assert client.status().state == "running"
        (start,) = program.starts()
        assert start["verb"] == "serve"
        assert start["session"] == start["pid"] != os.getsid(0)
        assert start["stdio"] == ["/dev/null"] * 3
        assert start["cwd"] == str(program.folder)
        assert "SMART_MATTE_RUNTIME" in start["variables"]
        assert not {*start["variables"]} & {*EDITORS_OWN}
        token = read_connection(program.folder)
        assert token is not None
        assert token.token not in Path(f"/proc/{start['pid']}/cmdline").read_text()
        assert token.token not in Path(f"/proc/{start['pid']}/environ").read_text()
        with program.client(start=False) as second:
            assert second.status().pid == start["pid"]
        assert client.shutdown(1)
    assert wait_for(lambda: not Path(f"/proc/{start['pid']}").exists())


def test_many_clients_at_once_start_one_backend_and_all_are_served(program: Program) -> None:
    barrier, answers = threading.Barrier(8), []

    def use() -> None:
        with program.client() as client:
            barrier.wait()
            answers.append(client.connect().epoch)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [EPOCH] * 8
    assert len(program.starts()) == 1


def leave_stale_file(folder: Path) -> None:
    write_connection(folder, STALE)


def leave_stale_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "stale"))
    write_connection(folder, dataclasses.replace(STALE, endpoint=f"ipc://{folder}/stale"))


def leave_garbage(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"\0garbage")
    (folder / FILE_NAME).chmod(0o600)


def leave_recycled_pid(folder: Path) -> None:
    write_connection(folder, dataclasses.replace(STALE, pid=os.getpid()))


def leave_held_lock_file(folder: Path) -> None:
    (folder / starting.LOCK_NAME).touch()


@pytest.mark.parametrize(
    "leave",
    [
        leave_stale_file,
        leave_stale_socket,
        leave_garbage,
        leave_recycled_pid,
        leave_held_lock_file,
    ],
)
def test_what_a_dead_backend_left_is_in_nobodys_way(
    program: Program, leave: Callable[[Path], None]
) -> None:
    leave(program.folder)
    with program.client() as client:
        assert client.status().state == "running"
    assert len(program.starts()) == 1


def test_a_killed_backend_is_replaced_and_the_job_done(program: Program) -> None:
    image = Plane("image", 8, 8, "GRAY", "u8", "srgb")
    outputs = [Output("foreground", "GRAY", "u8")]
    with program.client() as client:
        for round_number in range(3):
            answer = client.cutout([(image, bytes(range(64)))], outputs)
            assert answer.planes["foreground"].pixels == bytes(range(64))
            starts = program.starts()
            assert len(starts) == round_number + 1
            kill_process(starts[-1]["pid"])


def test_a_stopped_backend_is_killed_and_replaced(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_matte_link.session.ANSWER_S", 2)
    with program.client() as client:
        client.connect()
    stopped = program.starts()[0]["pid"]
    os.kill(stopped, signal.SIGSTOP)
    with program.client() as client:
        assert client.status().pid != stopped
    assert wait_for(lambda: not start_of_process(stopped))
    assert len(program.starts()) == 2


def test_a_process_that_only_has_the_number_of_a_silent_backend_is_left_alone(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_matte_link.session.ANSWER_S", 2)
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent,
        raw_server(program.folder, say_and_wait(b"")) as endpoint,
    ):
        info = dataclasses.replace(STALE, pid=innocent.pid, endpoint=endpoint)
        write_connection(program.folder, info)
        with program.client() as client:
            assert client.status().state == "running"
        assert innocent.poll() is None
        assert innocent.stdin is not None
        innocent.stdin.write(b"\n")


def test_a_backend_that_fails_at_its_start_is_reported_at_once(program: Program) -> None:
    started = time.monotonic()
    with pytest.raises(LinkError, match="ended at its start with code 3") as caught:
        program.client("fails").connect()
    assert caught.value.code == "unreachable"
    assert "serve" in caught.value.hint
    assert time.monotonic() - started < 5


def test_a_backend_that_left_at_its_start_for_one_that_then_went_is_started_again(
    program: Program,
) -> None:
    with program.client("leaves once") as client:
        assert client.status().state == "running"
    assert len(program.starts()) == 2


def test_a_backend_that_always_leaves_at_its_start_is_given_up(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "START_S", 0.5)
    with program.client("leaves") as client, pytest.raises(LinkError, match="didn't start"):
        client.connect()


def test_a_backend_that_never_gets_ready_is_given_up(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "START_S", 0.5)
    with pytest.raises(LinkError, match=r"didn't start within 0\.5 s"):
        program.client("says nothing").connect()
    with pytest.raises(LinkError, match=r"didn't start within 0\.5 s"):
        program.client("says nothing").connect()


class OnceStarted:
    """A wish to cancel from the start of the backend on."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def is_set(self) -> bool:
        return bool(self.program.starts())


def test_a_start_is_waited_for_only_until_the_user_cancels(program: Program) -> None:
    image, outputs = Plane("image", 8, 8, "GRAY", "u8", "srgb"), [Output("alpha", "GRAY", "u8")]
    wishes = Wishes(cancel=OnceStarted(program))
    with program.client("says nothing") as client, pytest.raises(LinkError) as caught:
        client.cutout([(image, bytes(64))], outputs, wishes=wishes)
    assert caught.value.code == "cancelled"


def test_a_program_that_is_not_there_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LinkError, match="can't be started") as caught:
        Client("test", "1", folder=folder, start_command=["/no/such/program"]).connect()
    assert caught.value.code == "unreachable"
    monkeypatch.setenv("SMART_MATTE_BACKEND", "/no/such/backend")
    assert find_command() == ["/no/such/backend"]
    monkeypatch.delenv("SMART_MATTE_BACKEND")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(LinkError, match="isn't found") as caught:
        Client("test", "1", folder=folder).connect()
    assert "SMART_MATTE_BACKEND" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_reported(folder: Path) -> None:
    folder.chmod(0o500)
    with pytest.raises(LinkError, match="can't be written"):
        Client("test", "1", folder=folder, start_command=["true"]).connect()


def test_a_lock_that_cannot_be_opened_is_reported(folder: Path) -> None:
    (folder / starting.LOCK_NAME).mkdir()  # root may read and write any file
    with pytest.raises(LinkError, match="can't be written"):
        Client("test", "1", folder=folder, start_command=["true"]).connect()


def test_a_folder_that_cannot_be_made_is_reported(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(LinkError, match="can't be created"):
        Client("test", "1", folder=folder / "file" / "run", start_command=["true"]).connect()


def test_a_folder_that_is_not_there_yet_is_made(program: Program) -> None:
    program.folder = program.folder / "a" / "run"
    with program.client() as client:
        assert client.status().state == "running"


def test_a_new_client_replaces_an_old_backend(program: Program) -> None:
    with FakeBackend(program.folder) as old:
        old.on_proof = lambda _: old.send(  # type: ignore[method-assign]
            Upgrade(1, 1, "0.9", "backend")
        )
        client = program.client()
        assert client._start_command is not None
        session = open_session(
            program.folder, Identity("test", "2"), client._start_command, start=True
        )
        session.close()
        assert old.seen[-1] is MessageType.SHUTDOWN
        assert session.info.pid == program.starts()[0]["pid"]


def test_another_backend_that_took_the_place_meanwhile_is_asked_instead(folder: Path) -> None:
    second = FakeBackend(folder, f"ipc://{folder}/second").serve()
    with FakeBackend(folder) as first:
        first.token = b"of the next start".ljust(32)
        normal = first.on_hello

        def on_hello(message: Message) -> None:
            write_connection(folder, second.info)
            normal(message)

        first.on_hello = on_hello  # type: ignore[method-assign]
        with Client("test", "1", folder=folder, start=False) as client:
            assert client.status().state == "running"
            assert client.shutdown(1)
        assert first.seen == [MessageType.HELLO]
        assert second.seen[-1] is MessageType.SHUTDOWN

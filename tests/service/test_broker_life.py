"""One backend however many start, gone when it should be, and nothing left behind."""

import contextlib
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from broker_harness import (
    HELLO,
    PIXELS,
    Backend,
    Raw,
    cutout,
    is_alive,
    is_right,
    running,
    start_process,
    wait_until,
)

from smart_matte.service.lifecycle import ServeError, check_endpoint
from smart_matte_link.client import Client
from smart_matte_link.connection import read_connection, write_connection
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import ConnectionInfo, MessageType, Shutdown
from smart_matte_link.processes import start_of_process


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    path = tmp_path_factory.mktemp("life")
    path.chmod(0o700)
    with running(path) as backend:
        assert backend.is_healthy()
        yield backend


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"log"}


def test_of_twenty_starts_one_serves_and_the_others_leave_quietly(folder: Path) -> None:
    script = Path(__file__).with_name("start_at_once.py")
    process = subprocess.Popen(  # noqa: S603  (our own script)
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "SMART_MATTE_RUNTIME": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = iter(process.stdout.readline, "")
    ends = json.loads(next(line for line in lines if line.startswith("{")))
    with Client("test", "0", start=False, folder=folder) as client:
        assert is_right(cutout(client))
        assert client.status().pid == ends["winner"] == read_connection(folder).pid
    _, errors = process.communicate("", 20)
    assert ends["losers"] == [0] * 19
    assert errors == ""
    assert names_in(folder) == {"backend.lock"}


def test_only_the_owner_can_enter_read_or_connect(backend: Backend) -> None:
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in backend.folder.iterdir()}
    assert stat.S_IMODE(backend.folder.lstat().st_mode) == 0o700
    assert modes.pop("log") == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4
    logs = [path.stat().st_mode for path in (backend.folder / "log").iterdir()]
    assert [stat.S_IMODE(mode) for mode in logs] == [0o600]


def test_each_start_has_a_token_and_an_epoch_of_its_own(folder: Path) -> None:
    seen: list[ConnectionInfo] = []
    for _ in range(2):
        with running(folder) as backend:
            seen.append(backend.info)
    assert seen[0].token != seen[1].token
    assert seen[0].epoch != seen[1].epoch
    assert len(bytes.fromhex(seen[0].token)) == 32


def test_no_inet_socket_listens(backend: Backend) -> None:
    processes = (backend.process.pid, backend.worker_pid())
    own = set()
    for path in (path for pid in processes for path in Path(f"/proc/{pid}/fd").iterdir()):
        with contextlib.suppress(OSError):  # closed in between
            own.add(str(path.readlink()))
    assert any(target.startswith("socket:") for target in own)
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in own


def test_a_backend_for_other_machines_does_not_start(folder: Path) -> None:
    process = start_process(folder, endpoint="tcp://0.0.0.0:5555")
    _, error = process.communicate(timeout=20)
    assert process.returncode == 78
    assert b"SSH tunnel" in error
    assert not names_in(folder)


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://0.0.0.0:1", "tcp://*:1", "tcp://192.168.1.2:1", "tcp://[::]:1", "tcp://localhost:1",
        "tcp://127.0.0.1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:1;x",
        "tcp://127.0.0.1@10.0.0.1:1", "ipc:///tmp/x", "ipc://@x", "udp://127.0.0.1:1", "x",
    ],
)  # fmt: skip
def test_nothing_but_loopback_is_listened_on(endpoint: str) -> None:
    with pytest.raises(ServeError) as caught:
        check_endpoint(endpoint)
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    "endpoint", ["", "tcp://127.0.0.1:*", "tcp://127.0.0.1:1", "tcp://[::1]:1"]
)
def test_loopback_is_fine(endpoint: str) -> None:
    check_endpoint(endpoint)


def test_what_a_killed_broker_left_does_not_hinder_the_next(folder: Path) -> None:
    with running(folder) as backend:
        worker = backend.worker_pid()
        backend.process.kill()
        backend.process.wait()
        wait_until(lambda: not is_alive(worker), 5)
        assert "connection.json" in names_in(folder)
    with running(folder) as backend:
        assert backend.is_healthy()
        assert len([name for name in names_in(folder) if name.startswith("worker-")]) == 1
    assert names_in(folder) == {"backend.lock"}


def test_a_recycled_process_id_is_no_backend(folder: Path) -> None:
    info = ConnectionInfo("1.0", os.getpid(), "another time", "ipc:///x", "0" * 64, "0", "0" * 32)
    write_connection(folder, info)
    with running(folder) as backend:
        assert backend.is_healthy()


@pytest.mark.parametrize("text", ["", '{"pid": 1}'])
def test_a_connection_file_without_sense_is_replaced(folder: Path, text: str) -> None:
    path = folder / "connection.json"
    path.write_text(text)
    path.chmod(0o600)
    with running(folder) as backend:
        assert backend.is_healthy()


def test_a_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    process = start_process(folder)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"open to other users" in error


def test_a_lock_that_cannot_be_taken_is_told(folder: Path) -> None:
    (folder / "backend.lock").mkdir()  # root may read and write any file
    process = start_process(folder)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"can't be locked" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    (folder / "log").mkdir()
    folder.chmod(0o500)
    process = start_process(folder)
    _, error = process.communicate(timeout=20)
    folder.chmod(0o700)
    assert process.returncode == 1
    assert b"can't be locked" in error


def test_a_path_too_long_for_a_socket_is_refused_in_words(folder: Path) -> None:
    long = folder / ("x" * 100)
    long.mkdir(mode=0o700)
    process = start_process(long)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"SMART_MATTE_RUNTIME" in error


def test_sigterm_lets_the_running_job_end_and_refuses_others(folder: Path) -> None:
    with running(folder) as backend, Raw(backend).greet() as raw:
        job, waiting = raw.begin(seconds=0.5), raw.begin()
        raw.upload(job)
        backend.signal(signal.SIGTERM)
        assert raw.expect(MessageType.DRAINING).body.reason == "signal"
        raw.expect_error("draining", waiting)
        raw.expect_error("draining", raw.begin())
        assert raw.download(job)[32:] == PIXELS
        assert backend.process.wait(5) == 0
        assert names_in(folder) == {"backend.lock"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_lets_the_running_job_end(folder: Path, number: int) -> None:
    with running(folder) as backend, Raw(backend).greet() as raw:
        job = raw.begin(seconds=0.5)
        raw.upload(job)
        raw.expect(MessageType.PROGRESS, job)
        for pid in (backend.worker_pid(), backend.process.pid):
            os.kill(pid, number)
        raw.expect(MessageType.DRAINING)
        assert raw.download(job)[32:] == PIXELS
        assert backend.process.wait(5) == 0


def test_a_job_that_outlasts_the_drain_is_ended(folder: Path) -> None:
    with running(folder, drain_s=0.3) as backend, Raw(backend).greet() as raw:
        job = raw.begin(seconds=30)
        raw.upload(job)
        raw.expect(MessageType.PROGRESS, job)
        backend.signal(signal.SIGINT)
        raw.expect(MessageType.DRAINING)
        raw.expect_error("draining", job)
        assert backend.process.wait(5) == 0


def test_a_second_sigterm_ends_at_once(folder: Path) -> None:
    with running(folder) as backend, Raw(backend).greet() as raw:
        worker = backend.worker_pid()
        job = raw.begin(seconds=30, do="deaf")
        raw.upload(job)
        backend.signal(signal.SIGTERM)
        raw.expect(MessageType.DRAINING)
        backend.signal(signal.SIGTERM)
        assert backend.process.wait(5) == 1
        assert not is_alive(worker)
        assert names_in(folder) == {"backend.lock"}


def test_a_client_may_ask_the_backend_to_go(folder: Path) -> None:
    with running(folder) as backend:
        with backend.client() as client:
            assert client.shutdown()
        assert backend.process.wait(5) == 0


def test_a_client_of_another_version_may_ask_the_backend_to_go(folder: Path) -> None:
    with running(folder) as backend, Raw(backend) as raw:
        raw.prove(raw.say_hello(replace(HELLO, protocol_min=2, protocol_max=3)))
        assert raw.expect(MessageType.UPGRADE).body.older == "backend"
        raw.send(Shutdown(0.0))
        assert backend.process.wait(5) == 0


def test_an_idle_worker_forgets_its_models_and_then_ends(folder: Path) -> None:
    with running(folder, unload_s=0.3, worker_exit_s=1.0) as backend:
        assert backend.is_healthy()
        worker = backend.worker_pid()
        wait_until(lambda: not backend.status().models[0].is_loaded, 5)
        wait_until(lambda: not is_alive(worker), 5)
        time.sleep(0.3)
        assert backend.status().workers == ()
        assert backend.is_healthy()


def test_an_idle_broker_ends(folder: Path) -> None:
    with running(folder, broker_exit_s=0.5) as backend, backend.client() as client:
        client.connect()
        worker = backend.worker_pid()
        assert backend.process.wait(5) == 0
        assert not is_alive(worker)
        assert names_in(folder) == {"backend.lock"}


def test_a_broker_whose_connection_file_is_gone_ends(folder: Path) -> None:
    with running(folder) as backend:
        (folder / "connection.json").unlink()
        assert backend.process.wait(10) == 0


@pytest.mark.parametrize("moment", ["idle", "computing"])
def test_no_worker_outlives_its_broker(folder: Path, moment: str) -> None:
    with running(folder) as backend, Raw(backend).greet() as raw:
        worker = backend.worker_pid()
        if moment == "computing":
            job = raw.begin(seconds=30)
            raw.upload(job)
            raw.expect(MessageType.PROGRESS, job)
        backend.process.kill()
        wait_until(lambda: not is_alive(worker), 5)


def test_a_client_notices_a_killed_broker_at_once(folder: Path) -> None:
    with running(folder) as backend, backend.client() as client:
        client.connect()
        backend.process.kill()
        backend.process.wait()
        with pytest.raises(LinkError) as caught:
            cutout(client)
        assert caught.value.code == "unreachable"


def test_a_stopped_broker_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_matte_link.session.ANSWER_S", 0.5)
    with running(folder) as stopped:
        assert stopped.is_healthy()
        stopped.signal(signal.SIGSTOP)
        start = [sys.executable, str(Path(__file__).with_name("run_broker.py"))]
        client = Client("test", "0", folder=folder, start_command=start)
        with client, pytest.raises(LinkError):  # run_broker.py isn't the command line
            client.connect()
        assert stopped.process.wait(5) == -signal.SIGKILL
    with running(folder) as backend:
        assert backend.is_healthy()


def test_limits_of_the_process_are_set(backend: Backend) -> None:
    limits = Path(f"/proc/{backend.process.pid}/limits").read_text()
    files = next(line for line in limits.splitlines() if "open files" in line)
    assert int(files.split()[3]) >= 4096


def test_few_descriptors_are_made_more(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))  # what the broker inherits
    try:
        backend = Backend(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    address = backend.info.endpoint.removeprefix("ipc://")
    try:
        with contextlib.ExitStack() as flood:
            for _ in range(100):
                stranger = flood.enter_context(socket.socket(socket.AF_UNIX))
                stranger.connect(address)
            assert backend.is_healthy()
    finally:
        backend.stop()


def test_the_broker_imports_nothing_that_computes(backend: Backend) -> None:
    maps = Path(f"/proc/{backend.process.pid}/maps").read_text()
    heavy = ("torch", "numpy", "cv2", "PIL", "numba", "scipy")
    assert [name for name in heavy if f"/{name}/" in maps] == []
    status = Path(f"/proc/{backend.process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 60 * 1024


def test_a_start_time_names_the_process(backend: Backend) -> None:
    assert backend.info.started == start_of_process(backend.process.pid)


def test_the_result_is_of_this_run(backend: Backend) -> None:
    with Raw(backend).greet() as raw:
        job = raw.begin()
        raw.upload(job)
        assert raw.expect(MessageType.RESULT, job).body.epoch == backend.info.epoch

"""Whatever becomes of a worker: a typed error, and the next job works."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_harness import (
    Backend,
    Raw,
    cutout,
    is_alive,
    is_right,
    running,
    wait_until,
)

from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Cancel, Grant, MessageType


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    path = tmp_path_factory.mktemp("faults")
    path.chmod(0o700)
    with running(path, stopped_s=0.3) as backend:
        yield backend


@pytest.mark.parametrize("moment", ["die receiving", "die", "abort", "die sending"])
def test_a_worker_that_dies_costs_one_job(backend: Backend, moment: str) -> None:
    with Raw(backend).greet() as raw:
        job = raw.begin(do=moment)
        raw.upload(job)
        if moment == "die sending":
            raw.expect(MessageType.RESULT, job)
            raw.send(Grant(10), job)
        raw.expect_error("worker_died", job)
    assert backend.is_healthy()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_an_idle_worker_that_is_killed_is_replaced(backend: Backend, number: int) -> None:
    pid = backend.worker_pid()
    os.kill(pid, number)
    wait_until(lambda: not is_alive(pid))
    assert backend.is_healthy()


def test_a_stopped_worker_is_killed(backend: Backend) -> None:
    pid = backend.worker_pid()
    with Raw(backend).greet() as raw:
        job = raw.begin(do="stop")
        raw.upload(job)
        raw.expect_error("hung", job)
    assert not is_alive(pid)
    assert backend.is_healthy()


def test_an_idle_worker_that_is_stopped_is_killed(backend: Backend) -> None:
    pid = backend.worker_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: not is_alive(pid))
    assert backend.is_healthy()


@pytest.mark.parametrize("how", ["no progress", "spin"])
def test_a_worker_without_headway_is_killed(folder: Path, how: str) -> None:
    with running(folder, progress_lease_s=0.5) as backend, backend.client() as client:
        with pytest.raises(LinkError) as caught:
            cutout(client, do=how, seconds=30)
        assert caught.value.code == "hung"
        assert is_right(cutout(client))


def test_a_worker_that_loads_has_more_time(folder: Path) -> None:
    with running(folder, progress_lease_s=0.3) as backend, backend.client() as client:
        assert is_right(cutout(client, do="load", seconds=1.0))


def test_a_worker_that_takes_no_pixels_is_killed(folder: Path) -> None:
    with running(folder, progress_lease_s=0.5) as backend, Raw(backend).greet() as raw:
        job = raw.begin(do="never grant")
        raw.expect(MessageType.GRANT, job)
        for _ in range(8):
            raw.send_chunk(b"x", job)
        raw.expect_error("hung", job)
        assert backend.is_healthy()


def test_a_worker_that_ignores_a_cancel_is_killed(folder: Path) -> None:
    with running(folder, cancel_s=0.3) as backend, Raw(backend).greet() as raw:
        pid = backend.worker_pid()
        job = raw.begin(do="deaf", seconds=30)
        raw.upload(job)
        raw.expect(MessageType.PROGRESS, job)
        raw.send(Cancel(), job)
        raw.expect_error("cancelled", job)
        assert backend.is_healthy()
        assert not is_alive(pid)


@pytest.mark.parametrize(
    "how", ["wrong size", "too many bytes", "too few bytes", "no credit", "garbage"]
)
def test_a_worker_that_says_something_impossible_is_killed(backend: Backend, how: str) -> None:
    pid = backend.worker_pid()
    with Raw(backend).greet() as raw:
        job = raw.begin(do=how)
        raw.upload(job)
        while (message := raw.receive()).type is not MessageType.ERROR:
            if message.type is MessageType.RESULT and how != "no credit":
                raw.send(Grant(10), job)
        assert (message.job, message.body.code) == (job, "internal")
    assert not is_alive(pid)
    assert backend.is_healthy()


def test_workers_that_die_at_their_start_are_given_up(folder: Path) -> None:
    settings = {"worker_settings": {"at_start": "die"}, "crash_budget": 3}
    with running(folder, **settings) as backend, backend.client() as client:
        for _ in range(2):
            with pytest.raises(LinkError, match="again and again") as caught:
                cutout(client)
            assert caught.value.code == "internal"
        assert backend.log().count("dies at its start") == 3


def test_after_a_crash_loop_another_try_is_made_in_time(folder: Path) -> None:
    settings = {"crash_budget": 2, "crash_window_s": 1.0, "backoff_max_s": 0.1}
    with running(folder, **settings) as backend, Raw(backend).greet() as raw:
        for _ in range(2):
            job = raw.begin(do="die")
            raw.upload(job)
            raw.expect_error("worker_died", job)
        raw.expect_error("internal", raw.begin())
        time.sleep(1.0)
        assert backend.is_healthy()


def test_jobs_that_are_done_prove_that_there_is_no_crash_loop(folder: Path) -> None:
    with running(folder, crash_budget=2) as backend, Raw(backend).greet() as raw:
        for _ in range(3):
            job = raw.begin(do="die")
            raw.upload(job)
            raw.expect_error("worker_died", job)
            assert backend.is_healthy()


def test_a_worker_that_never_gets_ready_is_given_up(folder: Path) -> None:
    settings = {"worker_settings": {"at_start": "silent"}, "worker_start_s": 0.2}
    with running(folder, **settings, crash_budget=2) as backend, backend.client() as client:
        with pytest.raises(LinkError) as caught:
            cutout(client)
        assert caught.value.code == "internal"


def test_a_broker_that_was_stopped_for_a_while_blames_nobody(folder: Path) -> None:
    settings = {"lease_s": 1.0, "pong_lease_s": 2.3, "progress_lease_s": 2.3}
    with running(folder, **settings) as backend, Raw(backend).greet() as raw:
        pid = backend.worker_pid()
        backend.signal(signal.SIGSTOP)
        time.sleep(3)
        backend.signal(signal.SIGCONT)
        job = raw.begin()
        raw.upload(job)
        assert raw.download(job)
        assert backend.worker_pid() == pid


def test_nothing_of_a_picture_is_left_behind(folder: Path) -> None:
    canary = bytes(range(7, 39)) * 4
    with running(folder) as backend, Raw(backend).greet() as raw:
        for do in ("", "fail", "die"):
            job = raw.begin(do=do, code="picture")
            raw.upload(job, canary)
            if do:
                raw.expect(MessageType.ERROR, job)
            else:
                assert raw.download(job)[32:] == canary
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) >= 3
        assert not [path for path in files if canary[:32] in path.read_bytes()]
        assert not [
            path
            for path in files
            if raw.info.token in path.read_text() and path.name != "connection.json"
        ]
        for process in (backend.process.pid, backend.worker_pid()):
            for name in ("cmdline", "environ"):
                said = Path(f"/proc/{process}/{name}").read_bytes()
                assert raw.info.token.encode() not in said
            limits = Path(f"/proc/{process}/limits").read_text()
            core = next(line for line in limits.splitlines() if "core file" in line)
            assert core.split()[4:6] == ["0", "0"]

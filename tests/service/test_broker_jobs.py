"""Jobs on their way: order, limits, credit, cancel, deadlines, refining."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_harness import (
    IMAGE,
    OUTPUTS,
    PIXELS,
    Backend,
    Raw,
    cutout,
    is_right,
    running,
    wait_until,
)

from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import (
    Cancel,
    End,
    Grant,
    MessageType,
    Output,
    Plane,
    Refine,
    Status,
    new_job_id,
)

LARGE = Plane("image", 2000, 1500, "RGBA", "f32", "srgb")  # 48 MB: twelve chunks of 4 MiB


@pytest.fixture(scope="module")
def shared_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    path = tmp_path_factory.mktemp("jobs")
    path.chmod(0o700)
    with running(path) as backend:
        yield backend


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    path = tmp_path_factory.mktemp("impatient")
    path.chmod(0o700)
    with running(path, chunk_gap_s=0.3, lease_s=1.0) as backend:
        yield backend


def drive(raws: list[Raw], jobs: dict[bytes, Raw]) -> list[bytes]:
    """Serve several clients at once until all jobs have ended; the order of their ends."""
    ended: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(ended) < len(jobs):
        assert time.monotonic() < deadline
        for raw in raws:
            message = raw.receive(0.005)
            if message is None:
                continue
            if message.type is MessageType.GRANT:
                raw.send_chunk(PIXELS, message.job)
                raw.send(End(len(PIXELS)), message.job)
            elif message.type is MessageType.RESULT:
                raw.send(Grant(10), message.job)
            elif message.type in {MessageType.END, MessageType.ERROR}:
                ended.append(message.job)
    return ended


def test_the_pixels_of_a_large_picture_arrive_whole_both_ways(shared_backend: Backend) -> None:
    pixels = bytes(range(256)) * (LARGE.byte_count // 256)
    outputs = (Output("foreground", "RGBA", "f32"), Output("alpha", "GRAY", "f32"))
    with shared_backend.client() as client:
        answer = client.cutout([(LARGE, pixels)], outputs, {"chunk": 4 << 20})
    assert bytes(answer.planes["foreground"].pixels) == pixels
    assert len(answer.planes["alpha"].pixels) == LARGE.byte_count // 4


def test_progress_comes_while_a_job_is_computed(shared_backend: Backend) -> None:
    stages = []
    with shared_backend.client() as client:
        wishes = Wishes(progress=lambda progress: stages.append(progress.stage))
        client.cutout([(IMAGE, PIXELS)], OUTPUTS, {"seconds": 0.2}, wishes)
    assert "matting" in stages


def test_status_and_ping_are_answered_while_a_job_computes_and_sends(
    shared_backend: Backend,
) -> None:
    with Raw(shared_backend).greet() as busy, Raw(shared_backend).greet() as other:
        job = busy.begin(LARGE)
        busy.expect(MessageType.GRANT, job)
        busy.send_chunk(bytes(4 << 20), job)
        for raw in (other, busy):
            raw.send(Status())
            reply = raw.expect(MessageType.STATUS_REPLY).body
            assert (reply.jobs_running, reply.jobs_waiting) == (1, 0)
        busy.send(Cancel(), job)
        busy.expect_error("cancelled", job)


def test_clients_take_turns(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as greedy, Raw(shared_backend).greet() as modest:
        many = [greedy.begin(seconds=0.05) for _ in range(4)]
        wait_until(lambda: shared_backend.status().jobs_running == 1)
        one = modest.begin()
        jobs = dict.fromkeys(many, greedy) | {one: modest}
        order = drive([greedy, modest], jobs)
    assert order.index(one) <= 1
    assert [job for job in order if job in many] == many


def test_who_waits_is_told_how_many_are_before(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        first, second, third = raw.begin(), raw.begin(), raw.begin()
        seen = []
        while len(seen) < 2:
            message = raw.receive()
            if message.job == third and message.type is MessageType.PROGRESS:
                assert message.body.stage == "queued"
                seen.append(message.body.ahead)
            if message.job == third and len(seen) == 1:
                raw.send(Cancel(), second)
        for job in (first, third):
            raw.send(Cancel(), job)
    assert seen == [2, 1]


def test_a_client_with_enough_jobs_waiting_is_told_when_to_come_back(
    shared_backend: Backend,
) -> None:
    with Raw(shared_backend).greet() as raw:
        raw.begin(seconds=9)
        wait_until(lambda: shared_backend.status().jobs_running == 1)
        for _ in range(4):
            raw.begin()
        error = raw.expect_error("busy", raw.begin())
        assert error.body.retry_after_s > 0
    assert shared_backend.is_healthy()


def test_the_queue_has_an_end(shared_backend: Backend) -> None:
    raws = [Raw(shared_backend).greet() for _ in range(5)]
    raws[0].begin(seconds=9)
    wait_until(lambda: shared_backend.status().jobs_running == 1)
    for raw in raws[:4]:
        for _ in range(4):
            raw.begin()
    wait_until(lambda: shared_backend.status().jobs_waiting == 16)
    raws[4].expect_error("busy", raws[4].begin())
    for raw in raws:
        raw.close()
    wait_until(lambda: shared_backend.status().jobs_waiting == 0)
    assert shared_backend.is_healthy()


def test_the_bytes_of_all_jobs_together_are_limited(folder: Path) -> None:
    with running(folder, admitted_bytes=60_000_000) as backend, Raw(backend).greet() as raw:
        raw.begin(LARGE)
        raw.expect_error("busy", raw.begin(LARGE))


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_cancelled_job_ends_and_the_next_one_runs(
    shared_backend: Backend, seconds: float
) -> None:
    pid = shared_backend.worker_pid()
    with Raw(shared_backend).greet() as raw:
        job = raw.begin(seconds=seconds)
        if seconds:
            raw.upload(job)
            raw.expect(MessageType.PROGRESS, job)
        raw.send(Cancel(), job)
        raw.expect_error("cancelled", job)
        raw.send(Cancel(), job)
        job = raw.begin()
        raw.upload(job)
        assert raw.download(job)[32:] == PIXELS
    assert shared_backend.worker_pid() == pid


def test_a_job_whose_client_leaves_is_cancelled(shared_backend: Backend) -> None:
    pid = shared_backend.worker_pid()
    raw = Raw(shared_backend).greet()
    job = raw.begin(seconds=20)
    raw.upload(job)
    raw.expect(MessageType.PROGRESS, job)
    raw.close()
    wait_until(lambda: shared_backend.status().jobs_running == 0, 2)
    assert shared_backend.is_healthy()
    assert shared_backend.worker_pid() == pid
    assert shared_backend.status().clients == 1


def test_a_result_that_is_not_read_holds_nothing_up_for_long(impatient: Backend) -> None:
    with Raw(impatient).greet() as raw:
        job = raw.begin()
        raw.upload(job)
        raw.expect(MessageType.RESULT, job)
        raw.expect_error("deadline", job)
        assert impatient.is_healthy()


def test_pixels_that_do_not_come_hold_nothing_up_for_long(impatient: Backend) -> None:
    with Raw(impatient).greet() as raw:
        raw.expect_error("deadline", raw.begin())
        assert impatient.is_healthy()


def test_pixels_that_trickle_hold_nothing_up_for_long(impatient: Backend) -> None:
    with Raw(impatient).greet() as raw:
        job = raw.begin()
        raw.expect(MessageType.GRANT, job)
        for number in range(8):
            time.sleep(0.1)
            raw.send_chunk(PIXELS[number : number + 1], job)
        raw.expect_error("deadline", job)
        assert impatient.is_healthy()


def test_a_client_that_sends_nothing_is_given_less_time_while_another_waits(folder: Path) -> None:
    with running(folder, crowded_gap_s=0.3, chunk_gap_s=60) as backend, Raw(backend).greet() as raw:
        job = raw.begin()
        raw.expect(MessageType.GRANT, job)
        time.sleep(0.6)
        raw.send_chunk(PIXELS[:1], job)  # nobody waits: it may take its time
        assert backend.is_healthy()  # somebody waits
        raw.expect_error("deadline", job)


def test_a_clients_own_waiting_jobs_do_not_hurry_it(folder: Path) -> None:
    with running(folder, crowded_gap_s=0.3) as backend, Raw(backend).greet() as raw:
        jobs = [raw.begin(), raw.begin()]
        raw.expect(MessageType.GRANT, jobs[0])
        time.sleep(0.8)
        raw.send_chunk(PIXELS, jobs[0])
        raw.send(End(len(PIXELS)), jobs[0])
        assert raw.download(jobs[0])


def test_a_client_that_is_slow_but_steady_is_waited_for(folder: Path) -> None:
    settings = {"chunk_gap_s": 0.5, "crowded_gap_s": 0.5, "transfer_bytes_per_s": 100}
    with running(folder, **settings) as backend, Raw(backend).greet() as raw:
        job = raw.begin()
        raw.expect(MessageType.GRANT, job)
        for start in range(0, len(PIXELS), 16):  # 160 bytes a second, for 0.8 s
            time.sleep(0.1)
            raw.send_chunk(PIXELS[start : start + 16], job)
        raw.send(End(len(PIXELS)), job)
        assert raw.download(job)


def test_a_silent_client_is_given_up(impatient: Backend) -> None:
    with Raw(impatient).greet() as raw:
        job = raw.begin(seconds=20)
        raw.upload(job)
        wait_until(lambda: impatient.status().jobs_running == 0, 5)
        raw.expect_error("lost")
        assert impatient.is_healthy()


def test_a_client_that_answers_pings_keeps_its_job(impatient: Backend) -> None:
    with impatient.client() as client:
        assert is_right(cutout(client, seconds=1.6))


@pytest.mark.parametrize("seconds", [5.0, 0.0])
def test_a_deadline_is_kept_running_or_waiting(shared_backend: Backend, seconds: float) -> None:
    with Raw(shared_backend).greet() as other, Raw(shared_backend).greet() as raw:
        if not seconds:
            other.begin()
        job = raw.begin(deadline_s=0.3, seconds=seconds)
        if seconds:
            raw.upload(job)
        raw.expect_error("deadline", job)
    assert shared_backend.is_healthy()


@pytest.mark.parametrize("code", ["picture", "selection", "weights", "option", "out_of_memory"])
def test_the_engines_errors_reach_the_client(shared_backend: Backend, code: str) -> None:
    with shared_backend.client() as client, pytest.raises(LinkError) as caught:
        cutout(client, do="fail", code=code)
    assert (caught.value.code, caught.value.sentence) == (code, "It can't be done.")


def test_a_kept_result_is_refined_again_and_again(shared_backend: Backend) -> None:
    with shared_backend.client() as client:
        answer = cutout(client, keep=True)
        assert answer.kept
        for _ in range(3):
            assert is_right(client.refine(answer, OUTPUTS))


def test_what_was_kept_is_gone_with_its_worker(backend: Backend) -> None:
    with backend.client() as client:
        answer = cutout(client, keep=True)
        with pytest.raises(LinkError):
            cutout(client, do="die")
        with pytest.raises(LinkError) as caught:
            client.refine(answer, OUTPUTS)
    assert caught.value.code == "not_kept"


def test_what_was_kept_is_gone_with_its_connection(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as first:
        job = first.begin(keep=True)
        first.upload(job)
        first.download(job)
    with Raw(shared_backend).greet() as second:
        refined = new_job_id()
        second.send(Refine(job.hex(), OUTPUTS), refined)
        second.expect_error("not_kept", refined)


def test_four_editors_work_at_once(shared_backend: Backend) -> None:
    right: list[bool] = []

    def edit() -> None:
        with shared_backend.client() as client:
            right.extend(is_right(cutout(client)) for _ in range(5))

    editors = [threading.Thread(target=edit) for _ in range(4)]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    assert right == [True] * 20


def test_clients_without_jobs_are_forgotten_when_they_leave(shared_backend: Backend) -> None:
    for _ in range(20):
        Raw(shared_backend).greet().close()
    wait_until(lambda: shared_backend.status().clients == 1)

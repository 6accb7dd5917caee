"""The worker as a process: answering while it computes, errors, and ending when it should."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from worker_harness import FAKE, REAL, Harness, image_plane, small_job, started

from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Grant,
    MessageType,
    Output,
    Plane,
    Progress,
    Refine,
    Shutdown,
    Unload,
    new_job_id,
)

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")
ENDS_WITHIN_S = 10.0  # at once, on any machine


@pytest.fixture(scope="module")
def worker() -> Iterator[Harness]:
    with started(FAKE) as harness:
        yield harness


def begin_computing(worker: Harness, *classes: str, **fields: object) -> bytes:
    """A job that has told that it computes."""
    job = new_job_id()
    worker.upload(*small_job(*classes, **fields), job)
    while True:
        message = worker.wait_for(MessageType.PROGRESS)
        if message.body.stage == "matting":
            return job


def finishes_a_job(worker: Harness) -> bool:
    answer = worker.run(*small_job())
    return answer.data == small_job()[1][48:]  # the fake's alpha is the selection


# Answering while computing -----------------------------------------------------------------------


def test_facts_come_first_and_soon(worker: Harness) -> None:
    facts = worker.facts[0]
    assert facts.pid == worker.process.pid
    assert facts.device == "cpu"
    assert {model.name for model in facts.models} >= {"fba", "closed-form", "grabcut"}


def test_saying_hello_needs_neither_torch_nor_numba() -> None:
    script = (
        "import sys, smart_matte.service.worker;"
        "print([name for name in ('torch', 'numba', 'pymatting') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)  # noqa: S603
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize("what", ["slow", "deaf"])
def test_a_ping_is_answered_while_it_computes(worker: Harness, what: str) -> None:
    job = begin_computing(worker, what, "1.5")
    for number in range(20):
        worker.ping(number)
    answer = worker.listen(job)  # so the pongs came before the end
    assert answer.data


def test_progress_comes_about_ten_times_a_second(worker: Harness) -> None:
    answer = worker.run(*small_job("slow", "1"))
    matting = [told for told in answer.progress if told.stage == "matting"]
    assert 3 <= len(matting) <= 12
    fractions = [told.fraction for told in matting]
    assert fractions == sorted(fractions)


def test_a_job_is_cancelled_while_it_computes(worker: Harness) -> None:
    job = begin_computing(worker, "slow", "60")
    worker.send(Cancel(), job)
    worker.send(Cancel(), job)
    assert worker.listen(job).error.code == "cancelled"
    worker.send(Cancel(), job)
    assert finishes_a_job(worker)


def test_a_job_is_cancelled_while_it_arrives(worker: Harness) -> None:
    job = new_job_id()
    begin, data = small_job()
    worker.send(begin, job)
    worker.wait_for(MessageType.GRANT)
    worker.send_chunk(data[:10], job)
    worker.send(Cancel(), job)
    worker.send_chunk(data[10:], job)  # was under way; not a word about it
    worker.send(End(len(data)), job)
    assert worker.listen(job).error.code == "cancelled"
    assert finishes_a_job(worker)


def test_a_job_is_cancelled_while_its_result_waits_for_credit(worker: Harness) -> None:
    job = new_job_id()
    worker.upload(*small_job(), job)
    worker.wait_for(MessageType.RESULT)
    worker.send(Cancel(), job)
    assert worker.wait_for(MessageType.ERROR).body.code == "cancelled"
    worker.sent.forget(job)
    worker.came.forget(job)
    assert finishes_a_job(worker)


def test_chunks_of_a_result_wait_for_credit() -> None:
    with started(FAKE, chunk_bytes=17) as worker:
        job = new_job_id()
        worker.upload(*small_job(), job)
        worker.wait_for(MessageType.RESULT)
        worker.send(Grant(2), job)
        for _ in range(2):
            assert len(worker.wait_for(MessageType.CHUNK).body) == 16  # whole rows
        worker.ping()
        assert worker.receive(0.3) is None
        worker.send(Grant(1000), job)
        assert len(worker.wait_for(MessageType.CHUNK).body) == 16
        assert worker.wait_for(MessageType.END).body.byte_count == 48


def test_the_epoch_of_the_broker_stands_in_results() -> None:
    with started(FAKE, epoch="ab" * 16) as worker:
        assert worker.run(*small_job()).result.epoch == "ab" * 16


def test_a_kept_result_goes_after_idle_time() -> None:
    with started(FAKE, kept_idle_s=0.2) as worker:
        job = new_job_id()
        assert worker.run(*small_job(keep=True), job).result.kept
        time.sleep(1.0)
        refine = Refine(job.hex(), (Output("alpha", "GRAY", "u8"),))
        assert worker.run(refine).error.code == "not_kept"


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "code", "message"),
    [
        (("raise", "PictureError", "Bad picture."), "picture", "Bad picture."),
        (("raise", "SelectionError", "Bad selection."), "selection", "Bad selection."),
        (("raise", "WeightsError", "Bad weights."), "weights", "Bad weights."),
        (("raise", "OptionError", "Bad option."), "option", "Bad option."),
        (("raise", "Cancelled", "x"), "cancelled", "The job was cancelled."),
        (("break", "MemoryError", ""), "out_of_memory", "too little memory"),
        (("break", "RuntimeError", "CUDA out of memory. Tried"), "out_of_memory", "memory"),
        (("break", "RuntimeError", "secret"), "internal", "RuntimeError"),
        (("break", "KeyError", "secret"), "internal", "KeyError"),
    ],
)
def test_a_fault_ends_the_job_with_its_code_and_the_next_job_works(
    worker: Harness, classes: tuple[str, ...], code: str, message: str
) -> None:
    error = worker.run(*small_job(*classes)).error
    assert (error.code, message in error.message) == (code, True)
    assert "secret" not in error.message + error.hint
    assert finishes_a_job(worker)


@pytest.mark.parametrize("what", [("slow", "60"), ("deaf", "0.5")])
def test_a_deadline_ends_the_job(worker: Harness, what: tuple[str, str]) -> None:
    assert worker.run(*small_job(*what, deadline_s=0.2)).error.code == "deadline"
    assert finishes_a_job(worker)


def test_a_deadline_also_ends_a_job_whose_result_nobody_takes(worker: Harness) -> None:
    job = new_job_id()
    worker.upload(*small_job(deadline_s=1.0), job)
    worker.wait_for(MessageType.RESULT)
    assert worker.wait_for(MessageType.ERROR).body.code == "deadline"
    worker.sent.forget(job)
    worker.came.forget(job)
    assert finishes_a_job(worker)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": "red"}, "There is no option “colour”"),
        ({"decontaminate": 101}, "between 0 and 100"),
        ({"decontaminate": True}, "decontaminate has to be a number."),
        ({"decontaminate": "50"}, "decontaminate has to be a number."),
        ({"holes": 1}, "holes has to be true or false."),
        ({"own_alpha": 0}, "own_alpha has to be true or false."),
        ({"shift_edge": -101}, "between -100 and 100"),
        ({"classes": "cat"}, "classes has to be a list of texts."),
        ({"classes": ["cat", 3]}, "classes has to be a list of texts."),
        ({"matter": None}, "matter has to be a text."),
        ({"matter": "../../x"}, "There is no matting model"),
        ({"outer_radius_px": "3"}, "outer_radius_px has to be a number or nothing."),
    ],
)
def test_impossible_options_are_refused_before_any_pixel(
    worker: Harness, options: dict[str, object], said: str
) -> None:
    job = new_job_id()
    worker.send(small_job(options=options)[0], job)
    error = worker.listen(job).error
    assert (error.code, said in error.message) == ("option", True)


def test_a_colour_pictures_foreground_is_not_given_in_gray(worker: Harness) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    begin = Begin((image_plane(image, "RGB"),), (Output("foreground", "GRAYA", "u8"),))
    job = new_job_id()
    worker.send(begin, job)
    assert worker.listen(job).error.code == "bad_geometry"


@ON_LINUX
def test_planes_that_do_not_fit_into_memory_are_refused_and_the_next_job_works() -> None:
    limit_bytes = 1_500_000_000
    script = (
        "import resource, runpy, sys;"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit_bytes}, {limit_bytes}));"
        f"runpy.run_path({FAKE[1]!r}, run_name='__main__')"
    )
    with started([sys.executable, "-c", script]) as worker:
        plane = Plane("image", 12_000, 10_000, "RGBA", "f32", "srgb")
        job = new_job_id()
        worker.send(Begin((plane,), (Output("alpha", "GRAY", "u8"),)), job)
        assert worker.listen(job).error.code == "out_of_memory"
        assert finishes_a_job(worker)


@pytest.mark.parametrize("missing", [1, -1, 48])
def test_bytes_that_are_not_those_declared_end_the_job(worker: Harness, missing: int) -> None:
    begin, data = small_job()
    sent = data[:-missing] if missing > 0 else data + b"x"
    job = new_job_id()
    worker.send(begin, job)
    for start in range(0, len(sent), 40):
        worker.send_chunk(sent[start : start + 40], job)
    worker.send(End(len(data)), job)
    assert worker.listen(job).error.code == "bad_geometry"
    assert finishes_a_job(worker)


def test_an_end_that_counts_otherwise_ends_the_job(worker: Harness) -> None:
    begin, data = small_job()
    job = new_job_id()
    worker.send(begin, job)
    worker.send_chunk(data, job)
    worker.send(End(len(data) - 1), job)
    assert worker.listen(job).error.code == "bad_geometry"


def test_bytes_after_the_end_stop_the_job(worker: Harness) -> None:
    job = begin_computing(worker, "slow", "60")
    worker.send_chunk(b"more", job)
    assert worker.listen(job).error.code == "bad_message"
    assert finishes_a_job(worker)


def test_a_number_out_of_turn_ends_the_job(worker: Harness) -> None:
    job = new_job_id()
    worker.send(small_job()[0], job)
    worker.sent.take(job)
    worker.send_chunk(b"x", job)
    assert worker.listen(job).error.code == "bad_message"
    assert finishes_a_job(worker)


def test_a_job_begun_twice_is_stopped(worker: Harness) -> None:
    job = begin_computing(worker, "slow", "60")
    worker.send(small_job()[0], job)
    assert worker.listen(job).error.code == "bad_message"
    assert finishes_a_job(worker)


def test_a_second_job_is_told_that_the_worker_is_busy(worker: Harness) -> None:
    first, second = begin_computing(worker, "slow", "0.5"), new_job_id()
    worker.send(small_job()[0], second)
    assert worker.wait_for(MessageType.ERROR).body.code == "busy"
    worker.sent.forget(second)
    worker.came.forget(second)
    assert worker.listen(first).data


@pytest.mark.parametrize(
    "frames",
    [
        (b"",),
        (b"SMT1",),
        (b"x" * 100,),
        (b"GET / HTTP/1.1\r\n\r\n" + b" " * 32,),
        (b"one", b"two"),
        (b"SMT1\x00\x01\x10\x00" + b"\xff" * 16 + bytes(8) + b"{}",),
    ],
)
def test_what_cannot_be_read_is_answered_without_a_job(
    worker: Harness, frames: tuple[bytes, ...]
) -> None:
    worker.send_frame(*frames)
    message = worker.wait_for(MessageType.ERROR)
    assert (message.body.code, message.job) == ("bad_message", bytes(16))
    assert finishes_a_job(worker)


def test_only_a_broker_may_talk_to_it(worker: Harness) -> None:
    worker.send(Progress("matting", 0.5), new_job_id())
    assert worker.wait_for(MessageType.ERROR).body.code == "bad_message"


# Ending ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [(), ("slow", "60"), ("deaf", "60")])
def test_it_ends_at_once_when_its_input_ends(what: tuple[str, ...]) -> None:
    with started(FAKE) as worker:
        if what:
            begin_computing(worker, *what)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert worker.process.wait(ENDS_WITHIN_S) == 0


def test_it_ends_when_its_input_ends_before_the_first_line() -> None:
    done = subprocess.run(REAL, stdin=subprocess.DEVNULL, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0


@pytest.mark.parametrize(
    "line", [b"{}", b"nonsense", b'{"endpoint": "ipc://x", "identity": "short"}']
)
def test_started_by_hand_it_says_so(line: bytes) -> None:
    done = subprocess.run(  # noqa: S603
        REAL, input=line + b"\n", capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 64
    assert b"started by the broker, not by hand" in done.stderr
    assert b"Traceback" not in done.stderr


def test_it_ends_when_told_to_and_it_has_nothing_to_do() -> None:
    with started(FAKE) as worker:
        assert finishes_a_job(worker)
        worker.send(Shutdown(60))
        assert worker.process.wait(ENDS_WITHIN_S) == 0


def test_told_to_end_it_finishes_its_job_and_takes_no_other() -> None:
    with started(FAKE) as worker:
        job, late = begin_computing(worker, "slow", "1"), new_job_id()
        worker.send(Shutdown(60))
        worker.send(small_job()[0], late)
        assert worker.wait_for(MessageType.ERROR).body.code == "draining"
        assert worker.listen(job).data
        assert worker.process.wait(ENDS_WITHIN_S) == 0


def test_told_to_end_soon_it_does_not_finish_its_job() -> None:
    with started(FAKE) as worker:
        begin_computing(worker, "slow", "60")
        worker.send(Shutdown(0.2))
        assert worker.process.wait(ENDS_WITHIN_S) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_is_the_brokers_business(worker: Harness, number: int) -> None:
    worker.process.send_signal(number)
    assert finishes_a_job(worker)


def has_ended(pid: int) -> bool:
    """Whether a process that isn't our child is gone, or waits only to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + ENDS_WITHIN_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


PARENT = """
import subprocess, sys, time
line, held, *command = sys.argv[1:]
child = subprocess.Popen(command, stdin=int(held) if held else subprocess.PIPE)
if not held:
    child.stdin.write(line.encode())
    child.stdin.flush()
print(child.pid, flush=True)
time.sleep(60)
"""


@ON_LINUX
@pytest.mark.parametrize("input_ends", [True, False])
def test_a_killed_parent_leaves_no_orphan(input_ends: bool, tmp_path: Path) -> None:  # noqa: FBT001
    log = tmp_path / "worker.log"
    start = {"endpoint": f"ipc://{tmp_path}/none", "identity": "ab" * 32, "log_file": str(log)}
    line = json.dumps(start) + "\n"
    theirs, ours = os.pipe()  # we hold the other end, so that it doesn't end with the parent
    held = "" if input_ends else str(theirs)
    parent = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", PARENT, line, held, *FAKE],
        stdout=subprocess.PIPE,
        pass_fds=[theirs],
    )
    try:
        os.write(ours, line.encode())
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: log.exists() and "is ready" in log.read_text(encoding="utf-8"))
        assert not has_ended(pid)
        parent.kill()
        wait_until(lambda: has_ended(pid))
    finally:
        parent.kill()
        parent.communicate()
        os.close(ours)
        os.close(theirs)


# Privacy -----------------------------------------------------------------------------------------


@ON_LINUX
def test_no_core_dump_can_hold_the_picture_and_the_kernel_takes_the_worker_first(
    worker: Harness,
) -> None:
    proc = Path(f"/proc/{worker.process.pid}")
    limits = proc.joinpath("limits").read_text(encoding="ascii")
    core = next(line for line in limits.splitlines() if "core file" in line)
    assert core.split()[4:6] == ["0", "0"]
    assert int(proc.joinpath("coredump_filter").read_text(encoding="ascii"), 16) == 0
    own = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
    score = int(proc.joinpath("oom_score_adj").read_text(encoding="ascii"))
    assert score == min(own + 500, 1000)


@ON_LINUX
def test_nothing_of_the_picture_or_the_identity_is_left_anywhere(tmp_path: Path) -> None:
    canary = b"CANARY-of-32-bytes-for-privacy!!"
    image = np.frombuffer(canary * 12, np.uint8).reshape(12, 32)
    folder = tmp_path / "temporary"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        harness = Harness(FAKE, log_file=str(tmp_path / "worker.log"))
    with harness as worker:
        worker.wait_for(MessageType.FACTS)
        for classes in ((), ("break", "KeyError", canary.decode()), ("break", "MemoryError", "")):
            begin = Begin(
                (image_plane(image, "GRAY"),),
                (Output("foreground", "RGBA", "u16"),),
                options={"classes": list(classes)},
                keep=True,
            )
            worker.run(begin, image.tobytes())
        worker.send(Unload())
        worker.wait_for(MessageType.FACTS)
        proc = Path(f"/proc/{worker.process.pid}")
        shown = [proc.joinpath(name).read_bytes() for name in ("cmdline", "environ")]
        worker.process.kill()
        assert worker.process.stderr is not None
        shown.append(worker.process.stderr.read())
    log = (tmp_path / "worker.log").read_bytes()
    assert b"KeyError" in log
    assert b"fake_compute_worker.py" in log  # where it was, without what it said
    for text in (*shown, log):
        assert b"CANARY" not in text
        assert harness.identity.encode() not in text
    assert not list(folder.rglob("*"))
    assert (tmp_path / "worker.log").stat().st_mode & 0o777 == 0o600


def test_the_next_job_starts_afresh_after_memory_ran_out(worker: Harness) -> None:
    kept = new_job_id()
    assert worker.run(*small_job(keep=True), kept).result.kept
    worker.run(*small_job("break", "MemoryError", ""))
    refine = Refine(kept.hex(), (Output("alpha", "GRAY", "u8"),))
    assert worker.run(refine).error.code == "not_kept"  # it was let go to make room
    assert finishes_a_job(worker)

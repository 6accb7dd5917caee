"""Nothing of a picture is anywhere but in its own client's answer, however its job ends."""

import base64
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from broker_harness import OUTPUTS, START_S, Backend, Raw, is_alive, wait_until

from smart_matte_link.envelope import NO_JOB, Message
from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Grant,
    MessageType,
    Plane,
    Pong,
    Progress,
    Refine,
    Status,
    new_job_id,
)
from smart_matte_link.strict_json import to_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

HERE = Path(__file__).parent
FAKE = (sys.executable, str(HERE / "fake_worker.py"))
FAKE_COMPUTE = (sys.executable, str(HERE / "fake_compute_worker.py"))
REAL = (sys.executable, "-m", "smart_matte.service.worker")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (looked at, not written to)
SERVE = """
import json, resource, sys
from pathlib import Path
from smart_matte.service.lifecycle import serve
from smart_matte.service.settings import Settings

_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
sys.exit(serve(Settings(log_folder=Path(sys.argv[1])), json.loads(sys.argv[2])))
"""

WIDTH, HEIGHT = 64, 32
IMAGE = Plane("image", WIDTH, HEIGHT, "RGBA", "u8", "srgb")
SELECTION = Plane("selection", WIDTH, HEIGHT, "GRAY", "u8", "coverage")
SELECTED = (bytes(WIDTH // 2) + b"\xff" * (WIDTH // 2)) * HEIGHT
CLOSED_FORM = {"matter": "closed-form", "segmenter": "selection", "outer_radius_px": 3}
LOOK_S = 0.005
FILE_BYTES_MAX = 64 << 20
JOB_S = 60.0


class Canary:
    """32 random bytes, and the other ways in which a file might say them."""

    def __init__(self) -> None:
        self.bytes = secrets.token_bytes(32)
        self.pixels = self.bytes * (IMAGE.byte_count // 32)
        halves = (self.bytes[:16], self.bytes[16:])
        turned = [base64.b64encode((self.bytes * 3)[start:])[:40] for start in range(3)]
        self._needles = (
            *halves,
            *(half.hex().encode() for half in halves),
            *(half.hex().upper().encode() for half in halves),
            *(repr(half)[2:-1].encode() for half in halves),
            *(", ".join(map(str, half)).encode() for half in halves),
            *turned,
        )

    def is_in(self, data: bytes) -> bool:
        return any(needle in data for needle in self._needles)


class Watch(threading.Thread):
    """Reads all that appears in some folders, also what soon disappears."""

    def __init__(self, canary: Canary, *folders: Path) -> None:
        super().__init__(daemon=True)
        self.canary, self.folders = canary, folders
        self.before = set(SHARED_MEMORY.iterdir())
        self.found: set[Path] = set()
        self.files_read: set[Path] = set()
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        for path in [*self._files(), *(set(SHARED_MEMORY.iterdir()) - self.before)]:
            data = content_of(path)
            if data is not None:
                self.files_read.add(path)
                if self.canary.is_in(data):
                    self.found.add(path)

    def _files(self) -> Iterator[Path]:
        for folder in self.folders:
            with contextlib.suppress(OSError):  # gone in between
                yield from folder.rglob("*")

    def stop(self) -> None:
        self._is_over.set()
        self.join()
        self.look()


def content_of(path: Path) -> bytes | None:
    """What is in a file; None for what isn't one, or is no more."""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(FILE_BYTES_MAX)
    return None


def traces_in(pid: int, canary: Canary) -> list[str]:
    """Where a process shows the canary: its words, its files (also those without a name)."""
    places = [Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ", "comm")]
    with contextlib.suppress(OSError):
        places += Path(f"/proc/{pid}/fd").iterdir()
    return [str(place) for place in places if canary.is_in(content_of(place) or b"")]


class Service(Backend):
    """The broker with workers of any kind, and places of its own for all that it may write."""

    def __init__(
        self, folder: Path, worker: Sequence[str], canary: Canary, under: Sequence[str] = ()
    ) -> None:
        self.canary = canary
        self.folder = folder / "run"
        places = {name: folder / name.lower() for name in ("TMPDIR", "XDG_STATE_HOME")}
        for path in places.values():
            path.mkdir()
        self.watch = Watch(canary, folder)
        self.watch.start()
        self.process = subprocess.Popen(  # noqa: S603  (our own lines)
            [*under, sys.executable, "-c", SERVE, str(folder / "log"), json.dumps(worker)],
            env={
                **os.environ,
                **{name: str(path) for name, path in places.items()},
                "SMART_MATTE_RUNTIME": str(self.folder),
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            wait_until(self.is_up, START_S)
        except BaseException:
            self.process.kill()
            raise

    def worker_pid(self) -> int:
        wait_until(lambda: [w for w in self.status().workers if w.state in {"idle", "busy"}], JOB_S)
        return self.status().workers[0].pid

    def pids(self) -> tuple[int, int]:
        return self.process.pid, self.worker_pid()

    def log(self) -> str:
        return "".join(path.read_text() for path in (self.folder.parent / "log").iterdir())


class Witness(Raw):
    """A client that remembers every byte it was told."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.heard = b""

    def receive(self, timeout_s: float = JOB_S) -> Message | None:
        message = super().receive(timeout_s)
        if message is not None:
            is_chunk = message.type is MessageType.CHUNK
            self.heard += bytes(message.body) if is_chunk else to_json(message.body)
            if message.type is MessageType.PING:  # the first job of a real worker takes its time
                self.send(Pong(message.body.number))
        return message


@contextlib.contextmanager
def service(folder: Path, worker: Sequence[str], under: Sequence[str] = ()) -> Iterator[Service]:
    """Runs a service, under another program if need be; at the end looks at all that is left."""
    canary = Canary()
    backend = Service(folder, worker, canary, under)
    try:
        backend.worker_pid()
        yield backend
        for pid in backend.pids():
            assert traces_in(pid, canary) == []
    finally:
        backend.process.send_signal(signal.SIGCONT)
        backend.process.terminate()
        out, err = backend.process.communicate(timeout=20)
        backend.watch.stop()
    assert backend.watch.found == set()
    assert folder / "log" / "broker.log" in backend.watch.files_read
    assert not canary.is_in(out + err)


def ask(
    client: Raw,
    canary: Canary,
    selection: bytes = SELECTED,
    *,
    keep: bool = False,
    **options: object,
) -> bytes:
    """Begin a job of the canary, and send all of it."""
    job = new_job_id()
    client.send(Begin((IMAGE, SELECTION), OUTPUTS, options, None, keep), job)
    client.expect(MessageType.GRANT, job)
    client.send_chunk(canary.pixels, job)
    client.send_chunk(selection, job)
    client.send(End(IMAGE.byte_count + SELECTION.byte_count), job)
    return job


def assert_a_witness_hears_nothing(backend: Service, stolen: bytes, **options: object) -> None:
    """Another client asks for what isn't its own, and has a gray picture cut out."""
    with Witness(backend) as witness:
        witness.greet()
        refined = new_job_id()
        witness.send(Refine(stolen.hex(), OUTPUTS), refined)
        witness.expect_error("not_kept", refined)
        witness.send(Status())
        witness.expect(MessageType.STATUS_REPLY)
        job = new_job_id()
        witness.send(Begin((IMAGE, SELECTION), OUTPUTS, options), job)
        witness.expect(MessageType.GRANT, job)
        witness.send_chunk(b"\xc8" * IMAGE.byte_count, job)
        witness.send_chunk(SELECTED, job)
        witness.send(End(IMAGE.byte_count + SELECTION.byte_count), job)
        assert len(witness.download(job)) == WIDTH * HEIGHT * 5
        for body in (Cancel(), Grant(9)):
            witness.send(body, stolen)
        witness.expect_error("bad_message", NO_JOB)
        assert len(witness.heard) > WIDTH * HEIGHT * 5
        assert not backend.canary.is_in(witness.heard)


def test_a_canary_is_seen_wherever_it_is(folder: Path) -> None:
    """That the search finds: as it is, written in hex, as a list, in a file without a name."""
    canary = Canary()
    watch = Watch(canary, folder)
    (folder / "raw").write_bytes(b"x" + canary.pixels)
    (folder / "hex").write_text(canary.pixels.hex())
    (folder / "list").write_text(str(list(canary.pixels)))
    (folder / "text").write_text(str(canary.pixels))
    (folder / "base64").write_bytes(base64.b64encode(b"xx" + canary.pixels))
    (folder / "nothing").write_bytes(bytes(5000))
    watch.look()
    assert {path.name for path in watch.found} == {"raw", "hex", "list", "text", "base64"}
    with (folder / "unlinked").open("wb+") as file:
        (folder / "unlinked").unlink()
        file.write(canary.pixels)
        file.flush()
        assert traces_in(os.getpid(), canary) == [
            f"/proc/self/fd/{file.fileno()}".replace("self", str(os.getpid()))
        ]


def test_the_real_worker_leaves_nothing_of_a_picture(folder: Path) -> None:
    with service(folder, REAL) as backend, Witness(backend) as client:
        client.greet()
        job = ask(client, backend.canary, keep=True, **CLOSED_FORM)
        progress: Progress = client.expect(MessageType.PROGRESS, job).body
        assert progress.stage
        for pid in backend.pids():  # while it computes, or just has
            assert traces_in(pid, backend.canary) == []
        assert len(client.download(job)) == WIDTH * HEIGHT * 5
        assert_a_witness_hears_nothing(backend, job, **CLOSED_FORM)
        refused = new_job_id()
        unknown = {"matter": f"my {backend.canary.bytes.hex()}"}
        client.send(Begin((IMAGE, SELECTION), OUTPUTS, unknown), refused)
        client.expect_error("option", refused)
        failed = ask(client, backend.canary, bytes(len(SELECTED)), **CLOSED_FORM)
        client.expect_error("selection", failed)
        # Without credit for its result no job ends by itself, however quick it is.
        cancelled = ask(client, backend.canary, **CLOSED_FORM)
        client.send(Cancel(), cancelled)
        client.expect_error("cancelled", cancelled)
        killed = ask(client, backend.canary, **CLOSED_FORM)
        os.kill(backend.status().workers[0].pid, signal.SIGKILL)
        client.expect_error("worker_died", killed)


def test_jobs_that_go_wrong_leave_nothing_of_their_pictures(folder: Path) -> None:
    with service(folder, FAKE) as backend, Raw(backend).greet() as client:
        for how in ("fail", "abort", "die", "garbage", "wrong size", "die sending"):
            job = ask(client, backend.canary, do=how, code="picture")
            if how == "die sending":
                client.expect(MessageType.RESULT, job)
                client.send(Grant(9), job)
            client.expect(MessageType.ERROR, job)
            assert_a_witness_hears_nothing(backend, job)


def test_a_cancelled_or_forsaken_job_leaves_nothing_of_its_picture(folder: Path) -> None:
    with service(folder, FAKE) as backend:
        with Raw(backend).greet() as client:
            job = ask(client, backend.canary, seconds=30)
            client.expect(MessageType.PROGRESS, job)
            for pid in backend.pids():
                assert traces_in(pid, backend.canary) == []
            client.send(Cancel(), job)
            client.expect_error("cancelled", job)
            forsaken = ask(client, backend.canary, seconds=30)
            client.expect(MessageType.PROGRESS, forsaken)
        assert_a_witness_hears_nothing(backend, forsaken)


@pytest.mark.parametrize("who", [0, 1], ids=["broker", "worker"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["SIGKILL", "SIGSEGV"])
def test_a_killed_process_leaves_nothing_of_the_picture(
    folder: Path, who: int, number: int
) -> None:
    canary = Canary()
    backend = Service(folder, FAKE, canary)
    try:
        with Raw(backend) as client:
            pids = backend.pids()
            client.greet()
            job = ask(client, canary, seconds=30)
            client.expect(MessageType.PROGRESS, job)
            os.kill(pids[who], number)
            wait_until(lambda: not is_alive(pids[who]))
            if who == 1:
                client.expect_error("worker_died", job)
            else:
                wait_until(lambda: not is_alive(pids[1]))
    finally:
        backend.stop()
        backend.watch.stop()
    assert backend.watch.found == set()
    assert not list(folder.rglob("core*"))


def test_what_an_exception_says_is_not_logged(folder: Path) -> None:
    """A library's error may quote what it worked on; its message is nothing for the log."""
    with service(folder, FAKE_COMPUTE) as backend, Raw(backend).greet() as client:
        for kind in ("KeyError", "RuntimeError", "MemoryError"):
            job = ask(client, backend.canary, classes=["break", kind, backend.canary.bytes.hex()])
            message = client.expect(MessageType.ERROR, job)
            assert not backend.canary.is_in(to_json(message.body))
        assert "KeyError" in backend.log()


@pytest.mark.parametrize("worker", [REAL, FAKE], ids=["real", "fake"])
def test_neither_process_can_dump_core(folder: Path, worker: Sequence[str]) -> None:
    with service(folder, worker) as backend:
        for pid in backend.pids():
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), limits

"""The client against a backend that follows a script."""

import array
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_jobs import (
    COVERAGE,
    IMAGE,
    OUTPUTS,
    PIXELS,
    SELECTION,
    SOURCES,
    SmallChunks,
    assert_is_right,
    client_for,
    cut_out,
)
from fake_backend import FakeBackend, wait_for
from test_link_package import PACKAGE, working_python

from smart_matte_link import session
from smart_matte_link.envelope import Message
from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import (
    ERROR_CODES,
    Error,
    Grant,
    MessageType,
    Output,
    Plane,
    Progress,
    make_error,
)


class Stingy(SmallChunks):
    """Grants five chunks at a time, and only when all before have come and no other is there."""

    def on_begin(self, message: Message) -> None:
        self.begin, self.pixels, self.chunks = message.body, bytearray(), 0
        self.send(Grant(5), message.job)

    def on_chunk(self, message: Message) -> None:
        self.chunks += 1
        self.pixels += message.body
        assert len(message.body) <= 4096
        if self.chunks % 5 == 0 and len(self.pixels) < self.begin.byte_count:
            assert not self.socket.poll(2), "a chunk came without credit"
            self.send(Grant(5), message.job)


@pytest.mark.parametrize("endpoint", [None, "tcp://127.0.0.1:*"], ids=["ipc", "tcp"])
def test_a_cutout_comes_back_bit_exact_with_its_report_and_progress(
    folder: Path, endpoint: str | None
) -> None:
    seen: list[Progress] = []
    with FakeBackend(folder, endpoint) as backend, client_for(folder) as client:
        answer = cut_out(client, Wishes(progress=seen.append, deadline_s=20), decontaminate=50)
        assert_is_right(answer)
        assert answer.report == {"device": "cpu"}
        assert seen == [Progress("queued", 0, 2), Progress("matting", 0.5)]
        assert backend.begin.options == {"decontaminate": 50}
        assert backend.begin.deadline_s == 20
        assert_is_right(cut_out(client))


def test_pixels_that_need_more_than_the_first_credit_wait_for_more(folder: Path) -> None:
    image = Plane("image", 301, 203, "RGB", "u16", "linear")
    selection = Plane("selection", 301, 203, "GRAY", "f32", "coverage")
    pixels, coverage = os.urandom(image.byte_count), os.urandom(selection.byte_count)
    outputs = [
        Output("foreground", "RGB", "u16"),
        Output("trimap", "GRAY", "u8"),
        Output("alpha", "GRAY", "f32"),
    ]
    with Stingy(folder) as backend, client_for(folder) as client:
        answer = client.cutout([(image, pixels), (selection, coverage)], outputs)
        assert backend.chunks > 100
    assert answer.planes["foreground"].pixels == pixels
    assert answer.planes["foreground"].plane.encoding == "linear"
    assert answer.planes["alpha"].pixels == coverage
    assert answer.planes["trimap"].pixels == b"\x80" * (301 * 203)


BANDS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "floats": lambda pixels: array.array("f", pixels),
    "a list of rows": lambda pixels: [pixels[at : at + 256] for at in range(0, len(pixels), 256)],
    "a generator of odd bands": lambda pixels: (
        bytearray(pixels[at : at + 777]) for at in range(0, len(pixels), 777)
    ),
    "one band and empty ones": lambda pixels: iter([b"", pixels, b"", memoryview(b"")]),
}


@pytest.mark.parametrize("wrap", BANDS.values(), ids=BANDS.keys())
def test_pixels_may_be_any_buffer_or_bands_of_them(
    folder: Path, wrap: Callable[[bytes], Any]
) -> None:
    with FakeBackend(folder), client_for(folder) as client:
        sources = [(IMAGE, wrap(PIXELS)), (SELECTION, wrap(COVERAGE))]
        assert_is_right(client.cutout(sources, OUTPUTS))


@pytest.mark.parametrize("pixels", [PIXELS[:-1], PIXELS + b"\0", b"", memoryview(PIXELS * 2)[::2]])
def test_a_buffer_of_the_wrong_size_is_refused_before_anything_is_sent(
    folder: Path, pixels: bytes
) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        client.connect()
        with pytest.raises(LinkError) as caught:
            client.cutout([(IMAGE, pixels)], OUTPUTS)
        assert caught.value.code == "bad_geometry"
        client.status()
        assert backend.seen == [MessageType.HELLO, MessageType.PROOF, MessageType.STATUS]
        assert_is_right(cut_out(client))


@pytest.mark.parametrize(
    "bands", [[PIXELS[:-1]], [PIXELS, b"\0"], [], [PIXELS[:100], PIXELS[:100]]], ids=len
)
def test_bands_of_the_wrong_size_end_the_job_and_not_the_connection(
    folder: Path, bands: list[bytes]
) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        with pytest.raises(LinkError) as caught:
            client.cutout([(IMAGE, iter(bands))], OUTPUTS)
        assert caught.value.code == "bad_geometry"
        assert wait_for(lambda: MessageType.CANCEL in backend.seen)
        assert_is_right(cut_out(client))
        assert backend.seen.count(MessageType.HELLO) == 1


@pytest.mark.parametrize("value", [float("nan"), b"bytes", "a\0b", "a" * 70_000])
def test_options_that_cannot_be_sent_are_refused_and_nothing_else_happens(
    folder: Path, value: object
) -> None:
    with FakeBackend(folder), client_for(folder) as client:
        with pytest.raises(ProtocolError):
            cut_out(client, decontaminate=value)
        assert_is_right(cut_out(client))


def test_refine_sends_no_pixels_and_can_be_repeated(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        first = client.cutout(SOURCES, OUTPUTS, keep=True)
        assert first.kept
        sent = backend.pixel_bytes
        second = client.refine(first, OUTPUTS[:1], {"decontaminate": 10})
        third = client.refine(second, OUTPUTS, {"decontaminate": 20})
        assert backend.pixel_bytes == sent
        assert backend.begin.options == {"decontaminate": 20}
        assert third.source == first.source
    assert second.planes["alpha"].pixels == COVERAGE
    assert_is_right(third)


def test_refining_what_was_not_kept_says_so(folder: Path) -> None:
    with FakeBackend(folder), client_for(folder) as client:
        answer = cut_out(client)
        assert not answer.kept
        with pytest.raises(LinkError) as caught:
            client.refine(answer, OUTPUTS)
        assert caught.value.code == "not_kept"
        assert_is_right(cut_out(client))


def test_status_and_shutdown(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        assert client.status().state == "running"
        assert client.connect().capabilities == ("refine",)
        assert client.status().uptime_s == 1.5
        assert backend.seen.count(MessageType.HELLO) == 1
        assert client.shutdown(drain_s=1)
        with pytest.raises(LinkError) as caught:
            client.status()
        assert caught.value.code == "unreachable"


def test_a_closed_client_connects_again_when_it_is_used_again(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        client = client_for(folder)
        client.close()
        client.status()
        client.close()
        client.close()
        client.status()
        client.close()
        assert backend.seen.count(MessageType.HELLO) == 2


def test_the_token_is_never_sent(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        frames: list[bytes] = []
        take = backend._take
        backend._take = lambda peer, frame: (frames.append(frame), take(peer, frame))  # type: ignore[func-returns-value,method-assign]
        cut_out(client)
        everything = b"".join(frames)
        assert len(frames) > 4
        assert backend.token not in everything
        assert backend.token.hex().encode() not in everything


@pytest.mark.parametrize("stage", ["begin", "chunk", "end"])
@pytest.mark.parametrize("code", sorted({*ERROR_CODES} - {"lost", "worker_died", "draining"}))
def test_an_error_reaches_the_caller_and_the_next_job_works(
    folder: Path, code: str, stage: str
) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        normal = getattr(backend, f"on_{stage}")

        def fail(message: Message) -> None:
            setattr(backend, f"on_{stage}", normal)
            backend.send(make_error(code, "A sentence.", "A hint.", 2.5), message.job)

        setattr(backend, f"on_{stage}", fail)
        with pytest.raises(LinkError) as caught:
            cut_out(client)
        assert caught.value.code == code
        assert str(caught.value) == "A sentence. A hint."
        assert caught.value.retry_after_s == 2.5
        assert_is_right(cut_out(client))
        assert MessageType.CANCEL not in backend.seen
        assert backend.seen.count(MessageType.HELLO) == 1


def test_a_code_from_the_future_is_shown_like_any_other(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        backend.on_begin = lambda message: backend.send(  # type: ignore[method-assign]
            Error("eclipse", "The moon is in the way."), message.job
        )
        with pytest.raises(LinkError, match="moon") as caught:
            cut_out(client)
        assert caught.value.code == "eclipse"


def test_a_worker_that_died_is_worth_one_more_try_and_only_one(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        normal, tries = backend.on_end, []

        def die_once(message: Message) -> None:
            tries.append(message.job)
            backend.send(make_error("worker_died", "It died."), message.job)
            if len(tries) % 2:
                backend.on_end = normal  # type: ignore[method-assign]

        backend.on_end = die_once  # type: ignore[method-assign]
        assert_is_right(cut_out(client))
        assert len(tries) == 1

        def always_die(message: Message) -> None:
            tries.append(message.job)
            backend.send(make_error("worker_died", "It died."), message.job)

        backend.on_end = always_die  # type: ignore[method-assign]
        with pytest.raises(LinkError) as caught:
            cut_out(client)
        assert caught.value.code == "worker_died"
        assert len(tries) == len({*tries}) == 3


def test_bands_that_are_read_once_are_never_sent_twice(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        backend.on_end = lambda message: backend.send(  # type: ignore[method-assign]
            make_error("worker_died", "It died."), message.job
        )
        with pytest.raises(LinkError):
            client.cutout([(IMAGE, iter([PIXELS]))], OUTPUTS)
        assert backend.seen.count(MessageType.BEGIN) == 1


def test_an_interrupt_in_the_middle_of_a_frame_ends_the_connection_and_not_the_client(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeBackend(folder), client_for(folder) as client:
        client.connect()

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(session, "decode_body", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cut_out(client)
        monkeypatch.undo()
        assert_is_right(cut_out(client))


def test_the_protocol_error_is_the_callers_when_the_planes_make_no_sense(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        client.connect()
        for planes in ([], [SOURCES[1]], [SOURCES[0], SOURCES[0]]):
            with pytest.raises(LinkError):
                client.cutout(planes, OUTPUTS)
        with pytest.raises(LinkError):
            client.cutout(SOURCES, [])
        assert MessageType.BEGIN not in backend.seen


EXCHANGE = """
import pathlib, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from smart_matte_link.client import Client
from smart_matte_link.messages import Output, Plane
image = Plane("image", 640, 480, "BGRA", "u16", "srgb")
pixels = bytes(range(256)) * (image.byte_count // 256)
bands = (pixels[at : at + 100_000] for at in range(0, len(pixels), 100_000))
outputs = [Output("foreground", "BGRA", "u16"), Output("alpha", "GRAY", "f32")]
with Client("old", "1", folder=pathlib.Path(sys.argv[2]), start=False) as client:
    assert client.cutout([(image, bands)], outputs, keep=True).planes["foreground"].pixels == pixels
    answer = client.cutout([(image, pixels)], outputs, keep=True)
    assert client.refine(answer, outputs).planes["foreground"].pixels == pixels
    print(client.status().state)
"""


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_the_pythons_of_editors_get_their_cutouts(folder: Path, version: str) -> None:
    python = working_python(version)
    if python is None:
        pytest.skip(f"no working python{version} on PATH")
    with SmallChunks(folder):
        answer = subprocess.run(  # noqa: S603  (a Python and fixed words)
            [python, "-I", "-W", "error", "-c", EXCHANGE, str(PACKAGE.parent), str(folder)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (answer.stdout.strip(), answer.stderr) == ("running", "")

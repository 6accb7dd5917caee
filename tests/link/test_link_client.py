"""The client against a backend that follows a script."""

import array
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_backend import EPOCH, FakeBackend, wait_for
from raw_server import GREETING, READY, raw_server, say_and_wait
from test_link_package import PACKAGE, working_python

from smart_matte_link import session, starting
from smart_matte_link.authentication import Exchange, compute_proof, new_token
from smart_matte_link.client import Client
from smart_matte_link.connection import write_connection
from smart_matte_link.envelope import Message, chunk_header
from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.job import Answer, Wishes
from smart_matte_link.messages import (
    ERROR_CODES,
    SPECIFICATION,
    Challenge,
    ConnectionInfo,
    Draining,
    End,
    Error,
    Grant,
    MessageType,
    Output,
    Ping,
    Plane,
    Progress,
    Result,
    Upgrade,
    make_error,
)
from smart_matte_link.session import Identity
from smart_matte_link.starting import open_session

IMAGE = Plane("image", 64, 48, "RGBA", "u8", "srgb")
SELECTION = Plane("selection", 64, 48, "GRAY", "u8", "coverage")
PIXELS = bytes(range(256)) * 48
COVERAGE = bytes(range(64)) * 48
SOURCES = [(IMAGE, PIXELS), (SELECTION, COVERAGE)]
OUTPUTS = [Output("alpha", "GRAY", "u8"), Output("foreground", "RGBA", "u8")]


def client_for(folder: Path) -> Client:
    return Client("test", "1.0", folder=folder, start=False)


def cut_out(client: Client, wishes: Wishes | None = None, **options: Any) -> Answer:
    return client.cutout(SOURCES, OUTPUTS, options, wishes or Wishes())


def assert_is_right(answer: Answer) -> None:
    assert list(answer.planes) == ["alpha", "foreground"]
    assert answer.planes["alpha"].pixels == COVERAGE
    assert answer.planes["foreground"].pixels == PIXELS
    assert answer.planes["foreground"].plane == Plane("foreground", 64, 48, "RGBA", "u8", "srgb")


class SmallChunks(FakeBackend):
    """Cuts everything into 4 KiB, so that a few KiB need several chunks."""

    chunk_bytes = 4096


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


# Errors ------------------------------------------------------------------------------------------


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


# Cancel, deadline, silence -----------------------------------------------------------------------


class Stuck(SmallChunks):
    """Stops making headway at one stage."""

    def __init__(self, folder: Path, stage: str) -> None:
        super().__init__(folder)
        setattr(self, f"on_{stage}", lambda _: self.is_stuck.set())
        self.is_stuck = threading.Event()


STAGES = ["begin", "chunk", "end", "grant"]


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_is_obeyed_at_every_stage_and_the_next_job_works(folder: Path, stage: str) -> None:
    cancel = threading.Event()
    with Stuck(folder, stage) as backend, client_for(folder) as client:
        threading.Thread(target=lambda: (backend.is_stuck.wait(10), cancel.set())).start()
        started = time.monotonic()
        with pytest.raises(LinkError) as caught:
            client.cutout([(IMAGE, PIXELS * 1)], OUTPUTS, wishes=Wishes(cancel=cancel))
        assert caught.value.code == "cancelled"
        assert time.monotonic() - started < 5
        assert wait_for(lambda: MessageType.CANCEL in backend.seen)
        setattr(backend, f"on_{stage}", getattr(SmallChunks, f"on_{stage}").__get__(backend))
        assert_is_right(cut_out(client))
        assert backend.seen.count(MessageType.HELLO) == 1


def test_a_job_that_is_cancelled_before_it_begins_sends_no_pixels(folder: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with FakeBackend(folder) as backend, client_for(folder) as client:
        with pytest.raises(LinkError) as caught:
            cut_out(client, Wishes(cancel=cancel))
        assert caught.value.code == "cancelled"
        client.status()
        assert backend.pixel_bytes == 0


def test_what_still_comes_for_a_cancelled_job_is_dropped(folder: Path) -> None:
    cancel = threading.Event()
    with FakeBackend(folder) as backend, client_for(folder) as client:
        backend.on_cancel = lambda _: None  # type: ignore[method-assign]

        def on_end(message: Message) -> None:
            cancel.set()
            wait_for(lambda: client._session and message.job in client._session._ended)
            backend.send_result(message.job)
            backend.credit = 100
            for chunk in backend.outgoing:
                backend.send_chunk(chunk, message.job)
            backend.send(End(backend.result_bytes), message.job)
            backend.on_end = type(backend).on_end.__get__(backend)  # type: ignore[method-assign]

        backend.on_end = on_end  # type: ignore[method-assign]
        with pytest.raises(LinkError):
            cut_out(client, Wishes(cancel=cancel))
        for _ in range(3):
            assert_is_right(cut_out(client))
        assert backend.seen.count(MessageType.HELLO) == 1


class BoomError(Exception):
    """Something in the editor."""


def test_what_the_progress_callback_raises_cancels_the_job_and_goes_on_up(folder: Path) -> None:
    def boom(_: Progress) -> None:
        raise BoomError

    with FakeBackend(folder) as backend, client_for(folder) as client:
        with pytest.raises(BoomError):
            cut_out(client, Wishes(progress=boom))
        assert wait_for(lambda: MessageType.CANCEL in backend.seen)
        assert_is_right(cut_out(client))


def test_what_reading_the_pixels_raises_cancels_the_job_and_goes_on_up(folder: Path) -> None:
    def bands() -> Iterator[bytes]:
        yield PIXELS[:100]
        raise BoomError

    with FakeBackend(folder) as backend, client_for(folder) as client:
        with pytest.raises(BoomError):
            client.cutout([(IMAGE, bands())], OUTPUTS)
        assert wait_for(lambda: MessageType.CANCEL in backend.seen)
        assert_is_right(cut_out(client))


@pytest.mark.parametrize("stage", STAGES)
def test_a_deadline_ends_a_job_that_makes_no_headway(
    folder: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_matte_link.job.GRACE_S", 0.1)
    with Stuck(folder, stage) as backend, client_for(folder) as client:
        with pytest.raises(LinkError, match=r"longer than 0\.2 s") as caught:
            cut_out(client, Wishes(deadline_s=0.2))
        assert caught.value.code == "deadline"
        assert wait_for(lambda: MessageType.CANCEL in backend.seen)


def test_a_long_lease_is_the_backends_patience_and_not_the_clients(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_matte_link.session.ANSWER_S", 0.5)
    with FakeBackend(folder) as backend, client_for(folder) as client:
        backend.lease_s = 600.0
        backend.on_chunk = backend.on_ping = lambda _: None  # type: ignore[method-assign]
        with pytest.raises(LinkError, match="stopped answering") as caught:
            client.cutout([(IMAGE, iter([PIXELS]))], OUTPUTS)
        assert caught.value.code == "lost"


class ShortLease(FakeBackend):
    lease_s = 1.0


@pytest.mark.parametrize("stage", ["chunk", "grant"])
def test_a_backend_that_falls_silent_is_lost_within_its_lease(folder: Path, stage: str) -> None:
    with ShortLease(folder) as backend, client_for(folder) as client:
        setattr(backend, f"on_{stage}", lambda _: None)
        backend.on_ping = lambda _: None  # type: ignore[method-assign]
        started = time.monotonic()
        with pytest.raises(LinkError, match="stopped answering") as caught:
            client.cutout([(IMAGE, iter([PIXELS]))], OUTPUTS)
        assert caught.value.code == "lost"
        assert time.monotonic() - started < 4


def test_a_long_job_lives_as_long_as_pings_are_answered(folder: Path) -> None:
    with ShortLease(folder) as backend, client_for(folder) as client:

        def on_ping(message: Message) -> None:
            FakeBackend.on_ping(backend, message)
            if backend.seen.count(MessageType.PING) == 6:
                backend.send_result(waiting[0])

        waiting: list[bytes] = []
        backend.on_end = lambda message: (  # type: ignore[method-assign]
            waiting.append(message.job),
            setattr(backend, "kept", None),
        )
        backend.on_ping = on_ping  # type: ignore[method-assign]
        assert_is_right(cut_out(client))
        assert backend.seen.count(MessageType.PING) >= 6


def test_the_backends_pings_are_answered_while_a_job_is_open(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        pongs: list[int] = []

        def on_pong(message: Message) -> None:
            pongs.append(message.body.number)
            backend.send_result(waiting[0])

        def on_end(message: Message) -> None:
            waiting.append(message.job)
            backend.send(Ping(77))

        waiting: list[bytes] = []
        backend.on_pong = on_pong  # type: ignore[attr-defined]
        backend.on_end = on_end  # type: ignore[method-assign]
        assert_is_right(cut_out(client))
        assert pongs == [77]


# Who is there ------------------------------------------------------------------------------------


def assert_refused(folder: Path, backend: FakeBackend, code: str) -> None:
    with client_for(folder) as client:
        with pytest.raises(LinkError) as caught:
            cut_out(client)
        assert caught.value.code == code
    assert backend.pixel_bytes == 0
    assert MessageType.BEGIN not in backend.seen


def test_an_impostor_gets_neither_a_proof_nor_a_pixel(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        for _ in range(100):
            backend.token = new_token()
            assert_refused(folder, backend, "not_authorised")
        assert {*backend.seen} == {MessageType.HELLO}


def impostor_proof(backend: FakeBackend, kind: str, hello: Message) -> str:
    nonce = hello.body.nonce
    right = Exchange(nonce, "11" * 32, backend.endpoint)
    return {
        "reflected": compute_proof(backend.token, "client", right),
        "from another endpoint": compute_proof(
            backend.token, "backend", right._replace(endpoint="ipc:///other")
        ),
        "replayed": compute_proof(backend.token, "backend", right._replace(client_nonce="22" * 32)),
        "for another nonce": compute_proof(
            backend.token, "backend", right._replace(backend_nonce="33" * 32)
        ),
        "the nonce itself": nonce,
        "zeros": "00" * 32,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "reflected",
        "from another endpoint",
        "replayed",
        "for another nonce",
        "the nonce itself",
        "zeros",
    ],
)
def test_a_proof_that_is_not_for_this_connection_is_none(folder: Path, kind: str) -> None:
    with FakeBackend(folder) as backend:
        backend.on_hello = lambda hello: backend.send(  # type: ignore[method-assign]
            Challenge("11" * 32, impostor_proof(backend, kind, hello))
        )
        assert_refused(folder, backend, "not_authorised")
        assert {*backend.seen} == {MessageType.HELLO}


def test_a_backend_that_welcomes_without_a_proof_is_none(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        backend.on_hello = lambda _: backend.send(backend.welcome())  # type: ignore[method-assign]
        assert_refused(folder, backend, "bad_message")


def test_a_backend_that_does_not_like_our_proof_says_so(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        backend.on_proof = lambda _: backend.send(  # type: ignore[method-assign]
            make_error("not_authorised", "Who are you?")
        )
        assert_refused(folder, backend, "not_authorised")


@pytest.mark.parametrize(
    ("transcript", "code"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(64), "bad_message"),
        (b"\xff" + bytes(7) + b"\x01\x7f\x01\x05\x00\x00" + bytes(64), "version"),
        (GREETING + READY + b"\x00\x05hello", "bad_message"),
        (GREETING + READY + b"\x00\x00", "bad_message"),
        (GREETING + READY + b"\x02" + b"\xff" * 8, "bad_message"),
    ],
)
def test_another_program_at_the_endpoint_gets_no_more_than_a_hello(
    folder: Path, transcript: bytes, code: str
) -> None:
    with raw_server(folder, say_and_wait(transcript)) as endpoint:
        info = ConnectionInfo(SPECIFICATION, 1, "-", endpoint, "ab" * 32, "1", EPOCH)
        write_connection(folder, info)
        with pytest.raises(LinkError) as caught:
            client_for(folder).connect()
        assert caught.value.code == code


def test_nobody_there_is_unreachable(folder: Path) -> None:
    with pytest.raises(LinkError, match="No backend is running") as caught:
        client_for(folder).connect()
    assert caught.value.code == "unreachable"
    with FakeBackend(folder):
        pass  # its connection file stays behind
    with pytest.raises(LinkError) as caught:
        client_for(folder).connect()
    assert caught.value.code == "unreachable"


# Versions ----------------------------------------------------------------------------------------


def test_an_older_client_is_told_to_update(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        backend.on_proof = lambda _: backend.send(  # type: ignore[method-assign]
            Upgrade(2, 3, "9.0", "client")
        )
        assert_refused(folder, backend, "version")
        assert MessageType.SHUTDOWN not in backend.seen


def test_an_older_backend_is_asked_to_make_room(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        backend.on_proof = lambda _: backend.send(  # type: ignore[method-assign]
            Upgrade(1, 1, "0.9", "backend")
        )
        with pytest.raises(LinkError) as caught:
            open_session(folder, Identity("test", "2.0", (2, 3)), None, start=False)
        assert caught.value.code == "unreachable"
        assert backend.seen == [MessageType.HELLO, MessageType.PROOF, MessageType.SHUTDOWN]


def test_an_older_backend_that_stays_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_matte_link.starting.wait_until_gone", lambda *_: False)
    with FakeBackend(folder) as backend:
        backend.on_shutdown = lambda _: None  # type: ignore[method-assign]
        backend.on_proof = lambda _: backend.send(  # type: ignore[method-assign]
            Upgrade(1, 1, "0.9", "backend")
        )
        with pytest.raises(LinkError, match="too old for this program") as caught:
            client_for(folder).connect()
        assert caught.value.code == "version"


def test_a_protocol_that_was_not_offered_is_refused(folder: Path) -> None:
    with FakeBackend(folder) as backend:
        backend.on_proof = lambda _: backend.send(  # type: ignore[method-assign]
            type(backend.welcome())(**{**vars(backend.welcome()), "protocol": 2})
        )
        assert_refused(folder, backend, "version")


# A backend that dies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        ("begin", "unreachable"),  # nothing of the bands was read: the next backend is looked for
        ("chunk", "lost"),
        ("end", "lost"),
        ("grant", "lost"),
        ("status", "unreachable"),
    ],
)
def test_a_backend_that_dies_at_any_stage_is_reported(folder: Path, stage: str, code: str) -> None:
    with SmallChunks(folder) as backend, client_for(folder) as client:
        setattr(backend, f"on_{stage}", lambda _: backend.die())
        started = time.monotonic()
        with pytest.raises(LinkError) as caught:
            client.status() if stage == "status" else client.cutout([(IMAGE, [PIXELS])], OUTPUTS)
        assert caught.value.code == code
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("stage", ["begin", "chunk", "end", "grant"])
def test_the_job_is_done_by_the_next_backend_when_the_first_one_dies(
    folder: Path, stage: str
) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(SmallChunks(folder))
        client = stack.enter_context(client_for(folder))
        client.connect()

        def die(_: Message) -> None:
            second = FakeBackend(folder, f"ipc://{folder}/second")
            stack.enter_context(second)
            first.die()

        setattr(first, f"on_{stage}", die)
        assert_is_right(cut_out(client))


def make_way(stack: contextlib.ExitStack, first: FakeBackend) -> Callable[[Message], None]:
    """What a backend does that dies when another has taken its place."""

    def die(_: Message) -> None:
        stack.enter_context(FakeBackend(first.folder, f"ipc://{first.folder}/second"))
        first.die()

    return die


def test_bands_that_were_not_read_yet_go_to_the_next_backend(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(FakeBackend(folder))
        client = stack.enter_context(client_for(folder))
        first.on_begin = make_way(stack, first)  # type: ignore[method-assign]
        bands = [(IMAGE, iter([PIXELS])), (SELECTION, iter([COVERAGE]))]
        assert_is_right(client.cutout(bands, OUTPUTS))


def test_status_is_asked_of_the_next_backend(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(FakeBackend(folder))
        client = stack.enter_context(client_for(folder))
        first.on_status = make_way(stack, first)  # type: ignore[method-assign]
        assert client.status().state == "running"


def test_what_a_backend_kept_that_is_gone_is_not_kept(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(FakeBackend(folder))
        client = stack.enter_context(client_for(folder))
        answer = client.cutout([(IMAGE, PIXELS)], OUTPUTS, keep=True)
        first.on_refine = make_way(stack, first)  # type: ignore[method-assign]
        with pytest.raises(LinkError) as caught:
            client.refine(answer, OUTPUTS)
        assert caught.value.code == "not_kept"


def test_a_draining_backend_is_waited_for_only_until_the_user_cancels(folder: Path) -> None:
    cancel = threading.Event()
    with FakeBackend(folder) as backend, client_for(folder) as client:

        def drain(message: Message) -> None:
            backend.send(make_error("draining", "It is going."), message.job)
            threading.Timer(0.2, cancel.set).start()

        backend.on_begin = drain  # type: ignore[method-assign]
        started = time.monotonic()
        with pytest.raises(LinkError) as caught:
            cut_out(client, Wishes(cancel=cancel))
        assert caught.value.code == "cancelled"
        assert time.monotonic() - started < starting.GONE_S / 2


def test_a_draining_backend_is_waited_for_and_the_next_one_asked(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(FakeBackend(folder))
        client = stack.enter_context(client_for(folder))

        def drain(message: Message) -> None:
            first.send(Draining("idle"))
            first.send(make_error("draining", "It is going."), message.job)
            second = FakeBackend(folder, f"ipc://{folder}/second")
            threading.Timer(0.3, lambda: stack.enter_context(second)).start()

        first.on_begin = drain  # type: ignore[method-assign]
        assert_is_right(cut_out(client))


# A backend that breaks the protocol --------------------------------------------------------------


def spoil_other_planes(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job, planes=(Plane("alpha", 64, 48, "GRAY", "u16", "coverage"),))


def spoil_other_size(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job, planes=(Plane("alpha", 65_535, 1800, "GRAY", "f32", "coverage"),))


def spoil_order_of_planes(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job, planes=backend.compute()[0][::-1])


def spoil_epoch(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job, epoch="00" * 16)


def spoil_too_many_bytes(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job)
    backend.outgoing.append(b"x")


def spoil_too_few_bytes(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job)
    backend.outgoing[-1] = backend.outgoing[-1][:-1]


def spoil_wrong_count(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job)
    backend.result_bytes -= 1


def spoil_early_chunk(backend: FakeBackend, job: bytes) -> None:
    backend.send_chunk(b"early", job)


def spoil_early_end(backend: FakeBackend, job: bytes) -> None:
    backend.send(End(0), job)


def spoil_two_results(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job)
    planes, _ = backend.compute()
    backend.send(Result(planes, {}, EPOCH), job)


def spoil_late_progress(backend: FakeBackend, job: bytes) -> None:
    backend.send_result(job)
    backend.send(Progress("again", 0), job)


def spoil_other_job(backend: FakeBackend, _: bytes) -> None:
    backend.send(Progress("mine", 0), b"\x07" * 16)


def spoil_number(backend: FakeBackend, job: bytes) -> None:
    backend.line.sent.take(job)
    backend.send_result(job)


def spoil_checksum(backend: FakeBackend, job: bytes) -> None:
    backend.send_frame(chunk_header(b"right", 2, job) + b"wrong")


def spoil_magic(backend: FakeBackend, _: bytes) -> None:
    backend.send_frame(b"HTTP/1.1 200 OK, and 32 bytes of header")


def spoil_empty_frame(backend: FakeBackend, _: bytes) -> None:
    backend.send_frame(b"")


def spoil_direction(backend: FakeBackend, job: bytes) -> None:
    backend.send(backend.begin, job)


def spoil_connection_error(backend: FakeBackend, _: bytes) -> None:
    backend.send(make_error("bad_message", "I don't like you."))


SPOILERS = {
    name.removeprefix("spoil_"): value
    for name, value in list(globals().items())
    if name.startswith("spoil_")
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS.keys())
def test_a_backend_that_breaks_the_protocol_is_found_out_and_the_next_job_works(
    folder: Path, spoil: Callable[[FakeBackend, bytes], None]
) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        normal = backend.on_end

        def on_end(message: Message) -> None:
            backend.on_end = normal  # type: ignore[method-assign]
            spoil(backend, message.job)

        backend.on_end = on_end  # type: ignore[method-assign]
        started = time.monotonic()
        with pytest.raises(LinkError) as caught:
            cut_out(client)
        assert caught.value.code in {"bad_message", "bad_geometry"}
        assert time.monotonic() - started < 3
        assert_is_right(cut_out(client))


def test_a_silent_backend_does_not_hold_the_status_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_matte_link.client.STATUS_S", 0.2)
    with FakeBackend(folder) as backend, client_for(folder) as client:
        normal = backend.on_status
        backend.on_status = lambda _: None  # type: ignore[method-assign]
        with pytest.raises(LinkError) as caught:
            client.status()
        assert caught.value.code == "deadline"
        backend.on_status = normal  # type: ignore[method-assign]
        assert client.status().state == "running"


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


def test_the_protocol_error_is_the_callers_when_the_planes_make_no_sense(folder: Path) -> None:
    with FakeBackend(folder) as backend, client_for(folder) as client:
        client.connect()
        for planes in ([], [SOURCES[1]], [SOURCES[0], SOURCES[0]]):
            with pytest.raises(LinkError):
                client.cutout(planes, OUTPUTS)
        with pytest.raises(LinkError):
            client.cutout(SOURCES, [])
        assert MessageType.BEGIN not in backend.seen

"""Cancel, deadline, silence: whoever waits is never left waiting."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_jobs import IMAGE, OUTPUTS, PIXELS, SmallChunks, assert_is_right, client_for, cut_out
from fake_backend import FakeBackend, wait_for

from smart_matte_link.envelope import Message
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import End, MessageType, Ping, Progress


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

"""A backend that dies, or goes, in the middle of a job."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from client_jobs import (
    COVERAGE,
    IMAGE,
    OUTPUTS,
    PIXELS,
    SELECTION,
    SmallChunks,
    assert_is_right,
    client_for,
    cut_out,
)
from fake_backend import FakeBackend

from smart_matte_link import starting
from smart_matte_link.envelope import Message
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import Draining, make_error


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


def make_way(stack: contextlib.ExitStack, first: FakeBackend) -> Callable[[Message], None]:
    """What a backend does that dies when another has taken its place."""

    def die(_: Message) -> None:
        stack.enter_context(FakeBackend(first.folder, f"ipc://{first.folder}/second"))
        first.die()

    return die


@pytest.mark.parametrize("stage", ["begin", "chunk", "end", "grant"])
def test_the_job_is_done_by_the_next_backend_when_the_first_one_dies(
    folder: Path, stage: str
) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(SmallChunks(folder))
        client = stack.enter_context(client_for(folder))
        client.connect()
        setattr(first, f"on_{stage}", make_way(stack, first))
        assert_is_right(cut_out(client))


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

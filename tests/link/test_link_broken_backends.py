"""A backend that breaks the protocol is found out, and the next job works."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from client_jobs import assert_is_right, client_for, cut_out
from fake_backend import EPOCH, FakeBackend

from smart_matte_link.envelope import Message, chunk_header
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import End, Plane, Progress, Result, make_error


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

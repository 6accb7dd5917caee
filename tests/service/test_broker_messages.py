"""Every message that breaks the protocol is answered with its code, and harms nobody else."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from broker_harness import HELLO, IMAGE, OUTPUTS, PIXELS, Backend, Raw, running, wait_until

from smart_matte_link.authentication import compute_proof
from smart_matte_link.envelope import HEADER, MAGIC, NO_JOB, encode
from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Facts,
    Grant,
    MessageType,
    Ping,
    Progress,
    Proof,
    Refine,
    Shutdown,
    Status,
    new_job_id,
)

JOB = bytes(range(16))


@pytest.fixture(scope="module")
def shared_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    path = tmp_path_factory.mktemp("messages")
    path.chmod(0o700)
    with running(path) as backend:
        yield backend


@pytest.fixture(autouse=True)
def good_client_is_served_afterwards(shared_backend: Backend):
    yield
    assert shared_backend.is_healthy()


def frame(kind: int, body: bytes, job: bytes = NO_JOB, seq: int = 2, **changes: object) -> bytes:
    fields = {"magic": MAGIC, "protocol": 1, "flags": 0, "crc": zlib.crc32(body), **changes}
    return (
        HEADER.pack(
            fields["magic"], fields["protocol"], kind, fields["flags"], job, seq, fields["crc"]
        )
        + body
    )


PING = b'{"number":1}'
BAD_ENVELOPES = {
    "wrong magic": frame(MessageType.PING, PING, magic=b"SMT2"),
    "no header": b"SMT1",
    "empty": b"",
    "protocol 0": frame(MessageType.PING, PING, protocol=0),
    "protocol 65535": frame(MessageType.PING, PING, protocol=65535),
    "unknown type": frame(200, PING),
    "flags": frame(MessageType.PING, PING, flags=1),
    "checksum": frame(MessageType.PING, PING, crc=1),
    "number repeated": frame(MessageType.PING, PING, seq=1),
    "number skipped": frame(MessageType.PING, PING, seq=3),
    "number 2^32-1": frame(MessageType.PING, PING, seq=(1 << 32) - 1),
    "job where none may be": frame(MessageType.PING, PING, job=JOB),
    "no job": frame(MessageType.BEGIN, b"{}"),
    "job of all ones": frame(MessageType.BEGIN, b"{}", job=b"\xff" * 16, seq=0),
    "no body": frame(MessageType.PING, b""),
    "65 KiB of JSON": frame(MessageType.PING, PING.ljust(65537)),
    "a chunk of nothing": frame(MessageType.CHUNK, b"", job=JOB, seq=0),
    "a chunk of no job": frame(MessageType.CHUNK, b"x", job=JOB, seq=0),
    "not JSON": frame(MessageType.PING, b"\x80\x04pickle"),
    "a key twice": frame(MessageType.PING, b'{"number":1,"number":1}'),
    "true for 1": frame(MessageType.PING, b'{"number":true}'),
    "deep": frame(MessageType.PING, b"[" * 10000),
}


@pytest.mark.parametrize("message", BAD_ENVELOPES.values(), ids=BAD_ENVELOPES.keys())
def test_a_bad_envelope_is_the_end_of_its_connection(
    shared_backend: Backend, message: bytes
) -> None:
    with Raw(shared_backend).greet() as raw:
        raw.socket.send(message)
        raw.expect_error("bad_message")
        raw.send(Status())
        assert raw.receive(0.1) is None


@pytest.mark.parametrize(
    "body",
    [Status(), Ping(1), Shutdown(), Proof("0" * 64), Grant(1), Cancel()],
    ids=lambda body: type(body).__name__,
)
def test_nothing_is_heard_before_hello(shared_backend: Backend, body: object) -> None:
    with Raw(shared_backend) as raw:
        raw.send(body, JOB if isinstance(body, Grant | Cancel) else NO_JOB)
        raw.expect_error("bad_message")
        raw.send(replace(HELLO, nonce="0" * 64))
        assert raw.receive(0.1) is None


@pytest.mark.parametrize("body", [Status(), HELLO, Shutdown()], ids=["status", "hello", "shutdown"])
def test_nothing_but_a_proof_follows_the_challenge(shared_backend: Backend, body: object) -> None:
    with Raw(shared_backend) as raw:
        raw.say_hello()
        raw.send(replace(body, nonce="0" * 64) if body is HELLO else body)
        raw.expect_error("bad_message")


def test_hello_is_said_once(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        raw.send(replace(HELLO, nonce="0" * 64))
        raw.expect_error("bad_message")


def test_a_wrong_proof_is_refused(shared_backend: Backend) -> None:
    with Raw(shared_backend) as raw:
        raw.say_hello()
        raw.send(Proof("0" * 64))
        raw.expect_error("not_authorised")
        raw.send(Proof("0" * 64))
        assert raw.receive(0.1) is None


def test_the_backends_own_proof_is_no_clients(shared_backend: Backend) -> None:
    token = bytes.fromhex(shared_backend.info.token)
    with Raw(shared_backend) as raw:
        raw.send(Proof(compute_proof(token, "backend", raw.say_hello())))
        raw.expect_error("not_authorised")


def test_a_proof_of_another_connection_is_refused(shared_backend: Backend) -> None:
    with Raw(shared_backend) as first, Raw(shared_backend) as second:
        old = first.say_hello()
        second.say_hello()
        second.prove(old)
        second.expect_error("not_authorised")


def test_a_proof_with_another_token_is_refused(shared_backend: Backend) -> None:
    with Raw(shared_backend) as raw:
        raw.send(Proof(compute_proof(bytes(32), "client", raw.say_hello())))
        raw.expect_error("not_authorised")


def test_several_frames_are_no_message(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        raw.socket.send_multipart([encode(Status(), 2), b"more"])
        raw.expect_error("bad_message")


@pytest.mark.parametrize(("protocols", "older"), [((2, 9), "backend"), ((65535, 65535), "backend")])
def test_versions_that_do_not_fit_are_told_so(
    shared_backend: Backend, protocols: tuple[int, int], older: str
) -> None:
    with Raw(shared_backend) as raw:
        hello = replace(HELLO, protocol_min=protocols[0], protocol_max=protocols[1])
        raw.prove(raw.say_hello(hello))
        assert raw.expect(MessageType.UPGRADE).body.older == older
        raw.agreed = 1
        raw.send(Status())
        raw.expect_error("bad_message")


def test_a_newer_client_that_still_speaks_ours_is_welcome(shared_backend: Backend) -> None:
    with Raw(shared_backend) as raw:
        raw.prove(raw.say_hello(replace(HELLO, protocol_max=7)))
        assert raw.expect(MessageType.WELCOME).body.protocol == 1


@pytest.mark.parametrize(
    "body",
    [Facts(1, "cpu"), Progress("matting", 0.5), Refine("0" * 32, OUTPUTS)],
    ids=["facts", "progress", "refine of nothing"],
)
def test_a_client_can_not_speak_as_a_worker(shared_backend: Backend, body: object) -> None:
    with Raw(shared_backend).greet() as raw:
        job = NO_JOB if isinstance(body, Facts) else JOB
        raw.send(body, job)
        if isinstance(body, Refine):
            raw.expect_error("not_kept", JOB)
        else:
            raw.expect_error("bad_message")


def test_a_job_begun_twice_ends_the_connection(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        job = raw.begin(seconds=5)
        raw.send(Begin((IMAGE,), OUTPUTS), job)
        raw.expect_error("bad_message")


def test_the_id_of_an_ended_job_is_used_up(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        job = raw.begin()
        raw.upload(job)
        raw.download(job)
        raw.socket.send(encode(Begin((IMAGE,), OUTPUTS), 0, job))
        raw.expect_error("bad_message")


def test_late_messages_of_an_ended_job_are_dropped(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        job = raw.begin()
        raw.upload(job)
        raw.download(job)
        for body in (Cancel(), Grant(3), End(5)):
            raw.send(body, job)
        raw.send_chunk(b"late", job)
        raw.send(Status())
        raw.expect(MessageType.STATUS_REPLY)


BAD_BEGINS = {
    "width 0": {"width": 0},
    "width 65536": {"width": 65536},
    "height -1": {"height": -1},
    "2^32 + 1": {"width": 4294967297},
    "too many pixels": {"width": 60000, "height": 60000},
    "float width": {"width": 8.0},
    "true height": {"height": True},
    "order": {"order": "CMYK"},
    "sample": {"sample": "f64"},
    "encoding": {"encoding": "adobe"},
    "role": {"role": "alpha"},
}


@pytest.mark.parametrize("changes", BAD_BEGINS.values(), ids=BAD_BEGINS.keys())
def test_impossible_geometry_ends_only_its_job(shared_backend: Backend, changes: dict) -> None:
    plane = {
        "role": "image", "width": 8, "height": 4,
        "order": "RGBA", "sample": "u8", "encoding": "srgb", **changes,
    }  # fmt: skip
    output = {"role": "alpha", "order": "GRAY", "sample": "u8"}
    body = json.dumps({"planes": [plane], "outputs": [output]}).encode()
    with Raw(shared_backend).greet() as raw:
        raw.socket.send(frame(MessageType.BEGIN, body, JOB, seq=0))
        message = raw.expect(MessageType.ERROR, JOB)
        assert message.body.code in {"bad_geometry", "bad_message"}
        raw.send(Status())
        raw.expect(MessageType.STATUS_REPLY)


@pytest.mark.parametrize(
    ("chunks", "counted"),
    [
        ([PIXELS + b"x"], 129),
        ([PIXELS, b"x"], 129),
        ([PIXELS[:-1]], 127),
        ([PIXELS[:-1]], 128),
        ([PIXELS], 127),
        ([], 0),
    ],
)
def test_bytes_that_do_not_match_the_geometry_end_the_job(
    shared_backend: Backend, chunks: list[bytes], counted: int
) -> None:
    with Raw(shared_backend).greet() as raw:
        job = raw.begin()
        raw.expect(MessageType.GRANT, job)
        for chunk in chunks:
            raw.send_chunk(chunk, job)
        raw.send(End(counted), job)
        raw.expect_error("bad_geometry", job)
        raw.send(Status())
        raw.expect(MessageType.STATUS_REPLY)


def test_a_chunk_that_was_changed_on_its_way_ends_the_job(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        job = raw.begin()
        raw.expect(MessageType.GRANT, job)
        raw.socket.send(frame(MessageType.CHUNK, PIXELS, job, seq=1, crc=7))
        raw.expect_error("bad_message", job)
        raw.send(Status())
        raw.expect(MessageType.STATUS_REPLY)


def test_chunks_need_credit(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as raw:
        job = raw.begin(IMAGE, do="never grant")
        raw.expect(MessageType.GRANT, job)
        for _ in range(9):
            raw.send_chunk(b"x", job)
        raw.expect_error("bad_message", job)


@pytest.mark.parametrize("body", [Cancel(), Grant(5), End(128)], ids=["cancel", "grant", "end"])
def test_another_clients_job_is_out_of_reach(shared_backend: Backend, body: object) -> None:
    with Raw(shared_backend).greet() as victim, Raw(shared_backend).greet() as thief:
        job = victim.begin()
        thief.send(body, job)
        thief.expect_error("bad_message")
        victim.upload(job)
        assert len(victim.download(job)) == 32 + 128


def test_another_clients_result_can_not_be_refined(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as victim, Raw(shared_backend).greet() as thief:
        job = victim.begin(keep=True)
        victim.upload(job)
        victim.download(job)
        stolen = new_job_id()
        thief.send(Refine(job.hex(), OUTPUTS), stolen)
        thief.expect_error("not_kept", stolen)
        refined = new_job_id()
        victim.send(Refine(job.hex(), OUTPUTS), refined)
        assert victim.download(refined)[32:] == PIXELS


def test_two_clients_may_choose_the_same_job_id(shared_backend: Backend) -> None:
    with Raw(shared_backend).greet() as first, Raw(shared_backend).greet() as second:
        first.send(Begin((IMAGE,), OUTPUTS), JOB)
        wait_until(lambda: shared_backend.status().jobs_running == 1)
        second.send(Begin((IMAGE,), OUTPUTS), JOB)
        first.upload(JOB)
        assert first.download(JOB)[32:] == PIXELS
        second.upload(JOB, PIXELS[::-1])
        assert second.download(JOB)[32:] == PIXELS[::-1]

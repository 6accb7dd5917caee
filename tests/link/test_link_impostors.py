"""Who is there: only the backend of this user, and of a version that is understood."""

from pathlib import Path

import pytest
from client_jobs import client_for, cut_out
from fake_backend import EPOCH, FakeBackend
from raw_server import GREETING, READY, raw_server, say_and_wait

from smart_matte_link.authentication import Exchange, compute_proof, new_token
from smart_matte_link.connection import write_connection
from smart_matte_link.envelope import Message
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import (
    SPECIFICATION,
    Challenge,
    ConnectionInfo,
    MessageType,
    Upgrade,
    make_error,
)
from smart_matte_link.session import Identity
from smart_matte_link.starting import open_session


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

"""S4 of the goals: who doesn't know the token of this start is not let in."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import zmq
from broker_harness import HELLO, IMAGE, OUTPUTS, Backend, Raw, running
from figures import Figure, zero
from ground import broker, folder, is_served

from smart_matte_link.authentication import Exchange, compute_proof, new_nonce
from smart_matte_link.connection import read_connection
from smart_matte_link.envelope import FRAME_BYTES_MAX, NO_JOB, Message, decode, encode
from smart_matte_link.messages import (
    Begin,
    Challenge,
    Error,
    Hello,
    MessageType,
    Proof,
    Refine,
    Status,
    new_job_id,
)
from smart_matte_link.zmtp import Dealer, PeerLateError, PeerLostError

TRIES = 1000
STARTS = 5
PATIENCE_S = 10.0
STRANGERS_HEAR = {MessageType.CHALLENGE, MessageType.ERROR}


class Knock:
    """A connection that says what it likes, message by message."""

    def __init__(self, endpoint: str) -> None:
        self.dealer = Dealer(endpoint, FRAME_BYTES_MAX, time.monotonic() + PATIENCE_S)

    def send(self, frame: bytes) -> None:
        self.dealer.send([frame], time.monotonic() + PATIENCE_S)

    def receive_raw(self) -> bytes:
        deadline = time.monotonic() + PATIENCE_S
        frame = bytearray(self.dealer.next_frame(deadline))
        self.dealer.read_into(memoryview(frame), deadline)
        return bytes(frame)

    def receive(self) -> Message:
        return decode(self.receive_raw(), protocol=1)

    def refusal(self) -> str:
        """The code of the first error that comes."""
        while True:
            message = self.receive()
            if isinstance(message.body, Error):
                return message.body.code

    def close(self) -> None:
        self.dealer.close()

    def hear(self) -> set[MessageType]:
        """Everything up to a refusal, or to what no stranger may hear."""
        heard: set[MessageType] = set()
        with contextlib.suppress(PeerLateError, PeerLostError):
            while heard <= STRANGERS_HEAR and (
                MessageType.ERROR not in heard or self.dealer.wait(0)
            ):
                heard.add(self.receive().type)
        return heard


class Thief:
    """
    Ways to be let in without knowing the token of this start.

    Args:
        backend: who is asked.
        tokens: others than its own.
        recorded: all frames that a good client sent it.
    """

    def __init__(self, backend: Backend, tokens: list[bytes], recorded: list[bytes]) -> None:
        self.endpoint = backend.info.endpoint
        self.tokens = tokens
        self.recorded = recorded

    def no_key(self, knock: Knock, rng: Random) -> None:
        bodies = (Status(), Begin((IMAGE,), OUTPUTS), Refine("0" * 32, OUTPUTS))
        body = rng.choice(bodies)
        if rng.random() < 0.5:
            self.say_hello(knock)
        job = NO_JOB if isinstance(body, Status) else new_job_id()
        knock.send(encode(body, 0 if job != NO_JOB else rng.randrange(2), job))

    def wrong_key(self, knock: Knock, rng: Random) -> None:
        self.prove(knock, rng.randbytes(32))

    def another_key(self, knock: Knock, rng: Random) -> None:
        self.prove(knock, rng.choice(self.tokens))

    def reflected(self, knock: Knock, _rng: Random) -> None:
        _, challenge = self.say_hello(knock)
        knock.send(encode(Proof(challenge.proof), 1))

    def replayed_handshake(self, knock: Knock, _rng: Random) -> None:
        hello, proof = self.recorded[:2]
        knock.send(hello)
        knock.receive()
        knock.send(proof)

    def replayed_request(self, knock: Knock, rng: Random) -> None:
        for frame in self.recorded[rng.choice((0, 2)) :]:
            knock.send(frame)

    def say_hello(self, knock: Knock) -> tuple[Hello, Challenge]:
        hello = replace(HELLO, nonce=new_nonce())
        knock.send(encode(hello, 0))
        return hello, knock.receive().body

    def prove(self, knock: Knock, token: bytes) -> None:
        hello, challenge = self.say_hello(knock)
        exchange = Exchange(hello.nonce, challenge.nonce, self.endpoint)
        knock.send(encode(Proof(compute_proof(token, "client", exchange)), 1))

    def try_in(self, number: int, rng: Random) -> set[MessageType]:
        """What one try was told."""
        ways: tuple[Callable[[Knock, Random], None], ...] = (
            self.no_key,
            self.wrong_key,
            self.another_key,
            self.reflected,
            self.replayed_handshake,
            self.replayed_request,
        )
        knock = Knock(self.endpoint)
        try:
            ways[number % len(ways)](knock, rng)
            return knock.hear()
        finally:
            knock.close()


def record(backend: Backend) -> list[bytes]:
    """What a good client says, from hello to the end of a job."""
    frames = []
    with Raw(backend) as raw:
        send = raw.socket.send

        def note_and_send(frame: bytes) -> None:
            frames.append(frame)
            send(frame)

        raw.socket = _Recording(raw.socket, note_and_send)
        raw.greet()
        job = raw.begin()
        raw.upload(job)
        raw.download(job)
    return frames


class _Recording:
    """A socket whose ``send`` is another."""

    def __init__(self, socket: zmq.Socket, send: Callable[[bytes], None]) -> None:
        self._socket, self.send = socket, send

    def __getattr__(self, name: str):
        return getattr(self._socket, name)


def keys(rng: Random) -> Iterator[Figure]:
    """S4."""
    tokens, shown = [], 0
    with folder() as path:
        for _ in range(STARTS - 1):
            with running(path) as earlier:
                tokens.append(bytes.fromhex(earlier.info.token))
        with running(path) as backend, broker() as other:
            tokens.append(bytes.fromhex(other.info.token))
            thief = Thief(backend, tokens, record(backend))
            heard = [thief.try_in(number, rng) for number in range(TRIES)]
            tokens.append(bytes.fromhex(backend.info.token))
            shown = sum(is_shown(backend, token) for token in tokens)
            served = backend.is_healthy()
            is_through = read_connection(path) == backend.info
    accepted = sum(not types <= STRANGERS_HEAR for types in heard)
    untold = sum(MessageType.ERROR not in types for types in heard)
    yield zero(f"S4 accepted of {TRIES} tries without this start's key, in 6 ways", accepted)
    yield zero("S4 of these, not refused in words", untold)
    yield zero(f"S4 keys seen before, of {len(tokens)} starts", len(tokens) - len(set(tokens)))
    yield zero("S4 keys in arguments, environments or logs of broker and worker", shown)
    yield is_served("S4", served and is_through)


def is_shown(backend: Backend, token: bytes) -> bool:
    """Whether a token can be seen where others may look."""
    places = [path for path in (backend.folder / "log").rglob("*") if path.is_file()]
    for pid in (backend.process.pid, backend.worker_pid()):
        places += [Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ", "comm")]
    texts = (token, token.hex().encode(), token.hex().upper().encode(), repr(token).encode())
    return any(text in place.read_bytes() for place in places for text in texts)


BLOCKS = {"S4": keys}

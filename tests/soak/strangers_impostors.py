"""S5 of the goals: who listens where a backend is expected gets nothing of a picture."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import zmq
from broker_harness import IMAGE, OUTPUTS
from figures import Figure, zero
from ground import TCP, broker, folder, is_served
from strangers_keys import Knock

from smart_matte_link.authentication import Exchange, compute_proof, new_nonce, new_token
from smart_matte_link.client import Client
from smart_matte_link.connection import is_running, write_connection
from smart_matte_link.envelope import decode, encode
from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.messages import (
    Challenge,
    ConnectionInfo,
    Error,
    Grant,
    Limits,
    MessageType,
    Upgrade,
    Welcome,
    new_job_id,
)
from smart_matte_link.processes import start_of_process
from smart_matte_link.zmtp import PeerLateError, PeerLostError

IMPOSTORS = 100


class Impostor(threading.Thread):
    """
    Listens where a backend is expected, and doesn't know the token.

    Attributes:
        heard: every byte that came in messages.
    """

    def __init__(self, address: str, way: str, rng: Random, target: str = "") -> None:
        super().__init__(daemon=True)
        self.way, self.rng, self.target = way, rng, target
        self.heard = b""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(address)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._is_over = threading.Event()

    def run(self) -> None:
        beyond: dict[bytes, Knock] = {}
        while not self._is_over.is_set():
            if self._socket.poll(20):
                who, *frames = self._socket.recv_multipart()
                self.heard += b"".join(frames)
                with contextlib.suppress(ProtocolError, PeerLateError, PeerLostError):
                    for answer in self.answers(who, frames[0], beyond):
                        self._socket.send_multipart([who, answer])
        for knock in beyond.values():
            knock.close()
        self._socket.close(0)
        self._context.term()

    def stop(self) -> None:
        self._is_over.set()
        self.join()

    def answers(self, who: bytes, frame: bytes, beyond: dict[bytes, Knock]) -> list[bytes]:
        if self.way == "relay":
            knock = beyond.setdefault(who, Knock(self.target))
            knock.send(frame)
            return [knock.receive_raw()]
        message = decode(frame, protocol=1)
        if message.type is not MessageType.HELLO:
            return [encode(WELCOME, 1), encode(Grant(8), 0, new_job_id())]
        nonce = new_nonce()
        exchange = Exchange(message.body.nonce, nonce, self.endpoint)
        challenge = encode(Challenge(nonce, new_nonce()), 0)
        return {
            "wrong proof": [challenge],
            "own token": [
                encode(Challenge(nonce, compute_proof(new_token(), "backend", exchange)), 0)
            ],
            "empty token": [encode(Challenge(nonce, compute_proof(b"", "backend", exchange)), 0)],
            "its own nonce": [encode(Challenge(message.body.nonce, message.body.nonce), 0)],
            "hello back": [frame],
            "welcome at once": [encode(WELCOME, 0)],
            "welcome after a wrong proof": [challenge, encode(WELCOME, 1)],
            "credit at once": [encode(Grant(8), 0, new_job_id())],
            "upgrade at once": [encode(Upgrade(9, 9, "9", "backend"), 0)],
            "error": [encode(Error("busy", "Later."), 0)],
            "noise": [self.rng.randbytes(self.rng.randrange(1, 500))],
        }[self.way]


WELCOME = Welcome(1, "9", "0" * 32, Limits(4096, 1000, 1000, 1, 6))
WAYS = (
    "wrong proof",
    "own token",
    "empty token",
    "its own nonce",
    "hello back",
    "welcome at once",
    "welcome after a wrong proof",
    "credit at once",
    "upgrade at once",
    "error",
    "noise",
    "relay",
)


def impostors(rng: Random) -> Iterator[Figure]:
    """S5."""
    pixel_bytes = message_bytes = answered = 0
    with broker() as backend:
        for number in range(IMPOSTORS):
            way = WAYS[number % len(WAYS)]
            with folder() as path:
                address = f"ipc://{path}/impostor.sock" if number % 2 else TCP
                impostor = Impostor(address, way, rng, backend.info.endpoint)
                impostor.start()
                token = backend.info.token if way == "relay" else new_token().hex()
                write_connection(path, told(backend.info, impostor.endpoint, token))
                canary = rng.randbytes(16) * 8
                client = Client("soak", "0", start=False, folder=path)
                with contextlib.closing(client), contextlib.suppress(LinkError):
                    client.cutout([(IMAGE, canary)], OUTPUTS)
                    answered += 1
                impostor.stop()
            message_bytes = max(message_bytes, len(impostor.heard))
            pixel_bytes += any(canary[at : at + 8] in impostor.heard for at in range(16))
        served = backend.is_healthy()
    yield zero(f"S5 impostors that got pixels, of {IMPOSTORS} in {len(WAYS)} ways", pixel_bytes)
    yield zero("S5 impostors that a client took an answer from", answered)
    yield Figure("S5 most bytes that an impostor was told", str(message_bytes), "", is_met=True)
    yield is_served("S5", served)


def told(info: ConnectionInfo, endpoint: str, token: str) -> ConnectionInfo:
    """A connection file that leads elsewhere, in the name of this process."""
    own = replace(info, pid=os.getpid(), started=start_of_process(os.getpid()))
    if not is_running(own):
        raise ValueError(own)
    return replace(own, endpoint=endpoint, token=token)


BLOCKS = {"S5": impostors}

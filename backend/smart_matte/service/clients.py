"""Who is connected: the greeting with its mutual proof, and what each connection may say."""

from __future__ import annotations

import logging
from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING

from smart_matte.service.peer import Peer
from smart_matte_link.authentication import Exchange, compute_proof, is_proof, new_nonce
from smart_matte_link.envelope import NO_JOB
from smart_matte_link.messages import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Challenge,
    Hello,
    MessageType,
    Ping,
    Proof,
    Upgrade,
    choose_protocol,
    make_error,
    sent_by,
)
from smart_matte_link.strict_json import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from smart_matte.service.clock import LoopClock
    from smart_matte.service.job_state import Job
    from smart_matte.service.settings import Settings
    from smart_matte.service.sockets import Incoming, Router
    from smart_matte_link.messages import ConnectionInfo, Welcome

FROM_CLIENT = sent_by("client")
GREETINGS = frozenset({MessageType.HELLO, MessageType.PROOF})
REMEMBERED_JOBS = 1024
"""Ended jobs of a connection whose late messages are known for what they are."""

KEPT_JOBS = 8
"""Kept results of a connection that may be refined; the worker itself keeps fewer."""

LOG = logging.getLogger(__name__)


class Standing(Enum):
    """How far a connection is, and what it may send then."""

    NEW = frozenset({MessageType.HELLO})
    CHALLENGED = frozenset({MessageType.PROOF})
    MISFIT = frozenset({MessageType.SHUTDOWN})
    WELCOME = FROM_CLIENT - GREETINGS
    OVER = frozenset[MessageType]()


class Client(Peer):
    """
    One connection.

    Attributes:
        standing: how far it is.
        since: when that began.
        pinged: when it was last asked for a life sign.
        descriptor: of its socket.
        application: what it says it is.
        jobs: those that haven't ended, by its own ids.
        kept: those that it may refine.
    """

    def __init__(self, router: Router, identity: bytes, clock: LoopClock, descriptor: int) -> None:
        super().__init__(router, identity, clock)
        self.standing = Standing.NEW
        self.since = self.pinged = clock.now
        self.descriptor = descriptor
        self.application = ""
        self.hello: Hello | None = None
        self.exchange: Exchange | None = None
        self.jobs: dict[bytes, Job] = {}
        self.kept: OrderedDict[bytes, Job] = OrderedDict()
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    @property
    def agreed(self) -> int | None:
        """The protocol version agreed on, once there is one."""
        return self.protocol if self.standing is Standing.WELCOME else None

    def send(self, body: object, job: bytes = NO_JOB) -> None:
        """Send a message, unless the connection is over."""
        if self.standing is not Standing.OVER:
            super().send(body, job)

    def had(self, job_id: bytes) -> bool:
        """Whether a job of that id has ended."""
        return job_id in self._ended

    def end(self, job_id: bytes) -> None:
        """A job has ended, or never got as far as being one."""
        self.jobs.pop(job_id, None)
        self._ended[job_id] = None
        if len(self._ended) > REMEMBERED_JOBS:
            self._ended.popitem(last=False)
        self.forget(job_id)

    def keep(self, job: Job) -> None:
        """A job's raw result stays with the worker."""
        self.kept[job.id] = job
        if len(self.kept) > KEPT_JOBS:
            self.kept.popitem(last=False)

    def enter(self, standing: Standing) -> None:
        """Go on to another standing."""
        self.standing = standing
        self.since = self._clock.now


class Clients:
    """All connections that have said something."""

    def __init__(
        self,
        router: Router,
        connection: ConnectionInfo,
        settings: Settings,
        clock: LoopClock,
        make_welcome: Callable[[int], Welcome],
    ) -> None:
        self._router = router
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._make_welcome = make_welcome
        self._by_identity: dict[bytes, Client] = {}
        self._replaced: list[Client] = []

    def all(self) -> list[Client]:
        """Every connection."""
        return list(self._by_identity.values())

    def welcome(self) -> list[Client]:
        """Those that are through the greeting."""
        return [client for client in self.all() if client.standing is Standing.WELCOME]

    def find(self, incoming: Incoming) -> Client:
        """The connection that a message came by."""
        client = self._by_identity.get(incoming.identity)
        if client is None or client.descriptor != incoming.descriptor:
            if client is not None:  # another one has taken its identity
                client.hang_up()
                self._replaced.append(client)
            client = Client(self._router, incoming.identity, self._clock, incoming.descriptor)
            self._by_identity[incoming.identity] = client
        return client

    def connection_ended(self, descriptor: int) -> None:
        """The system says that a connection has ended."""
        for client in self._by_identity.values():
            if client.descriptor == descriptor:
                client.hang_up()

    def take_gone(self) -> list[Client]:
        """Forget, and return, those who are gone."""
        gone = [client for client in self.all() if client.is_gone]
        for client in gone:
            del self._by_identity[client.identity]
        gone, self._replaced = gone + self._replaced, []
        return gone

    def greet(self, client: Client, body: Hello | Proof) -> None:
        """
        Take hello or proof.

        Raises:
            ProtocolError: the proof is wrong.
        """
        token = bytes.fromhex(self._connection.token)
        if isinstance(body, Hello):
            client.hello = body
            client.application = f"{body.application} {body.application_version}"
            client.exchange = Exchange(body.nonce, new_nonce(), self._connection.endpoint)
            proof = compute_proof(token, "backend", client.exchange)
            client.send(Challenge(client.exchange.backend_nonce, proof))
            client.enter(Standing.CHALLENGED)
            return
        if not client.exchange or not is_proof(body.proof, token, "client", client.exchange):
            refuse("The proof is wrong.", "not_authorised")
        self._let_in(client)

    def refuse(self, client: Client, code: str, sentence: str, hint: str = "") -> None:
        """A connection is over; it is told why, and not listened to any more."""
        LOG.info("refused %s: %s: %s", client.application or "a stranger", code, sentence)
        client.send(make_error(code, sentence, hint))
        client.enter(Standing.OVER)

    def look(self) -> list[Client]:
        """Give life signs and ask for them; returns those who have been silent for too long."""
        now, silent = self._clock.now, []
        for client in self.all():
            client.flush()
            if client.standing is Standing.CHALLENGED:
                if now - client.since > self._settings.hello_s:
                    self.refuse(client, "deadline", "The proof took too long.")
            elif client.standing is Standing.WELCOME and client.jobs:
                if now - client.last_heard > self._settings.lease_s:
                    silent.append(client)
                elif now - max(client.last_heard, client.pinged) > self._settings.lease_s / 3:
                    # Asked when it is silent, not when we are: one that only listens to its
                    # progress needn't think of life signs.
                    client.pinged = now
                    client.send(Ping(0))
        return silent

    def _let_in(self, client: Client) -> None:
        hello = client.hello
        if hello is None:
            refuse("A proof came before a hello.", "not_authorised")
        protocol = choose_protocol(hello.protocol_min, hello.protocol_max)
        if protocol is None:
            older = "client" if hello.protocol_max < PROTOCOL_MIN else "backend"
            version = self._connection.backend_version
            client.send(Upgrade(PROTOCOL_MIN, PROTOCOL_MAX, version, older))
            client.enter(Standing.MISFIT)
            return
        client.protocol = protocol
        client.send(self._make_welcome(protocol))
        client.enter(Standing.WELCOME)
        LOG.info("%s is here", client.application)

"""What the broker tells of itself: in its welcome, and when it is asked how it is."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from typing import TYPE_CHECKING

import zmq

from smart_matte_link.messages import (
    CAPABILITIES,
    CHUNK_BYTES_MAX,
    JOB_BYTES_MAX,
    PIXELS_MAX,
    PROTOCOL_MAX,
    Limits,
    Model,
    StatusReply,
    Welcome,
)

if TYPE_CHECKING:
    from pathlib import Path

    from smart_matte.service.dispatcher import Dispatcher
    from smart_matte.service.settings import Settings
    from smart_matte.service.supervisor import Supervisor
    from smart_matte_link.messages import ConnectionInfo


class SelfDescription:
    """What there is to tell; it looks at the broker's parts and changes none of them."""

    def __init__(
        self,
        connection: ConnectionInfo,
        settings: Settings,
        supervisor: Supervisor,
        dispatcher: Dispatcher,
        log_file: Path | None,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._supervisor = supervisor
        self._dispatcher = dispatcher
        self._log_file = log_file

    def welcome(self, protocol: int) -> Welcome:
        """What a client hears first, in the protocol that was agreed on."""
        facts = self._supervisor.facts
        limits = Limits(
            CHUNK_BYTES_MAX,
            PIXELS_MAX,
            JOB_BYTES_MAX,
            self._settings.waiting_per_client,
            self._settings.lease_s,
        )
        return Welcome(
            protocol,
            self._connection.backend_version,
            self._connection.epoch,
            limits,
            CAPABILITIES,
            facts.devices if facts else (),
            self._models(),
        )

    def status(self, *, clients: int, uptime_s: float, is_draining: bool) -> StatusReply:
        """What ``smart-matte status`` shows."""
        facts, dispatcher = self._supervisor.facts, self._dispatcher
        versions = {
            "python": platform.python_version(),
            "pyzmq": zmq.__version__,
            "libzmq": zmq.zmq_version(),
        }
        return StatusReply(
            backend_version=self._connection.backend_version,
            protocol=PROTOCOL_MAX,
            epoch=self._connection.epoch,
            pid=os.getpid(),
            uptime_s=uptime_s,
            state="draining" if is_draining else "running",
            clients=clients,
            jobs_waiting=dispatcher.waiting_count,
            jobs_running=1 if dispatcher.running else 0,
            jobs_ended=dispatcher.ended,
            log_file=str(self._log_file or ""),
            devices=facts.devices if facts else (),
            models=self._models(),
            workers=self._supervisor.status(is_busy=dispatcher.at_worker is not None),
            versions={**versions, **(facts.versions if facts else {})},
        )

    def _models(self) -> tuple[Model, ...]:
        facts = self._supervisor.facts
        if facts is None:
            return ()
        if self._supervisor.worker:
            return facts.models
        return tuple(replace(model, is_loaded=False) for model in facts.models)

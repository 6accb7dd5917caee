"""One job: what was asked, where it stands, how many bytes and chunks may still flow."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from smart_matte_link.envelope import Inflow
from smart_matte_link.messages import Begin, Plane, Refine, Result, new_job_id
from smart_matte_link.strict_json import refuse

if TYPE_CHECKING:
    from smart_matte.service.clients import Client

CREDIT_MAX = 1 << 20
"""More credit than any job can use; what is granted beyond that is not counted."""


class Stage(Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RECEIVING = "receiving"
    RUNNING = "running"
    SENDING = "sending"
    ENDED = "ended"


class Job:
    """
    A job of one client.

    The worker knows it by another id than the client, so that no client can name another's.

    Attributes:
        client: whose it is; nobody else gets to it.
        id: as the client says it.
        worker_id: as broker and worker say it.
        request: Begin or Refine.
        image: geometry of its image, which every result has.
        stage: where it stands.
        begun: when it was taken, by the loop's clock.
        moved: when a chunk last went from or to the client.
        deadline: when it is given up.
        ahead: jobs before it, as last told to the client.
        upload_credit: chunks that the client may still send.
        client_credit: chunks that the client wants and the worker wasn't asked for yet.
        worker_credit: chunks that the worker was asked for and hasn't sent yet.
    """

    def __init__(
        self, client: Client, job_id: bytes, request: Begin | Refine, image: Plane, now: float
    ) -> None:
        self.client = client
        self.id = job_id
        self.worker_id = new_job_id()
        self.request = request
        self.image = image
        self.stage = Stage.WAITING
        self.begun = self.moved = now
        self.deadline = None if request.deadline_s is None else now + request.deadline_s
        self.ahead = -1
        self.upload_credit = self.client_credit = self.worker_credit = 0
        self.result: Result | None = None
        self._upload = Inflow(self.byte_count)
        self._download = Inflow(0)

    @property
    def byte_count(self) -> int:
        """Bytes that the client sends."""
        return self.request.byte_count if isinstance(self.request, Begin) else 0

    @property
    def name(self) -> str:
        """For the log."""
        return self.worker_id.hex()[:8]

    @property
    def is_transferring(self) -> bool:
        """Whether the worker only takes or gives pixels."""
        return self.stage in {Stage.RECEIVING, Stage.SENDING}

    def enter(self, stage: Stage, now: float) -> None:
        """Go on to another stage."""
        self.stage = stage
        self.moved = now

    def take_upload(self, byte_count: int) -> None:
        """
        Count a chunk from the client.

        Raises:
            ProtocolError: it wasn't granted, or is more than was declared.
        """
        if self.stage is not Stage.RECEIVING or not self.upload_credit:
            refuse("A chunk came that wasn't granted.")
        self.upload_credit -= 1
        self._upload.add(byte_count)

    def finish_upload(self, byte_count: int) -> None:
        """
        Hold the client's end against what was declared and what came.

        Raises:
            ProtocolError: they differ, or the end has no place here.
        """
        if self.stage is not Stage.RECEIVING:
            refuse("An end came where none was due.")
        self._upload.finish(byte_count)

    def accept_result(self, result: Result) -> None:
        """
        Hold the worker's result against what the client asked for.

        Raises:
            ProtocolError: it is something else.
        """
        if result.planes != tuple(out.plane_for(self.image) for out in self.request.outputs):
            refuse("A result isn't what was asked for.", "bad_geometry")
        self.result = result
        self._download = Inflow(result.byte_count)

    def take_download(self, byte_count: int) -> None:
        """
        Count a chunk from the worker.

        Raises:
            ProtocolError: it wasn't asked for, or is more than was declared.
        """
        if self.stage is not Stage.SENDING or not self.worker_credit:
            refuse("A chunk came that wasn't granted.")
        self.worker_credit -= 1
        self._download.add(byte_count)

    def finish_download(self, byte_count: int) -> None:
        """
        Hold the worker's end against what was declared and what came.

        Raises:
            ProtocolError: they differ, or the end has no place here.
        """
        if self.stage is not Stage.SENDING:
            refuse("An end came where none was due.")
        self._download.finish(byte_count)

    def add_client_credit(self, chunks: int) -> None:
        """The client wants so many more chunks."""
        self.client_credit = min(self.client_credit + chunks, CREDIT_MAX)

    def take_worker_credit(self, most: int) -> int:
        """How many chunks to ask the worker for now, so that *most* are under way."""
        chunks = max(0, min(self.client_credit, most - self.worker_credit))
        if chunks < most // 2 and self.worker_credit:
            return 0  # a few grants of several instead of many of one
        self.client_credit -= chunks
        self.worker_credit += chunks
        return chunks

    def waits_for_client(self) -> bool:
        """Whether it is the client that has to send or read something now."""
        if self.stage is Stage.SENDING:
            return self.client.is_blocked or not self.worker_credit
        is_whole = self._upload.received == self._upload.expected
        return self.stage is Stage.RECEIVING and (bool(self.upload_credit) or is_whole)

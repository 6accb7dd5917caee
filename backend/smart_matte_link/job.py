"""One job from begin to end, as a client goes through it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol, Union

from smart_matte_link.envelope import Inflow, Message
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import (
    Begin,
    Cancel,
    End,
    Grant,
    MessageType,
    Output,
    Plane,
    Progress,
    Refine,
    Result,
)
from smart_matte_link.session import Landing, error_of
from smart_matte_link.strict_json import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from smart_matte_link.session import Session

POLL_S = 0.1
"""How often a waiting job looks whether it was cancelled."""

CREDIT_CHUNKS = 4
"""Chunks of a result that may be under way; 16 MiB."""

GRACE_S = 1.0
"""The backend's own "deadline" has so much time to arrive before the client gives up."""

Buffer = Union[bytes, bytearray, memoryview]
Pixels = Union[Buffer, "Iterable[Buffer]"]
"""A plane's bytes: one buffer, or several that follow one another (bands of rows)."""

OnProgress = Callable[[Progress], None]


class Flag(Protocol):
    """Something like threading.Event."""

    def is_set(self) -> bool:
        """Whether the user wants the job cancelled."""


class PlanePixels(NamedTuple):
    """A plane of a result and its bytes."""

    plane: Plane
    pixels: memoryview


@dataclass(frozen=True)
class Answer:
    """
    What came of a job.

    Attributes:
        source: id of the job whose raw result is kept, which ``refine`` needs.
        image: the image plane that the job began with.
        planes: the planes that were asked for, by role.
        report: what really ran.
        kept: whether ``refine`` may follow.
    """

    source: bytes
    image: Plane
    planes: dict[str, PlanePixels]
    report: dict[str, Any]
    kept: bool


class Wishes(NamedTuple):
    """
    What the caller of a job wants besides its result.

    Attributes:
        progress: called with each Progress; what it raises cancels the job and goes on up.
        cancel: looked at ten times a second.
        deadline_s: for the whole job; None is no limit but the backend's life signs.
    """

    progress: OnProgress | None = None
    cancel: Flag | None = None
    deadline_s: float | None = None

    def check(self) -> None:
        """
        Go on or not.

        Raises:
            LinkError: "cancelled", as the user wishes.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise LinkError("cancelled", "The job was cancelled.")


class Job:
    """
    A job on its way; ``run`` takes it to its end.

    Attributes:
        has_read_pixels: whether its sources were looked at; not before its turn has come.
    """

    def __init__(self, session: Session, image: Plane, wishes: Wishes) -> None:
        """Prepare; nothing is sent yet."""
        self.id = self._source = session.new_job()
        self._session = session
        self._image = image
        self._wishes = wishes
        self._deadline = (
            None if wishes.deadline_s is None else time.monotonic() + wishes.deadline_s + GRACE_S
        )
        self.has_read_pixels = False
        self._credit = 0
        self._result: Result | None = None
        self._landing: Landing | None = None
        self._to_grant = 0
        self._has_ended = False

    def run(self, first: Begin | Refine, sources: Sequence[tuple[Plane, Pixels]] = ()) -> Answer:
        """
        Send, wait, receive.

        Args:
            first: what the job begins with.
            sources: the planes of Begin and their bytes.

        Raises:
            LinkError: see messages.ERROR_CODES.
        """
        try:
            self._session.send(first, self.id)
            if isinstance(first, Refine):
                self._source = bytes.fromhex(first.source)
            else:
                self._send_pixels(sources)
            while self._result is None:
                self._pump(POLL_S)
            self._check_result(self._result, first.outputs)
            return self._receive_pixels(self._result)
        except BaseException:
            self._cancel()
            raise
        finally:
            self._session.forget(self.id)

    def _send_pixels(self, sources: Sequence[tuple[Plane, Pixels]]) -> None:
        chunk_bytes = self._session.welcome.limits.chunk_bytes
        byte_count = 0
        self._wait_for_credit()
        self.has_read_pixels = True
        for plane, pixels in sources:
            outflow = Inflow(plane.byte_count)
            for chunk in cut(pixels, chunk_bytes):
                outflow.add(len(chunk))
                self._pump(0)
                self._wait_for_credit()
                self._session.send_chunk(chunk, self.id)
                self._credit -= 1
            outflow.finish(plane.byte_count)
            byte_count += plane.byte_count
        self._session.send(End(byte_count), self.id)

    def _wait_for_credit(self) -> None:
        while not self._credit:
            self._pump(POLL_S)

    def _receive_pixels(self, result: Result) -> Answer:
        self._landing = Landing(self.id, result.planes)
        self._session.send(Grant(CREDIT_CHUNKS), self.id)
        while not self._has_ended:
            self._pump(POLL_S)
            if self._to_grant >= CREDIT_CHUNKS // 2 and not self._has_ended:
                self._session.send(Grant(self._to_grant), self.id)
                self._to_grant = 0
        planes = {
            plane.role: PlanePixels(plane, pixels)
            for plane, pixels in zip(result.planes, self._landing.buffers)
        }
        return Answer(self._source, self._image, planes, result.report, result.kept)

    def _pump(self, timeout_s: float) -> None:
        """Take at most one message; look at the clock and at the user's wish to cancel."""
        self._wishes.check()
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise LinkError(
                "deadline",
                f"The job took longer than {self._wishes.deadline_s:g} s.",
                "Allow more time, or select a smaller region.",
            )
        message = self._session.receive(timeout_s, self._landing)
        self._session.stay_alive()
        if message is not None:
            self._take(message)

    def _take(self, message: Message) -> None:
        body = message.body
        if message.job != self.id:
            refuse("A message came for a job that never was.")
        if message.type is MessageType.ERROR:
            self._has_ended = True
            raise error_of(message)
        if message.type is MessageType.PROGRESS and self._result is None:
            if self._wishes.progress is not None:
                self._wishes.progress(body)
        elif message.type is MessageType.GRANT:
            self._credit += body.chunks
        elif message.type is MessageType.RESULT and self._result is None:
            self._result = body
        elif message.type is MessageType.CHUNK and self._landing is not None:
            self._landing.add(body)
            self._to_grant += 1
        elif message.type is MessageType.END and self._landing is not None:
            self._landing.inflow.finish(body.byte_count)
            self._has_ended = True
        else:
            refuse(f"A {message.type.name} came where none may be.")

    def _check_result(self, result: Result, outputs: Sequence[Output]) -> None:
        """The planes have to be the ones that were asked for."""
        image = self._image
        expected = tuple(
            Plane(
                output.role,
                image.width,
                image.height,
                output.order,
                output.sample,
                image.encoding if output.role == "foreground" else "coverage",
            )
            for output in outputs
        )
        if result.planes != expected:
            refuse("The result has other planes than were asked for.", "bad_geometry")
        if result.epoch != self._session.welcome.epoch:
            refuse("The result is of another run of the backend.")

    def _cancel(self) -> None:
        """Tell the backend, if it can still be told, that nobody waits for this job."""
        if self._session.is_open and not self._has_ended:
            try:
                self._session.send(Cancel(), self.id)
            except LinkError:
                return  # the connection is gone, and the job with it


def view_of(pixels: object) -> memoryview | None:
    """The bytes of a buffer, in place; None for an iterable of buffers."""
    try:
        return memoryview(pixels)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None


def cut(pixels: Pixels, chunk_bytes: int) -> Iterator[memoryview]:
    """
    Cut a plane's bytes into chunks, without copying.

    Raises:
        ProtocolError: a buffer has gaps between its bytes.
    """
    whole = view_of(pixels)
    for buffer in pixels if whole is None else [whole]:
        view = memoryview(buffer)  # type: ignore[arg-type]  # a buffer, whoever made it
        if not view.c_contiguous:
            refuse("A buffer of pixels has gaps; pass one without.", "bad_geometry")
        if view.nbytes:
            view = view.cast("B")
        for start in range(0, view.nbytes, chunk_bytes):
            yield view[start : start + chunk_bytes]

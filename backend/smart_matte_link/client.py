"""What an editor calls: cut out, refine, status, shut down."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from smart_matte_link.connection import runtime_folder
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Answer, Job, Pixels, Wishes, view_of
from smart_matte_link.messages import (
    Begin,
    MessageType,
    Output,
    Plane,
    Refine,
    Shutdown,
    Status,
    StatusReply,
    Welcome,
)
from smart_matte_link.session import Identity, Session
from smart_matte_link.starting import GONE_S, open_session, wait_until_gone
from smart_matte_link.strict_json import from_json, refuse, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TRIED_AGAIN = ("lost", "worker_died", "draining")
"""Failures of the backend, not of the job: one more try, by itself, is worth it."""

STATUS_S = 5.0

NO_WISHES = Wishes()

Done = TypeVar("Done")


class Client:
    """
    A connection to the user's backend, which is found or started when it is first needed.

    Every method blocks, and only one thread at a time may call them; ``wishes.cancel`` may be set
    by any thread.

    Example:
        >>> with Client("gimp", "1.0") as client:
        ...     image = Plane("image", width, height, "RGBA", "u8", "srgb")
        ...     answer = client.cutout([(image, pixels)], [Output("alpha", "GRAY", "u8")])
        ...     mask = answer.planes["alpha"].pixels
    """

    def __init__(
        self,
        application: str,
        version: str,
        *,
        start: bool = True,
        start_command: Sequence[str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """
        Prepare; nothing is connected yet.

        Args:
            application: who asks, "gimp", "krita", "cli", …
            version: its version.
            start: whether a backend may be started where none runs.
            start_command: the backend's program and its first arguments; None takes
                $SMART_MATTE_BACKEND or "smart-matte" on PATH.
            folder: the runtime folder; None takes the usual one.
        """
        self._identity = Identity(application, version)
        self._start = start
        self._start_command = start_command
        self._folder = folder
        self._session: Session | None = None

    def __enter__(self) -> Client:  # noqa: PYI034  (Self is newer than Python 3.9)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; what the backend kept for ``refine`` is gone. May be called twice."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def connect(self) -> Welcome:
        """
        Find or start the backend, and hear what it is and can.

        Raises:
            LinkError: "unreachable", "not_authorised", "version".
        """
        return self._connected().welcome

    def cutout(
        self,
        planes: Sequence[tuple[Plane, Pixels]],
        outputs: Sequence[Output],
        options: Mapping[str, Any] | None = None,
        wishes: Wishes = NO_WISHES,
        *,
        keep: bool = False,
    ) -> Answer:
        """
        Cut the subject out of a picture.

        Args:
            planes: the image, and a selection or trimap of its size where there is one, each with
                its bytes: one buffer, or an iterable of buffers that follow one another.
            outputs: the planes wanted back.
            options: by the names of smart_matte.engine.options; those left out have defaults.
            wishes: progress, cancel, deadline.
            keep: whether ``refine`` will follow.

        Raises:
            LinkError: ``str(error)`` is the sentence for the user. Where the backend died or
                was about to go, one more try has been made before, unless an iterable that can't
                be read twice was begun.
        """
        begin = _checked(
            Begin(
                tuple(plane for plane, _ in planes),
                tuple(outputs),
                dict(options or {}),
                wishes.deadline_s,
                keep,
            )
        )
        for plane, pixels in planes:
            _check_size(plane, pixels)
        image = next(plane for plane in begin.planes if plane.role == "image")
        are_buffers = all(view_of(pixels) is not None for _, pixels in planes)
        jobs: list[Job] = []

        def run(session: Session) -> Answer:
            jobs.append(Job(session, image, wishes))
            return jobs[-1].run(begin, planes)

        return self._attempt(run, wishes, again=lambda: are_buffers or not jobs[-1].has_read_pixels)

    def refine(
        self,
        answer: Answer,
        outputs: Sequence[Output],
        options: Mapping[str, Any] | None = None,
        wishes: Wishes = NO_WISHES,
    ) -> Answer:
        """
        Apply other options to a kept result, without sending pixels or running a network.

        Args:
            answer: of ``cutout`` with *keep*, or of ``refine``.
            outputs: the planes wanted back.
            options: all of them, not only those that differ.
            wishes: progress, cancel, deadline.

        Raises:
            LinkError: "not_kept" when the backend no longer has it: call ``cutout`` again.
        """
        refine = _checked(
            Refine(answer.source.hex(), tuple(outputs), dict(options or {}), wishes.deadline_s)
        )
        return self._attempt(lambda session: Job(session, answer.image, wishes).run(refine), wishes)

    def status(self) -> StatusReply:
        """
        Ask how the backend is.

        Raises:
            LinkError: it can't be reached, or doesn't answer.
        """
        return self._attempt(self._ask_for_status)

    def shutdown(self, drain_s: float = 10.0) -> bool:
        """
        Ask the backend to go, and wait until it has; False if it hasn't in time.

        Raises:
            LinkError: "unreachable" when none is running and this client starts none.
        """
        session, shutdown = self._connected(), _checked(Shutdown(drain_s))
        with contextlib.suppress(LinkError):  # it was about to go anyway
            session.send(shutdown)
        is_gone = wait_until_gone(self._where(), session.info, drain_s + GONE_S)
        self.close()
        return is_gone

    def _ask_for_status(self, session: Session) -> StatusReply:
        session.send(Status())
        deadline = time.monotonic() + STATUS_S
        while time.monotonic() < deadline:
            message = session.receive(deadline - time.monotonic())
            if message is not None and message.type is MessageType.STATUS_REPLY:
                reply: StatusReply = message.body
                return reply
        self.close()
        raise LinkError("deadline", "The backend doesn't answer.", "Try again.")

    def _connected(self, wishes: Wishes = NO_WISHES) -> Session:
        if self._session is None or not self._session.is_open:
            self._session = open_session(
                self._where(),
                self._identity,
                self._start_command,
                start=self._start,
                check=wishes.check,
            )
        return self._session

    def _where(self) -> Path:
        return runtime_folder() if self._folder is None else self._folder

    def _attempt(
        self,
        task: Callable[[Session], Done],
        wishes: Wishes = NO_WISHES,
        *,
        again: Callable[[], bool] = lambda: True,
    ) -> Done:
        """Do something with a session; once more where the backend failed, not the task."""
        session = self._connected(wishes)
        try:
            return task(session)
        except LinkError as error:
            if error.code not in TRIED_AGAIN or not again():
                raise
            if error.code == "draining":
                session.close()
                wait_until_gone(self._where(), session.info, GONE_S, wishes.check)
        return task(self._connected(wishes))


def _checked(body: Done) -> Done:
    """
    The body as the other side will read it.

    Raises:
        ProtocolError: it would refuse it.
    """
    return from_json(type(body), to_json(body))


def _check_size(plane: Plane, pixels: Pixels) -> None:
    """Find a wrong buffer before anything is sent."""
    view = view_of(pixels)
    if view is None:
        return
    if not view.c_contiguous:
        refuse(f"The {plane.role} has gaps between its bytes; pass it without.", "bad_geometry")
    if view.nbytes != plane.byte_count:
        refuse(
            f"The {plane.role} has {view.nbytes} bytes where {plane.byte_count} belong.",
            "bad_geometry",
        )

"""A job on a thread of its own, for editors whose own thread must not wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smart_matte_link.editing.installed import Installed
    from smart_matte_link.job import Answer, Pixels
    from smart_matte_link.messages import Output, Plane, Progress


class Errand:
    """
    A cut-out on its way; to be looked at from time to time.

    Attributes:
        progress: the latest that came; None before the first.
        is_done: whether it has ended, with ``result`` or an error.
    """

    def __init__(
        self,
        installed: Installed,
        application: str,
        planes: Sequence[tuple[Plane, Pixels]],
        outputs: Sequence[Output],
        options: Mapping[str, Any],
    ) -> None:
        """Begin; arguments as for ``Client.cutout``, and the buffers must not change."""
        self.progress: Progress | None = None
        self.is_done = False
        self._installed = installed
        self._application = application
        self._request = (planes, outputs, options)
        self._cancel = threading.Event()
        self._answer: Answer | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="errand", daemon=True).start()

    def cancel(self) -> None:
        """Give up; returns at once."""
        self._cancel.set()

    def result(self) -> Answer:
        """
        What came of it, once it is done.

        Raises:
            LinkError: as ``Client.cutout``.
        """
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise RuntimeError("the errand isn't done")
        return self._answer

    def _run(self) -> None:
        try:
            with self._installed.client(self._application) as client:
                wishes = Wishes(progress=self._note, cancel=self._cancel)
                self._answer = client.cutout(*self._request, wishes)
        except LinkError as error:
            self._error = self._installed.explained(error)
        except Exception as error:  # noqa: BLE001  (it is raised where the result is taken)
            self._error = error
        self.is_done = True

    def _note(self, progress: Progress) -> None:
        self.progress = progress

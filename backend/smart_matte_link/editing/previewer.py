"""A thread that keeps a preview up to date with what the user chooses: the newest wish counts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from smart_matte_link.editing.choices import FINISHING_OPTIONS
from smart_matte_link.editing.picture import outputs_for
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import Output

if TYPE_CHECKING:
    from smart_matte_link.client import Client
    from smart_matte_link.editing.installed import Installed
    from smart_matte_link.job import Answer, Buffer
    from smart_matte_link.messages import Plane, Progress

News = Union["Progress", "Answer", LinkError]


class Wish(NamedTuple):
    """
    What is to be seen.

    Attributes:
        planes: a small picture and its selection or trimap, u8, as ``Client.cutout`` takes them.
        options: the backend's, from ``to_options``.
    """

    planes: list[tuple[Plane, Buffer]]
    options: dict[str, Any]

    def needs_only_finishing(self, before: Wish | None) -> bool:
        """Whether a kept result of an earlier wish serves for this one."""
        return (
            before is not None
            and self.planes is before.planes
            and _without_finishing(self.options) == _without_finishing(before.options)
        )


class Previewer:
    """
    Computes previews, one after the other, on a connection of its own.

    Example:
        >>> previewer = Previewer(installed, "gimp", lambda news: GLib.idle_add(show, news))
        >>> previewer.ask(Wish(planes, options))
        >>> previewer.close()
    """

    def __init__(
        self, installed: Installed, application: str, tell: Callable[[News], object]
    ) -> None:
        """
        Start the thread.

        Args:
            installed: the backend.
            application: "gimp" or "krita".
            tell: called in that thread with each Progress, Answer (planes "alpha", "foreground"
                and "trimap", u8) or LinkError; it has to hand them over to the editor's thread.
        """
        self._installed = installed
        self._application = application
        self._tell = tell
        self._changed = threading.Condition()
        self._next: Wish | None = None
        self._cancel = threading.Event()
        self._is_closed = False
        self._done: tuple[Wish, Answer] | None = None
        threading.Thread(target=self._work, name="preview", daemon=True).start()

    def ask(self, wish: Wish) -> None:
        """Ask for a preview; an older wish that isn't answered yet is forgotten."""
        with self._changed:
            self._next = wish
            self._cancel.set()
            self._changed.notify()

    def close(self) -> None:
        """Stop; nothing is told from now on."""
        with self._changed:
            self._is_closed = True
            self._cancel.set()
            self._changed.notify()

    def _work(self) -> None:
        with self._installed.client(self._application) as client:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closed or self._next is not None)
                    if self._is_closed or self._next is None:
                        return
                    wish, self._next = self._next, None
                    self._cancel.clear()
                news = self._fulfil(client, wish)
                if news is not None and not self._is_closed:
                    self._tell(news)

    def _fulfil(self, client: Client, wish: Wish) -> Answer | LinkError | None:
        """The answer, or why there is none; None when a newer wish has come."""
        try:
            answer = self._refined(client, wish) or client.cutout(
                wish.planes, _outputs(wish), wish.options, self._wishes(), keep=True
            )
        except LinkError as error:
            return None if error.code == "cancelled" else self._installed.explained(error)
        self._done = (wish, answer)
        return answer

    def _refined(self, client: Client, wish: Wish) -> Answer | None:
        """The answer from the last one's kept result; None where that can't be."""
        if self._done is None:
            return None
        before, answer = self._done
        if not (answer.kept and wish.needs_only_finishing(before)):
            return None
        try:
            return client.refine(answer, _outputs(wish), wish.options, self._wishes())
        except LinkError as error:
            if error.code != "not_kept":
                raise
        return None

    def _tell_progress(self, progress: Progress) -> None:
        self._tell(progress)

    def _wishes(self) -> Wishes:
        return Wishes(progress=self._tell_progress, cancel=self._cancel)


def _outputs(wish: Wish) -> list[Output]:
    order = wish.planes[0][0].order.removesuffix("A")
    return outputs_for("layer", "u8", Output("foreground", order, "u8"))


def _without_finishing(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in FINISHING_OPTIONS}

"""A cut-out from beginning to end, in steps that leave the user interface free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from smart_matte.layer_host import chosen_subject, read_picture
from smart_matte.qt_host import QtCore
from smart_matte.target_host import Target, check_can_hold
from smart_matte_link.editing.choices import to_options
from smart_matte_link.editing.errand import Errand
from smart_matte_link.editing.picture import outputs_for
from smart_matte_link.messages import Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smart_matte.layer_host import Steps
    from smart_matte_link.editing.installed import Installed
    from smart_matte_link.messages import Progress

MASK_SAMPLE = "u8"
"""Masks and selections have 8 bits in every document."""

LOOK_MS = 30
"""How often a waiting work looks whether the answer is there."""


def cut_out(
    installed: Installed,
    output: str,
    chosen: Mapping[str, Any],
    tell: Callable[[Progress], None],
) -> Steps:
    """
    Read, compute, and put the answer in once all of it is there.

    Args:
        installed: the backend.
        output: one of choices.OUTPUT.
        chosen: the other choices by name.
        tell: called with each new Progress.

    Returns:
        A generator to be driven by ``Work``: each step says how many milliseconds it may wait. In
        the end it returns how many undo steps there are.

    Raises:
        RefusedError: what is in hand can't be worked on, or has changed meanwhile.
        LinkError: the backend can't be reached, or refuses.
    """
    subject = chosen_subject()
    if subject.trimap is not None and output == "trimap":
        output = "layer"  # who has painted a trimap wants the result now
    check_can_hold(subject, output)
    picture = yield from read_picture(subject)
    target = Target(subject, picture)
    plane = picture.plane
    outputs = outputs_for(output, MASK_SAMPLE, Output("foreground", plane.order, plane.sample))
    errand = Errand(installed, "krita", picture.planes, outputs, to_options(chosen))
    told = None
    try:
        while not errand.is_done:
            if errand.progress is not told:
                told = errand.progress
                tell(told)
            yield LOOK_MS
    finally:
        errand.cancel()  # for a work that is given up; a done one doesn't mind
    undo_steps: int = yield from target.put(errand.result(), output)
    return undo_steps


class Work(QtCore.QObject):  # type: ignore[misc,name-defined]
    """
    Takes the steps of a work, one after the other, whenever Krita has nothing else to do.

    It ends with its parent: when Krita closes a window, nobody is left to be told.

    Attributes:
        is_running: whether there are steps left.
    """

    def __init__(
        self,
        parent: Any,  # noqa: ANN401  (a QObject)
        steps: Steps,
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """
        Begin.

        Args:
            parent: what the work is done for.
            steps: such as from ``cut_out``.
            done: called at the end with what the steps return.
            failed: called with what was raised instead.
        """
        super().__init__(parent)
        self.is_running = True
        self._steps = steps
        self._done = done
        self._failed = failed
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)
        self._timer.start(0)
        self.destroyed.connect(lambda *_: steps.close())

    def give_up(self) -> None:
        """Stop at once; neither ``done`` nor ``failed`` is called."""
        if self.is_running:
            self._end()
            self._steps.close()

    def _end(self) -> None:
        self.is_running = False
        self._timer.stop()
        self.deleteLater()

    def _step(self) -> None:
        if not self.is_running:
            return
        try:
            self._timer.start(next(self._steps))
        except StopIteration as end:
            self._end()
            self._done(end.value)
        except Exception as error:  # noqa: BLE001  (told to the user)
            self._end()
            self._failed(error)

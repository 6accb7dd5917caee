"""Inside Krita, for the tests: press the docker's buttons; documents.py belongs to it."""

import time
from contextlib import suppress

from documents import *  # noqa: F403  (what the tests call in there by one name)
from documents import KRITA, WAIT_S, QtCore, QtWidgets, close_document, events, find


def docker():
    return next(d for d in KRITA.activeWindow().dockers() if d.objectName() == "smart_matte")


def widget(name):
    """A widget of the docker, by the last part of its object name."""
    found = docker().findChild(QtWidgets.QWidget, f"smart_matte_{name}")
    if found is None:
        raise LookupError(name)
    return found


def show_docker():
    docker().show()
    docker().raise_()
    events(0.3)


def resize_docker(width):
    window = KRITA.activeWindow().qwindow()
    window.resizeDocks([docker()], [width], QtCore.Qt.Orientation.Horizontal)
    events(0.5)


def has_picture():
    return widget("picture").height() > 0


def widths():
    """How wide the docker's content is, and which of its widgets don't fit."""
    area = docker().findChild(QtWidgets.QScrollArea)
    shown = [w for w in area.widget().findChildren(QtWidgets.QWidget) if w.isVisible()]
    cut_off = []
    for part in shown:
        right = part.mapTo(area.widget(), QtCore.QPoint(part.width(), 0)).x()
        if right > area.viewport().width() and part.objectName():
            cut_off.append([part.objectName(), right])
    return {
        "content": area.widget().width(),
        "viewport": area.viewport().width(),
        "cut_off": cut_off,
    }


def choose(**choices):
    """Set the docker's choices, by name with underscores."""
    for name, value in choices.items():
        chosen = widget(name.replace("_", "-"))
        if isinstance(chosen, QtWidgets.QComboBox):
            chosen.setCurrentIndex(chosen.findData(value))
        elif isinstance(chosen, QtWidgets.QCheckBox):
            chosen.setChecked(value)
        elif isinstance(chosen, QtWidgets.QLineEdit):
            chosen.setText(value)
            chosen.editingFinished.emit()
        else:
            chosen.setValue(value)


def begin(**choices):
    """Press the button, and come back at once."""
    choose(**choices)
    widget("cut_out").click()


def run(**choices):
    """Press the button, wait for the end, and tell what the docker says."""
    begin(**choices)
    return end()


def is_busy():
    return not widget("cut_out").isVisibleTo(docker())


def end():
    """Wait until the docker has nothing to do."""
    until = time.monotonic() + WAIT_S
    while is_busy():
        if time.monotonic() > until:
            raise TimeoutError("the docker is still busy")
        events(0.02)
    if KRITA.activeDocument() is not None:
        KRITA.activeDocument().waitForDone()
    events()
    return message()


def is_met_at_work(name):
    """Let Krita go on until a layer of this name is there, and no longer: is the work going on?"""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        QtWidgets.QApplication.instance().processEvents()
        with suppress(LookupError):
            find(name)
            return is_busy()
    raise TimeoutError(f"there is no {name}")


def cancel_at(name):
    """Press Cancel as soon as a layer is there; whether the work was going on."""
    was_busy = is_met_at_work(name)
    cancel()
    return was_busy


def close_at(name):
    """Close the document as soon as a layer is there; whether the work was going on."""
    was_busy = is_met_at_work(name)
    close_document()
    return was_busy


def cancel():
    """Press Cancel; how long it took in seconds, and what the docker says then."""
    start = time.perf_counter()
    widget("cancel").click()
    took = time.perf_counter() - start
    if is_busy():
        raise RuntimeError("the docker is still busy")
    return took, message()


def message():
    return widget("message").text()


def details():
    """What "Copy details" puts on the clipboard; "" where it isn't offered."""
    button = widget("copy_details")
    if not button.isVisibleTo(docker()):
        return ""
    button.click()
    return QtWidgets.QApplication.clipboard().text()


def middle_of(name):
    """Where on the screen a widget is."""
    found = widget(name)
    point = found.mapToGlobal(found.rect().center())
    return [point.x(), point.y()]


class Ticks:
    """Notes how long the user interface stands still, and how long it computes meanwhile."""

    EVERY_MS = 2

    def __init__(self):
        self.gaps, self.computing = [], []
        self._last = time.perf_counter(), time.thread_time()
        self._timer = QtCore.QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(self.EVERY_MS)

    def _tick(self):
        now = time.perf_counter(), time.thread_time()
        self.gaps.append(1000 * (now[0] - self._last[0]))
        self.computing.append(1000 * (now[1] - self._last[1]))
        self._last = now

    def longest(self):
        self._timer.stop()
        return {
            "standing_ms": [round(gap) for gap in sorted(self.gaps)[-5:]],
            "computing_ms": [round(gap) for gap in sorted(self.computing)[-5:]],
        }


def longest_gaps(seconds=None, action=None, **choices):
    """Press the button; the longest gaps until the work is done (or in some seconds)."""
    ticks = Ticks()
    if action is not None:
        KRITA.action(action).trigger()
    if seconds is None:
        begin(**choices)
    until = time.monotonic() + (seconds or WAIT_S)
    while time.monotonic() < until and (seconds or is_busy()):
        QtWidgets.QApplication.instance().processEvents()
    return ticks.longest()

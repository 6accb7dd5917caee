"""Registers the docker and the action with Krita."""

from __future__ import annotations

from typing import Any

from krita import DockWidgetFactory, DockWidgetFactoryBase, Extension, Krita

from smart_matte.choices_host import GROUP
from smart_matte.docker_host import Docker
from smart_matte.qt_host import QtCore, QtWidgets
from smart_matte.words_host import _

DOCKER = "smart_matte"
ACTION = "smart_matte_cut_out"

WAS_SHOWN = "was-shown"
"""In kritarc, after the first start: Krita hides new dockers, and who installs one looks for it."""


LOOK_MS = 500

TALL_NEIGHBOUR = "PresetDocker"
"""Krita's brush presets: the docker that has most room in a new Krita, and isn't needed with us."""


class Action(Extension):  # type: ignore[misc]
    """The menu entry and its shortcut."""

    def setup(self) -> None:
        """Nothing to prepare."""

    def createActions(self, window: Any) -> None:  # noqa: ANN401, N802  (Krita calls it)
        """Add the entry to Tools > Scripts; *window* is gone when this returns."""
        action = window.createAction(ACTION, _("Smart Matte: cut out"), "tools/scripts")
        action.triggered.connect(_cut_out)
        QtCore.QTimer.singleShot(0, _show_once)


def _cut_out(*_args: object) -> None:
    """Do what the docker's button does, and show the docker: there the user sees what happens."""
    for docker in _show_docker():
        docker.cut_out()


def _show_once() -> None:
    """At the first start, bring the docker into sight, where it has some room."""
    if Krita.instance().readSetting(GROUP, WAS_SHOWN, "") != "":
        return
    if Krita.instance().activeDocument() is None:  # without one, Krita shows no dockers
        QtCore.QTimer.singleShot(LOOK_MS, _show_once)
        return
    for docker in _show_docker():
        window = Krita.instance().activeWindow().qwindow()
        neighbour = window.findChild(QtWidgets.QDockWidget, TALL_NEIGHBOUR)
        if neighbour is not None and neighbour.isVisibleTo(window):
            window.tabifyDockWidget(neighbour, docker)
            docker.raise_()
        Krita.instance().writeSetting(GROUP, WAS_SHOWN, "True")


def _show_docker() -> list[Any]:
    """The current window's docker, in sight; an empty list where there is no window."""
    window = Krita.instance().activeWindow()
    dockers = [] if window is None else window.dockers()
    found = [docker for docker in dockers if docker.objectName() == DOCKER]
    for docker in found:
        docker.show()
        docker.raise_()
    return found


def register() -> None:
    """Make Krita know the plug-in."""
    krita = Krita.instance()
    right = getattr(DockWidgetFactoryBase, "DockPosition", DockWidgetFactoryBase).DockRight
    krita.addDockWidgetFactory(DockWidgetFactory(DOCKER, right, Docker))
    krita.addExtension(Action(krita))

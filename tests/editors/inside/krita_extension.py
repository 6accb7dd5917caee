"""Runs inside Krita: lets tests run scripts there; of a single one Krita takes the exit code."""

import os

from krita import Extension, Krita

try:
    from PyQt6.QtCore import QTimer
    from PyQt6.QtWidgets import QApplication
except ImportError:
    from PyQt5.QtCore import QTimer
    from PyQt5.QtWidgets import QApplication

from .script_folder import do_next

FOLDER = os.environ.get("SMART_MATTE_TEST_SCRIPTS")
LOOK_MS = 50


class Scripts(Extension):
    """Looks for scripts as soon as a window and, where one is to be opened, a picture are there."""

    def setup(self):
        if not FOLDER:
            return
        self.timer = QTimer(self)
        self.timer.setInterval(LOOK_MS)
        self.timer.timeout.connect(self.look)
        notifier = Krita.instance().notifier()
        notifier.setActive(True)
        notifier.windowCreated.connect(self.timer.start)

    def look(self):
        document = Krita.instance().activeDocument()
        has_picture = document is not None and document.activeNode() is not None
        if "SMART_MATTE_TEST_PICTURE" in os.environ and not has_picture:
            return
        os.environ.pop("SMART_MATTE_TEST_PICTURE", None)
        names = {"krita": Krita.instance(), "application": QApplication.instance()}
        went_well = do_next(FOLDER, names)
        if went_well is not None and "SMART_MATTE_TEST_ONCE" in os.environ:
            os._exit(0 if went_well else 1)

    def createActions(self, window):  # noqa: N802  (Krita's name)
        pass


Krita.instance().addExtension(Scripts(Krita.instance()))

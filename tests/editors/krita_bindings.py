"""A program: the docker under PyQt5 or PyQt6, with a Krita and a backend that are made up."""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import krita_made_up
from krita_made_up import STATE, QtCore, QtWidgets

from smart_matte_link.job import Answer, PlanePixels
from smart_matte_link.messages import CHANNELS, SAMPLE_BYTES, Plane

PLUG_INS = Path(__file__).resolve().parents[2] / "plugin_krita"
WAIT_MS = 20_000
FAILURES = []


class Client:
    """Answers at once, everything with 128."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def cutout(self, planes, outputs, *_, **__) -> Answer:
        image = planes[0][0]
        size = image.width * image.height
        made = {}
        for output in outputs:
            encoding = "srgb" if output.role == "foreground" else "coverage"
            form = (image.width, image.height, output.order, output.sample, encoding)
            pixels = bytes([128]) * (size * CHANNELS[output.order] * SAMPLE_BYTES[output.sample])
            made[output.role] = PlanePixels(Plane(output.role, *form), memoryview(pixels))
        return Answer(b"", image, made, {}, kept=True)


def wait(application, is_so) -> None:
    deadline = QtCore.QDeadlineTimer(WAIT_MS)
    while not is_so() and not FAILURES and not deadline.hasExpired():
        application.processEvents()
    assert not FAILURES, FAILURES[0]
    assert is_so(), find("QLabel", "message").text()


def find(kind, name):
    return STATE.dockers[0].findChild(getattr(QtWidgets, kind), f"smart_matte_{name}")


def start(binding: str) -> None:
    """Import every module, as Krita does first of all with the package."""
    sys.modules["krita"] = krita_made_up
    sys.path.insert(0, str(PLUG_INS))
    STATE.window = QtWidgets.QMainWindow()
    import_module("smart_matte")
    for file in (PLUG_INS / "smart_matte").glob("*_host.py"):
        import_module(f"smart_matte.{file.stem}")
    chosen = import_module("smart_matte.qt_host").BINDING
    assert chosen == binding
    (docker,) = STATE.dockers
    STATE.window.addDockWidget(QtCore.Qt.DockWidgetArea.RightDockWidgetArea, docker)
    STATE.window.show()
    STATE.extensions[0].createActions(krita_made_up.Window())
    import_module("smart_matte.docker_host").INSTALLED.__class__.client = lambda *_: Client()


def cut_out(application) -> None:
    for output in ("layer", "mask", "trimap"):
        combo = find("QComboBox", "output")
        combo.setCurrentIndex(combo.findData(output))
        find("QPushButton", "cut_out").click()
        wait(application, lambda: find("QLabel", "message").text().startswith("Done"))
    assert len(STATE.document.root.children) == 3
    assert STATE.document.node.children[0].kind == "transparencymask"
    find("QLabel", "message").setText("")
    STATE.action.trigger()
    wait(application, lambda: find("QLabel", "message").text().startswith("Done"))


def preview(application) -> None:
    find("QToolButton", "advanced").click()
    find("QPushButton", "preview").click()
    wait(application, lambda: find("QLabel", "picture").height() > 0)
    view = find("QComboBox", "view")
    for index in range(view.count()):
        view.setCurrentIndex(index)
    find("QDoubleSpinBox", "shift-edge").setValue(20)
    STATE.dockers[0].canvasChanged(None)


def fail(application, binding: str) -> None:
    steps = import_module("smart_matte.work_host")
    docker = STATE.dockers[0]

    def broken():
        yield 0
        raise ZeroDivisionError

    docker._work = steps.Work(docker, broken(), docker._done, docker._failed)
    failed = "Smart Matte failed unexpectedly: ZeroDivisionError"
    wait(application, lambda: find("QLabel", "message").text().startswith(failed))
    find("QPushButton", "copy_details").click()
    assert binding in application.clipboard().text()


def main(binding: str) -> None:
    warnings.simplefilter("error")
    application = QtWidgets.QApplication([])
    sys.excepthook = lambda *failure: FAILURES.append(failure)
    try:
        start(binding)
        cut_out(application)
        preview(application)
        fail(application, binding)
    finally:
        sys.excepthook = sys.__excepthook__


if __name__ == "__main__":
    main(sys.argv[1])

"""The docker: one button, the few choices that matter, a preview, progress and Cancel."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from krita import DockWidget, Krita

from smart_matte.choices_host import GROUP, ChoicesForm
from smart_matte.preview_host import Preview
from smart_matte.qt_host import BINDING, QtCore, QtWidgets
from smart_matte.words_host import _
from smart_matte.work_host import Work, cut_out
from smart_matte_link.editing.choices import ADVANCED, BASIC, OUTPUT
from smart_matte_link.editing.installed import read_installed
from smart_matte_link.editing.problems import RefusedError, brief_of
from smart_matte_link.editing.stages import CONNECTING, overall_fraction, title_of
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Progress

INSTALLED = read_installed(Path(__file__).absolute().parent)

ADVANCED_SHOWN = "advanced-shown"
"""In kritarc: whether the further choices are unfolded."""

DONE = 100

LAYOUT_MS = 50
"""After which Qt has laid out what was shown."""


class Docker(DockWidget):  # type: ignore[misc]
    """Smart Matte's docker; its action works also while it isn't shown."""

    def __init__(self) -> None:
        """Build it."""
        super().__init__()
        self.setWindowTitle("Smart Matte")
        self._work: Work | None = None
        self._details = ""
        self._is_new_preview = False
        self._output = ChoicesForm((OUTPUT,), lambda: None)
        self._basic = ChoicesForm(BASIC, self._settle)
        self._advanced = ChoicesForm(ADVANCED, self._settle)
        self._preview = Preview(INSTALLED, self._chosen, self._hear_of_preview)
        self._build()
        self._say("")
        self._show_idle()

    def canvasChanged(self, _canvas: object) -> None:  # noqa: N802  (Krita calls it)
        """Forget a preview of another document."""
        if self._preview.is_on:
            self._stop_preview()

    def cut_out(self) -> None:
        """What the button and the shortcut do."""
        if self._work is not None:
            return
        self._stop_preview()
        self._progress.setValue(0)
        self._say(_(CONNECTING))
        output = self._output.chosen()["output"]
        steps = cut_out(INSTALLED, output, self._chosen(), self._show_progress)
        self._work = Work(self, steps, self._done, self._failed)
        self._show_busy()

    def _settle(self) -> None:
        self._preview.settle()

    def _chosen(self) -> dict[str, Any]:
        return {**self._basic.chosen(), **self._advanced.chosen()}

    def _build(self) -> None:
        self._button = _button(_("Cut out"), "cut_out", self.cut_out)
        self._cancel = _button(_("Cancel"), "cancel", self._give_up)
        self._progress = QtWidgets.QProgressBar()
        self._progress.setObjectName("smart_matte_progress")
        self._message = QtWidgets.QLabel()
        self._message.setObjectName("smart_matte_message")
        self._message.setWordWrap(True)
        self._copy = _button(_("Copy details"), "copy_details", self._copy_details)
        self._preview_button = _button(_("Preview"), "preview", self._toggle_preview)
        self._preview_button.setCheckable(True)
        content = QtWidgets.QWidget()
        layout = QtWidgets.QVBoxLayout(content)
        for widget in (
            self._button,
            self._cancel,
            self._progress,
            self._message,
            self._copy,
            self._output,
            self._basic,
            self._fold(),
            self._advanced,
            self._preview_button,
            self._preview,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._area = QtWidgets.QScrollArea()
        self._area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidgetResizable(True)
        self._area.setWidget(content)
        self.setWidget(self._area)

    def _fold(self) -> Any:  # noqa: ANN401  (a QToolButton)
        """What shows and hides the further choices."""
        fold = QtWidgets.QToolButton()
        fold.setText(_("Advanced"))
        fold.setObjectName("smart_matte_advanced")
        fold.setToolButtonStyle(QtCore.Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        fold.setAutoRaise(True)
        fold.setCheckable(True)
        arrows = QtCore.Qt.ArrowType

        def unfold(is_shown: bool) -> None:  # noqa: FBT001  (Qt calls it)
            fold.setArrowType(arrows.DownArrow if is_shown else arrows.RightArrow)
            self._advanced.setVisible(is_shown)
            Krita.instance().writeSetting(GROUP, ADVANCED_SHOWN, str(is_shown))

        fold.toggled.connect(unfold)
        is_shown = Krita.instance().readSetting(GROUP, ADVANCED_SHOWN, "False") == "True"
        fold.setChecked(is_shown)
        unfold(is_shown)
        return fold

    def _show_idle(self) -> None:
        self._swap(self._cancel, self._button)
        self._preview_button.setEnabled(True)
        self._progress.hide()

    def _show_busy(self) -> None:
        self._swap(self._button, self._cancel)
        self._preview_button.setEnabled(False)
        self._progress.show()

    @staticmethod
    def _swap(old: Any, new: Any) -> None:  # noqa: ANN401  (two buttons)
        """One button in place of another, for the keyboard as well."""
        had_focus = old.hasFocus()
        old.hide()
        new.show()
        if had_focus:
            new.setFocus()

    def _show_progress(self, progress: Progress) -> None:
        self._say(_(title_of(progress.stage)))
        fraction = overall_fraction(progress.stage, progress.fraction)
        if fraction is not None:
            self._progress.setValue(round(DONE * fraction))

    def _done(self, undo_steps: int) -> None:
        self._work = None
        self._show_idle()
        if undo_steps == 0:
            self._say(_("Done."))
        elif undo_steps == 1:
            self._say(_("Done; Ctrl+Z takes it back."))
        else:
            self._say(_("Done; Ctrl+Z, {count} times, takes it back.").format(count=undo_steps))

    def _give_up(self) -> None:
        if self._work is not None:
            self._work.give_up()
            self._work = None
        self._show_idle()
        self._say(_("Cancelled; nothing was changed."))

    def _failed(self, error: Exception) -> None:
        self._work = None
        self._show_idle()
        self._say_why(error)

    def _say_why(self, error: Exception) -> None:
        if isinstance(error, RefusedError):
            self._say(str(error))
        elif isinstance(error, LinkError):
            self._say(_.say(error.sentence, error.hint), f"{error.code}: {error}")
        else:
            brief = brief_of(error)
            self._say(_("Smart Matte failed unexpectedly: {error}").format(error=brief), brief)

    def _say(self, sentence: str, details: str = "") -> None:
        """Show a sentence; details can be copied for a report and hold nothing of the picture."""
        self._message.setText(sentence)
        self._message.setVisible(bool(sentence))
        self._details = details
        self._copy.setVisible(bool(details))

    def _copy_details(self) -> None:
        lines = (
            f"Smart Matte {INSTALLED.version}, Krita {Krita.instance().version()}",
            f"{BINDING}, Python {platform.python_version()}, {platform.platform()}",
            self._details,
        )
        QtWidgets.QApplication.clipboard().setText("\n".join(lines))

    def _toggle_preview(self, is_on: bool) -> None:  # noqa: FBT001  (Qt calls it)
        self._stop_preview()
        if not is_on:
            return
        try:
            self._preview.turn_on()
        except RefusedError as error:
            self._say_why(error)
            return
        self._preview_button.setChecked(True)
        self._is_new_preview = True
        self._progress.setValue(0)
        self._progress.show()
        self._say(_(CONNECTING))

    def _stop_preview(self) -> None:
        self._preview.put_away()
        self._preview_button.setChecked(False)
        if self._work is None:
            self._progress.hide()
            self._say("")

    def _hear_of_preview(self, news: Any) -> None:  # noqa: ANN401  (Progress, Exception or None)
        if isinstance(news, Progress):
            self._progress.show()
            self._show_progress(news)
            return
        self._progress.hide()
        if news is not None:
            self._say_why(news)
            return
        self._say("")
        if self._is_new_preview:  # later on, who changes a choice wants to see that
            self._is_new_preview = False
            QtCore.QTimer.singleShot(LAYOUT_MS, self._scroll_to_preview)

    def _scroll_to_preview(self) -> None:
        self._area.ensureWidgetVisible(self._preview)


def _button(text: str, name: str, clicked: Any) -> Any:  # noqa: ANN401  (a QPushButton)
    button = QtWidgets.QPushButton(text)
    button.setObjectName(f"smart_matte_{name}")
    button.clicked.connect(clicked)
    return button

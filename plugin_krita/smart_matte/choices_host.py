"""Widgets for the choices that both editors offer; what was chosen is remembered by Krita."""

from __future__ import annotations

from typing import Any, Callable

from krita import Krita

from smart_matte.qt_host import QtWidgets
from smart_matte.words_host import _
from smart_matte_link.editing import choices

GROUP = "smart_matte"
"""The group of kritarc."""

FEW_DIGITS_FROM = 2.0
"""Ranges that go further are shown without decimals."""

UNITS = {"radius": " px", "inner-radius": " px", "shift-edge": " %", "decontaminate": " %"}


class ChoicesForm(QtWidgets.QWidget):  # type: ignore[misc,name-defined]
    """A form of some choices; *changed* is called when one of them was changed."""

    def __init__(self, shown: tuple[Any, ...], changed: Callable[[], None]) -> None:
        """Build the form with what was chosen last."""
        super().__init__()
        self._changed = changed
        self._readers: dict[str, Callable[[], Any]] = {}
        form = QtWidgets.QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setRowWrapPolicy(QtWidgets.QFormLayout.RowWrapPolicy.WrapLongRows)
        growing = QtWidgets.QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow
        form.setFieldGrowthPolicy(growing)
        for choice in shown:
            widget = self._widget(choice)
            widget.setObjectName(f"smart_matte_{choice.name}")
            widget.setToolTip(_(choice.blurb))
            form.addRow(_(choice.label), widget)

    def chosen(self) -> dict[str, Any]:
        """What is chosen now, by name."""
        return {name: read() for name, read in self._readers.items()}

    def _widget(self, choice: Any) -> Any:  # noqa: ANN401  (one of four kinds)
        if isinstance(choice, choices.Number):
            return self._number(choice)
        if isinstance(choice, choices.OneOf):
            return self._one_of(choice)
        if isinstance(choice, choices.Switch):
            return self._switch(choice)
        return self._text(choice)

    def _number(self, choice: choices.Number) -> Any:  # noqa: ANN401
        widget = QtWidgets.QDoubleSpinBox()
        few = choice.high >= FEW_DIGITS_FROM
        widget.setDecimals(0 if few else 2)
        widget.setSingleStep(1.0 if few else 0.05)
        widget.setRange(choice.low, choice.high)
        widget.setSuffix(UNITS.get(choice.name, ""))
        if choice.name in choices.AUTOMATIC_AT_0:
            widget.setSpecialValueText(_("Automatic"))
        widget.setValue(float(_remembered(choice)))
        self._join(choice, widget.value, widget.valueChanged)
        return widget

    def _one_of(self, choice: choices.OneOf) -> Any:  # noqa: ANN401
        widget = QtWidgets.QComboBox()
        widget.setSizeAdjustPolicy(
            QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        for value, words in choice.values:
            widget.addItem(_(words), value)
        widget.setCurrentIndex(max(0, widget.findData(_remembered(choice))))
        self._join(choice, widget.currentData, widget.currentIndexChanged)
        return widget

    def _switch(self, choice: choices.Switch) -> Any:  # noqa: ANN401
        widget = QtWidgets.QCheckBox()
        widget.setChecked(_remembered(choice) == "True")
        self._join(choice, widget.isChecked, widget.toggled)
        return widget

    def _text(self, choice: choices.Text) -> Any:  # noqa: ANN401
        widget = QtWidgets.QLineEdit(_remembered(choice))
        self._join(choice, widget.text, widget.editingFinished)
        return widget

    def _join(self, choice: Any, read: Callable[[], Any], signal: Any) -> None:  # noqa: ANN401
        self._readers[choice.name] = read

        def note(*_args: object) -> None:
            Krita.instance().writeSetting(GROUP, choice.name, str(read()))
            self._changed()

        signal.connect(note)


def _remembered(choice: Any) -> str:  # noqa: ANN401  (one of four kinds)
    """What was chosen last; the default where that makes no sense any more."""
    default = str(choice.default)
    text: str = Krita.instance().readSetting(GROUP, choice.name, default)
    if isinstance(choice, choices.Number):
        try:
            float(text)
        except ValueError:
            return default
    return text

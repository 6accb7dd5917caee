"""The procedure's arguments, made from the choices that both editors offer."""

from __future__ import annotations

from typing import Any

from gi.repository import Gimp, GObject

from smart_matte_link.editing import choices
from words import _

TRIMAP = "trimap-layer"

UNITS = {"radius": "px", "inner-radius": "px", "shift-edge": "%", "decontaminate": "%"}

TAKEN_LETTERS = "ochrls"
"""OK, Cancel, Help, Reset, Load and Save Settings: GIMP's own buttons, in English."""


def add_arguments(procedure: Gimp.Procedure) -> None:
    """Every choice is an argument, so that scripts can do what the dialog does."""
    flags, taken = GObject.ParamFlags.READWRITE, set(TAKEN_LETTERS)
    for choice in (choices.OUTPUT, *choices.BASIC, choices.HIDE_ORIGINAL, *choices.ADVANCED):
        unit = f" ({UNITS[choice.name]})" if choice.name in UNITS else ""
        head = (choice.name, with_mnemonic(_(choice.label), taken) + unit, _(choice.blurb))
        if isinstance(choice, choices.Number):
            procedure.add_double_argument(*head, choice.low, choice.high, choice.default, flags)
        elif isinstance(choice, choices.Switch):
            procedure.add_boolean_argument(*head, choice.default, flags)
        elif isinstance(choice, choices.Text):
            procedure.add_string_argument(*head, choice.default, flags)
        else:
            values = Gimp.Choice.new()
            for number, (value, words) in enumerate(choice.values):
                values.add(value, number, _(words), "")
            procedure.add_choice_argument(*head, values, choice.default, flags)
    procedure.add_layer_argument(
        TRIMAP,
        with_mnemonic(_("Trimap layer"), taken),
        _("A layer painted black, grey and white, to be taken instead of the selection"),
        True,
        flags,
    )


def with_mnemonic(label: str, taken: set[str]) -> str:
    """The label with "_" before the first letter that isn't taken, which it is then."""
    for place, letter in enumerate(label):
        if letter.isalnum() and letter.lower() not in taken:
            taken.add(letter.lower())
            return f"{label[:place]}_{label[place:]}"
    return f"_{label}"


def chosen(config: Gimp.ProcedureConfig) -> dict[str, Any]:
    """What the user chose, by name."""
    return {
        choice.name: config.get_property(choice.name)
        for choice in (*choices.BASIC, *choices.ADVANCED)
    }

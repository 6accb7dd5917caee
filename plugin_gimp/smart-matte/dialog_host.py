"""The dialog: the few choices that matter, the others under Advanced, and a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import Gimp, GimpUi, GLib, GObject, Gtk

from arguments_host import TRIMAP, UNITS, chosen
from layer_host import read_picture, region_of
from preview_host import HEIGHT_PX, WIDTH_PX, PreviewPane
from shrinking_host import shrunk
from smart_matte_link.editing.choices import ADVANCED, BASIC, HIDE_ORIGINAL, OUTPUT, to_options
from smart_matte_link.editing.previewer import News, Previewer, Wish
from smart_matte_link.editing.problems import RefusedError
from smart_matte_link.editing.stages import CONNECTING, overall_fraction, title_of
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Progress
from words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from layer_host import Subject
    from smart_matte_link.editing.installed import Installed

CHOICES_WIDTH_PX = 480

SETTLE_MS = 250
"""After the last change of a choice, before a preview is asked for."""


class Dialog:
    """Smart Matte's dialog, to be run once."""

    def __init__(
        self,
        procedure: Gimp.Procedure,
        config: Gimp.ProcedureConfig,
        subject: Callable[[], Subject],
        installed: Installed,
    ) -> None:
        """
        Build the dialog.

        Args:
            procedure: whose dialog it is.
            config: what was chosen last, and will be here.
            subject: tells what is to be worked on, after what is chosen just now.
            installed: the backend.

        Raises:
            RefusedError: the selection misses the layer.
        """
        self._config = config
        self._subject_now = subject
        self._timer = 0
        GimpUi.init(procedure.get_name())
        self._pane = PreviewPane()
        self._read(subject())
        self._dialog = _dialog(procedure, config, self._pane)
        self._previewer = Previewer(installed, "gimp", self._hear)

    def run(self) -> bool:
        """Let the user choose; whether they pressed OK."""
        self._pane.show_progress(_(CONNECTING), 0.0)
        self._ask()
        self._config.connect("notify", self._settle)
        try:
            return bool(self._dialog.run())
        finally:
            self._previewer.close()
            if self._timer:
                GLib.source_remove(self._timer)
            self._dialog.destroy()

    def _settle(self, *_: object) -> None:
        """Wait until nothing changes for a moment."""
        if self._timer:
            GLib.source_remove(self._timer)
        self._timer = GLib.timeout_add(SETTLE_MS, self._ask)

    def _read(self, subject: Subject) -> None:
        """Read a small picture of what is to be worked on."""
        region = region_of(subject)
        self._scale = min(1.0, WIDTH_PX / region.width, HEIGHT_PX / region.height)
        picture = shrunk(read_picture(subject, region, "u8"), self._scale)
        self._subject, self._planes = subject, picture.planes
        self._pane.show_picture(picture)

    def _ask(self) -> bool:
        self._timer = 0
        try:
            subject = self._subject_now()
            if subject != self._subject:
                self._read(subject)
        except RefusedError as refusal:
            self._pane.show_problem(str(refusal))
            return GLib.SOURCE_REMOVE
        options = to_options(chosen(self._config), self._scale)
        self._previewer.ask(Wish(self._planes, options))
        return GLib.SOURCE_REMOVE

    def _hear(self, news: News) -> None:
        """Called in the previewer's thread."""
        GLib.idle_add(self._show, news)

    def _show(self, news: News) -> bool:
        if isinstance(news, Progress):
            title = _(title_of(news.stage))
            self._pane.show_progress(title, overall_fraction(news.stage, news.fraction))
        elif isinstance(news, LinkError):
            self._pane.show_problem(_.say(news.sentence, news.hint))
        else:
            self._pane.show_answer(news)
        return GLib.SOURCE_REMOVE


def _dialog(
    procedure: Gimp.Procedure, config: Gimp.ProcedureConfig, pane: PreviewPane
) -> GimpUi.ProcedureDialog:
    """GIMP's own dialog for a procedure: the preview, and beside it what can be chosen."""
    dialog = GimpUi.ProcedureDialog.new(procedure, config, _("Smart Matte"))
    for choice in BASIC:
        dialog.get_scale_entry(choice.name, 1.0)
    for name in UNITS:
        dialog.get_widget(name, GObject.TYPE_NONE).set_digits(0)
    dialog.fill_box("advanced-box", [*(choice.name for choice in ADVANCED), TRIMAP])
    dialog.get_label("advanced-title", _("Advanced"), False, False)
    advanced = dialog.fill_expander("advanced", "advanced-title", False, "advanced-box")
    advanced.set_resize_toplevel(False)  # what doesn't fit is scrolled to
    names = [OUTPUT.name, *(choice.name for choice in BASIC), HIDE_ORIGINAL.name]
    dialog.fill_box("choices", [*names, "advanced"])
    scrolled = dialog.fill_scrolled_window("scrolled-choices", "choices")
    scrolled.set_policy(Gtk.PolicyType.NEVER, Gtk.PolicyType.AUTOMATIC)
    scrolled.set_size_request(CHOICES_WIDTH_PX, -1)
    columns = dialog.fill_box("columns", ["scrolled-choices"])
    columns.set_orientation(Gtk.Orientation.HORIZONTAL)
    columns.set_spacing(18)
    columns.pack_start(pane, False, False, 0)
    columns.reorder_child(pane, 0)
    dialog.fill(["columns"])
    _enable_if(dialog, HIDE_ORIGINAL.name, OUTPUT.name, "layer")
    for name in ("low-probability", "high-probability"):
        _enable_if(dialog, name, "trimap-method", "probability")
    dialog.get_widget_for_response(Gtk.ResponseType.OK).grab_focus()
    dialog.get_widget_for_response(Gtk.ResponseType.HELP).hide()  # GIMP's manual has no such page
    return dialog


def _enable_if(dialog: GimpUi.ProcedureDialog, name: str, other: str, value: str) -> None:
    """Let a choice be changed only while another one has a certain value."""
    values = Gimp.ValueArray.new(1)
    values.append(GObject.Value(str, value))
    dialog.set_sensitive_if_in(name, None, other, values, True)

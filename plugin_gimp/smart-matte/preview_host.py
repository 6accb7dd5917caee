"""The dialog's picture: the trimap over the layer, the matte, or the subject cut out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GdkPixbuf, GLib, Gtk, Pango

from smart_matte_link.editing.preview import (
    cut_out_picture,
    opaque_picture,
    tinted_trimap,
)
from smart_matte_link.messages import CHANNELS
from words import _

if TYPE_CHECKING:
    from smart_matte_link.editing.picture import Picture
    from smart_matte_link.job import Answer

WIDTH_PX, HEIGHT_PX = 560, 440
"""The preview's place: small enough for a screen of 720 lines, and for an answer in a second."""

CHECK_PX = 8
CHECKS = (0x999999, 0x666666)
"""GIMP's own medium checks, as RGB."""

NEAREST = GdkPixbuf.InterpType.NEAREST


class PreviewPane(Gtk.Box):  # type: ignore[misc]
    """
    A picture, buttons that choose what it shows, and a line of text.

    It shows the layer until there is something better.
    """

    def __init__(self) -> None:
        """Build it; there is nothing to see before ``show_picture``."""
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self._answer: Answer | None = None
        self._views = {
            "result": _("Result"),
            "matte": _("Matte"),
            "trimap": _("Trimap"),
        }
        self._view = "result"
        self._buttons = self._view_buttons()
        self._image = Gtk.Image(width_request=WIDTH_PX, height_request=HEIGHT_PX)
        self._bar = Gtk.ProgressBar(show_text=True, ellipsize=Pango.EllipsizeMode.END)
        self._text = Gtk.Label(
            wrap=True, selectable=True, max_width_chars=1, xalign=0.0, no_show_all=True
        )
        self.pack_start(self._buttons, False, False, 0)
        self.pack_start(self._image, True, True, 0)
        self.pack_start(self._bar, False, False, 0)
        self.pack_start(self._text, False, False, 0)
        self.show_all()

    def show_picture(self, picture: Picture) -> None:
        """Show the layer; answers from now on are about this picture."""
        plane = picture.plane
        self._size = (plane.width, plane.height)
        self._zoom = max(1, min(WIDTH_PX // plane.width, HEIGHT_PX // plane.height))
        self._picture = opaque_picture(picture.pixels, CHANNELS[plane.order])
        self._draw(None)

    def show_answer(self, answer: Answer) -> None:
        """Show a result; one of an earlier picture is too late."""
        plane = answer.planes["alpha"].plane
        if (plane.width, plane.height) != self._size:
            return
        self._end_progress("")
        self._draw(answer)

    def show_progress(self, title: str, fraction: float | None) -> None:
        """Show that something is on its way."""
        self._bar.set_opacity(1.0)
        self._bar.set_text(title)
        if fraction is None:
            self._bar.pulse()
        else:
            self._bar.set_fraction(fraction)

    def show_problem(self, sentence: str) -> None:
        """Say why there is nothing to see."""
        self._end_progress(sentence)
        self._draw(None)

    def _end_progress(self, sentence: str) -> None:
        self._bar.set_opacity(0.0)  # it keeps its place, so that nothing jumps
        self._text.set_text(sentence)
        self._text.set_visible(bool(sentence))

    def _view_buttons(self) -> Gtk.Box:
        box = Gtk.Box(spacing=12, halign=Gtk.Align.CENTER)
        button = None
        for view, title in self._views.items():
            button = Gtk.RadioButton.new_with_label_from_widget(button, title)
            button.connect("toggled", self._choose, view)
            box.add(button)
        return box

    def _choose(self, button: Gtk.RadioButton, view: str) -> None:
        if button.get_active():
            self._view = view
            self._draw(self._answer)

    def _draw(self, answer: Answer | None) -> None:
        """Show the answer as the user wants to see it; without one the layer as it is."""
        self._answer = answer
        self._buttons.set_sensitive(answer is not None)
        if answer is None:
            shown = self._pixbuf(self._picture)
        elif self._view == "matte":
            shown = self._pixbuf(opaque_picture(answer.planes["alpha"].pixels, 1))
        elif self._view == "trimap":
            shown = self._pixbuf(self._picture)
            tints = self._pixbuf(tinted_trimap(bytes(answer.planes["trimap"].pixels)))
            tints.composite(shown, 0, 0, *self._size, 0, 0, 1, 1, NEAREST, 255)
        else:
            shown = self._over_checks(answer)
        width, height = (side * self._zoom for side in self._size)
        self._image.set_from_pixbuf(shown.scale_simple(width, height, NEAREST))

    def _over_checks(self, answer: Answer) -> GdkPixbuf.Pixbuf:
        foreground, alpha = answer.planes["foreground"], answer.planes["alpha"].pixels
        channels = CHANNELS[foreground.plane.order]
        subject = self._pixbuf(cut_out_picture(foreground.pixels, channels, alpha))
        check_px = max(1, CHECK_PX // self._zoom)
        return subject.composite_color_simple(*self._size, NEAREST, 255, check_px, *CHECKS)

    def _pixbuf(self, rgba: bytes) -> GdkPixbuf.Pixbuf:
        width, height = self._size
        rgb = GdkPixbuf.Colorspace.RGB
        return GdkPixbuf.Pixbuf.new_from_bytes(
            GLib.Bytes.new(rgba), rgb, True, 8, width, height, 4 * width
        ).copy()  # its own bytes, which may be written to

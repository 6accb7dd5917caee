"""Putting a result into the image: everything in one undo step, or nothing at all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from gi.repository import Gegl, Gimp

from layer_host import (
    Subject,
    colour_format,
    coverage_format,
    native_format,
    pixel_layout,
    place_of,
    read_native,
)
from smart_matte_link.editing.pixels import part_of, with_computed_colours
from smart_matte_link.editing.problems import RefusedError
from smart_matte_link.editing.region import Rect
from words import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smart_matte_link.job import Answer, Buffer

TRIMAP_OF = "smart-matte-trimap-of"
"""Parasite of a trimap layer: the tattoo (GIMP's lasting id) of the layer it belongs to."""

PERSISTENT = 1
"""GIMP_PARASITE_PERSISTENT: saved with the image."""

TRIMAP_OPACITY = 60.0
"""Percent; the picture has to show through while the trimap is repainted."""


class Target:
    """
    A layer for which a result is awaited.

    It is compared with what it was at the beginning before anything is changed: users can go on
    working while a plug-in runs.
    """

    def __init__(self, subject: Subject, region: Rect) -> None:
        """Remember the region's pixels as they are now."""
        self._image, self._layer, self._trimap = subject
        self._region = region
        self._place = place_of(self._layer)
        self._native = read_native(self._layer, region)

    def put(self, answer: Answer, output: str, *, hide_original: bool) -> None:
        """
        Change the image, in one undo step.

        Args:
            answer: what the backend gave for ``picture.outputs_for``.
            output: one of choices.OUTPUT.
            hide_original: whether the original makes way for a new layer.

        Raises:
            RefusedError: the layer isn't what it was any more; the image is untouched.
        """
        self._check_unchanged()
        with _one_undo_step(self._image):
            if output == "layer":
                layer = self._new_layer(_("{name} cut out"), self._layer.type())
                self._fill(layer, answer)
                self._set_mask(layer, answer)
                self._insert(layer)
                if hide_original:
                    self._layer.set_visible(False)
            elif output == "mask":
                self._set_mask(self._layer, answer)
            elif output == "selection":
                self._select(answer)
            else:
                self._insert(self._trimap_layer(answer))
            if self._trimap is not None and output != "trimap":
                self._trimap.set_visible(False)  # it would cover the result
        Gimp.displays_flush()

    def _check_unchanged(self) -> None:
        if not (self._image.is_valid() and self._layer.is_valid()):
            raise RefusedError(_("The layer was removed while Smart Matte worked on it."))
        if place_of(self._layer) != self._place or self._native != read_native(
            self._layer, self._region
        ):
            raise RefusedError(
                _("The layer was changed while Smart Matte worked on it; run it once more.")
            )

    def _new_layer(self, name: str, kind: Gimp.ImageType) -> Gimp.Layer:
        """A layer where the original is, which isn't in the image yet."""
        mode = Gimp.LayerMode.NORMAL if self._layer.is_group() else self._layer.get_mode()
        layer = Gimp.Layer.new(
            self._image,
            name.format(name=self._layer.get_name()),
            self._place.width,
            self._place.height,
            kind,
            self._layer.get_opacity(),
            mode,
        )
        layer.set_offsets(self._place.x, self._place.y)
        return layer

    def _insert(self, layer: Gimp.Layer) -> None:
        above = self._image.get_item_position(self._layer)
        self._image.insert_layer(layer, self._layer.get_parent(), above)
        self._image.set_selected_layers([layer])

    def _fill(self, layer: Gimp.Layer, answer: Answer) -> None:
        """
        The original's pixels, and the subject's own colours where the trimap is unknown.

        GEGL brings the colours to the layer's own format, space and precision; all known pixels
        and every pixel's opacity then come back as the bytes they were.
        """
        whole = Gegl.Rectangle.new(0, 0, self._place.width, self._place.height)
        buffer = layer.get_buffer()
        self._layer.get_buffer().copy(whole, Gegl.AbyssPolicy.NONE, buffer, whole)
        buffer.flush()  # else it would be written later, over what comes now
        colours = answer.planes["foreground"]
        kind = colour_format(colours.plane.order, colours.plane.sample)
        _write(layer, self._region, kind, colours.pixels)
        converted = read_native(layer, self._region)
        _pixel_bytes, alpha_bytes = pixel_layout(layer)
        merged = with_computed_colours(
            self._native, converted, answer.planes["trimap"].pixels, alpha_bytes
        )
        _write(layer, self._region, native_format(layer), merged)

    def _set_mask(self, layer: Gimp.Layer, answer: Answer) -> None:
        """Put the alpha into the layer's mask; what lies outside the region isn't the subject."""
        mask = layer.create_mask(Gimp.AddMaskType.BLACK)
        alpha = answer.planes["alpha"]
        _write(mask, self._region, coverage_format(mask, alpha.plane.sample), alpha.pixels)
        if layer.get_mask() is not None:
            layer.remove_mask(Gimp.MaskApplyMode.DISCARD)
        layer.add_mask(mask)

    def _select(self, answer: Answer) -> None:
        """By way of a channel, since pixels can't be put into the selection itself."""
        canvas = Rect(0, 0, self._image.get_width(), self._image.get_height())
        channel = Gimp.Channel.new(
            self._image, "Smart Matte", canvas.width, canvas.height, 100.0, Gegl.Color.new("black")
        )
        self._image.insert_channel(channel, None, 0)
        try:
            alpha = answer.planes["alpha"]
            in_image = self._region.shifted(self._place.x, self._place.y)
            seen = in_image.within(canvas)
            if not seen.is_empty:
                pixels = part_of(alpha.pixels, in_image, seen)
                _write(channel, seen, coverage_format(channel, alpha.plane.sample), pixels)
            self._image.select_item(Gimp.ChannelOps.REPLACE, channel)
        finally:
            self._image.remove_channel(channel)

    def _trimap_layer(self, answer: Answer) -> Gimp.Layer:
        """A layer of black, grey and white over the original, to be repainted."""
        is_gray = self._image.get_base_type() == Gimp.ImageBaseType.GRAY
        kind = Gimp.ImageType.GRAY_IMAGE if is_gray else Gimp.ImageType.RGB_IMAGE
        layer = self._new_layer(_("{name} trimap"), kind)
        layer.set_opacity(TRIMAP_OPACITY)
        layer.set_mode(Gimp.LayerMode.NORMAL)
        _write(layer, self._region, "Y' u8", answer.planes["trimap"].pixels)
        tattoo = str(self._layer.get_tattoo()).encode()
        layer.attach_parasite(Gimp.Parasite.new(TRIMAP_OF, PERSISTENT, tattoo))
        return layer


def layer_of_trimap(image: Gimp.Image, trimap: Gimp.Layer) -> Gimp.Layer | None:
    """
    The layer that a trimap layer was made for; None if it is no trimap layer.

    Raises:
        RefusedError: that layer is gone.
    """
    parasite = trimap.get_parasite(TRIMAP_OF)
    if parasite is None:
        return None
    layer = image.get_layer_by_tattoo(int(bytes(parasite.get_data()).rstrip(b"\0")))
    if layer is None:
        raise RefusedError(
            _("The layer that this trimap belongs to is gone: choose the layer to cut out.")
        )
    return layer


def check_can_hold(image: Gimp.Image, output: str) -> None:
    """
    Find out before the work whether the image can hold its result.

    Raises:
        RefusedError: an indexed image is to hold a trimap's greys.
    """
    if output == "trimap" and image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise RefusedError(
            _("An indexed image can't hold a trimap: choose Image > Mode > RGB and try again.")
        )


@contextmanager
def _one_undo_step(image: Gimp.Image) -> Iterator[None]:
    image.undo_group_start()
    try:
        yield
    finally:
        image.undo_group_end()


def _write(drawable: Gimp.Drawable, region: Rect, kind: str, pixels: Buffer) -> None:
    """
    Write a region, which has to lie within the drawable: beyond it, GIMP ends the plug-in.

    GEGL itself ignores bytes of the wrong count without a word.
    """
    buffer = drawable.get_buffer()
    buffer.set(Gegl.Rectangle.new(*region), kind, bytes(pixels))
    buffer.flush()
    drawable.update(*region)

"""Reading a layer, its selection and a painted trimap out of GIMP."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gi.repository import Babl, Gegl, Gimp

from smart_matte_link.editing.picture import Picture
from smart_matte_link.editing.pixels import painted_trimap
from smart_matte_link.editing.problems import RefusedError
from smart_matte_link.editing.region import Rect, region_that_matters
from smart_matte_link.messages import Plane
from words import _

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = {
    Gimp.Precision.U8_LINEAR: "u16",
    Gimp.Precision.U8_NON_LINEAR: "u8",
    Gimp.Precision.U8_PERCEPTUAL: "u8",
    Gimp.Precision.U16_NON_LINEAR: "u16",
    Gimp.Precision.U16_PERCEPTUAL: "u16",
}
"""
The wire's sample type for integers of up to 16 bit; all else is sent as 32-bit float.

What is sent is coded as sRGB: there, levels of linear integers come closer together.
"""

BABL_TYPES = {"u8": "u8", "u16": "u16", "f32": "float"}
BABL_COLOURS = {"GRAY": "Y'", "GRAYA": "Y'A", "RGB": "R'G'B'", "RGBA": "R'G'B'A"}
"""sRGB-coded colour, which is what the backend works in."""


class Subject(NamedTuple):
    """
    What is to be worked on.

    Attributes:
        image: the image.
        layer: its layer to cut out.
        trimap: a layer painted black, grey and white to take instead of the selection, or None.
    """

    image: Gimp.Image
    layer: Gimp.Layer
    trimap: Gimp.Layer | None


def layer_of(drawables: Sequence[Gimp.Drawable]) -> Gimp.Layer:
    """
    The one layer that is meant; for a layer mask, which GIMP hands over after a run, its layer.

    Raises:
        RefusedError: none or several are chosen, or something else than a layer.
    """
    if len(drawables) != 1:
        raise RefusedError(
            _("Smart Matte works on one layer: choose a single layer and try again.")
        )
    drawable = drawables[0]
    if isinstance(drawable, Gimp.LayerMask):
        return Gimp.Layer.from_mask(drawable)
    if not isinstance(drawable, Gimp.Layer):
        raise RefusedError(_("Smart Matte works on layers: choose a layer and try again."))
    return drawable


def place_of(layer: Gimp.Layer) -> Rect:
    """Where a layer lies, in the image's coordinates."""
    _ok, x, y = layer.get_offsets()
    return Rect(x, y, layer.get_width(), layer.get_height())


def region_of(subject: Subject) -> Rect:
    """
    What has to be read of the layer, in the layer's own coordinates.

    Raises:
        RefusedError: there is a selection, and it misses the layer.
    """
    place = place_of(subject.layer)
    whole = Rect(0, 0, place.width, place.height)
    _ok, is_selected, left, top, right, bottom = Gimp.Selection.bounds(subject.image)
    if subject.trimap is not None or not is_selected:
        return whole
    selected = Rect(left, top, right - left, bottom - top).shifted(-place.x, -place.y)
    region = region_that_matters(whole, selected)
    if region.is_empty:
        raise RefusedError(
            _("The selection lies outside the layer: draw it over the subject and try again.")
        )
    return region


def read_picture(subject: Subject, region: Rect, sample: str) -> Picture:
    """
    Read what is sent.

    Args:
        subject: what is to be worked on.
        region: from ``region_of``.
        sample: the wire's sample type to send, such as ``sample_of`` says.
    """
    layer = subject.layer
    order = ("GRAY" if layer.is_gray() else "RGB") + ("A" if layer.has_alpha() else "")
    plane = Plane("image", region.width, region.height, order, sample, "srgb")
    pixels = _read(layer, region, colour_format(order, sample))
    return Picture(region, plane, pixels, _read_hint(subject, region))


def read_native(layer: Gimp.Layer, region: Rect) -> bytes:
    """A region in the layer's own format, colour space and precision."""
    return _read(layer, region, native_format(layer))


def native_format(drawable: Gimp.Drawable) -> str:
    """Babl's name for the pixels as they are stored, colour space and all."""
    name: str = Babl.get_name(drawable.get_format())
    return name


def sample_of(image: Gimp.Image) -> str:
    """The wire's sample type that loses nothing; floats also carry colours outside sRGB."""
    profile = image.get_color_profile()
    if profile is not None and not profile.is_equal(Gimp.ColorProfile.new_rgb_srgb()):
        return "f32"
    return SAMPLES.get(image.get_precision(), "f32")


def colour_format(order: str, sample: str) -> str:
    """Babl's name for sRGB-coded pixels."""
    return f"{BABL_COLOURS[order]} {BABL_TYPES[sample]}"


def coverage_format(drawable: Gimp.Drawable, sample: str) -> str:
    """
    Babl's name for a mask, a channel or a selection with its values as they are.

    Masks and selections are linear, "Y". Channels of 8-bit images, and selections that came with
    an XCF file, call themselves "Y'", but GIMP takes their values for a selection's as well.
    """
    return f"{native_format(drawable).split()[0]} {BABL_TYPES[sample]}"


def pixel_layout(layer: Gimp.Layer) -> tuple[int, int]:
    """Bytes of a pixel in the layer's own format, and how many at its end are the opacity."""
    kind = layer.get_format()
    pixel_bytes = Babl.format_get_bytes_per_pixel(kind)
    if not layer.has_alpha():
        return pixel_bytes, 0
    return pixel_bytes, pixel_bytes // Babl.format_get_n_components(kind)


def _read_hint(subject: Subject, region: Rect) -> tuple[Plane, bytes] | None:
    """The painted trimap, else the selection, else the layer's own mask, else nothing."""
    image, layer, trimap = subject
    place = place_of(layer)
    in_image = region.shifted(place.x, place.y)
    size = (region.width, region.height)
    if trimap is not None:
        where = place_of(trimap)
        greys = _read(trimap, in_image.shifted(-where.x, -where.y), "Y' u8")
        return Plane("trimap", *size, "GRAY", "u8", "coverage"), painted_trimap(greys)
    plane = Plane("selection", *size, "GRAY", "u8", "coverage")
    if not Gimp.Selection.is_empty(image):
        selection = image.get_selection()
        return plane, _read(selection, in_image, coverage_format(selection, "u8"))
    mask = layer.get_mask()
    return None if mask is None else (plane, _read(mask, region, coverage_format(mask, "u8")))


def _read(drawable: Gimp.Drawable, region: Rect, kind: str) -> bytes:
    """Read a region, which may reach beyond the drawable: there it is empty."""
    where = Gegl.Rectangle.new(*region)
    pixels: bytes = drawable.get_buffer().get(where, 1.0, kind, Gegl.AbyssPolicy.NONE)
    return pixels

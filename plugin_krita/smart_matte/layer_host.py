"""Reading a layer, its selection and a painted trimap out of Krita, a band at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from krita import Krita

from smart_matte.words_host import _
from smart_matte_link.editing.picture import Picture
from smart_matte_link.editing.pixels import painted_trimap
from smart_matte_link.editing.problems import RefusedError
from smart_matte_link.editing.region import Rect, region_that_matters
from smart_matte_link.memory import zeros
from smart_matte_link.messages import Plane

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    Steps = Generator[int, None, Any]

BAND_BYTES = 2 << 20
"""Read or written in one go: some 10 ms, in which the user interface stands still."""

SAMPLES = {"U8": "u8", "U16": "u16", "F16": "f16", "F32": "f32"}
INTEGERS = ("U8", "U16")

LINEAR = re.compile(r"linear|-g10\b|scRGB", re.IGNORECASE)
"""Names of profiles in linear light. All others are taken for sRGB-coded: the values stay the
document's own, and the models see colours a little off, which they don't mind."""

TRIMAP_OF = "smart-matte-trimap-of/"
"""Annotation of a document: behind it a trimap layer's id, in it the id of the layer it is for."""

TRIMAP_COLOURS = ("GRAYA", "U8", "Gray-D50-elle-V2-srgbtrc.icc")
"""A layer's own colours needn't be the document's; black, grey and white are enough here."""

HARMLESS_MASKS = ("transparencymask", "selectionmask")
"""They don't change a layer's pixels, unlike filter, transform and colorize masks."""

ALL_OR_NOTHING = bytes(128) + b"\xff" * 128
"""Opacities of a trimap: at least half is there, less is not."""

Node = Any
Document = Any


class Subject(NamedTuple):
    """
    What is to be worked on.

    Attributes:
        document: the document.
        node: its layer to cut out.
        trimap: a layer painted black, grey and white to take instead of the selection, or None.
    """

    document: Document
    node: Node
    trimap: Node | None


class Hint(NamedTuple):
    """
    What tells the subject from the background.

    Attributes:
        role: "selection" or "trimap".
        pixel_bytes: how much Krita holds for each pixel.
        read: gives the levels of some rows, one byte a pixel.
    """

    role: str
    pixel_bytes: int
    read: Callable[[Rect], bytes]


def chosen_subject() -> Subject:
    """
    What the user has in hand: the current layer; for a mask its layer, for a trimap its original.

    Raises:
        RefusedError: there is nothing, or nothing that can be worked on.
    """
    document = Krita.instance().activeDocument()
    node = None if document is None else document.activeNode()
    if node is None:
        raise RefusedError(_("Open a picture and choose a layer to cut out."))
    if len(Krita.instance().activeWindow().activeView().selectedNodes()) > 1:
        raise RefusedError(
            _("Smart Matte works on one layer: choose a single layer and try again.")
        )
    if node.type().endswith("mask"):
        node = node.parentNode()
    if node.parentNode() is None:  # the mask was the picture's own selection
        raise RefusedError(_("Open a picture and choose a layer to cut out."))
    original = bytes(document.annotation(TRIMAP_OF + node.uniqueId().toString())).decode()
    if not original:
        subject = Subject(document, node, None)
    else:
        layer = find_node(document, original)
        if layer is None:
            raise RefusedError(
                _("The layer that this trimap belongs to is gone: choose the layer to cut out.")
            )
        subject = Subject(document, layer, node)
    _check_colours(subject.node)
    return subject


def find_node(document: Document, identity: str) -> Node | None:
    """The layer with an id, wherever it is now; None if it is gone."""
    todo = [document.rootNode()]
    while todo:
        node = todo.pop()
        if node.uniqueId().toString() == identity:
            return node
        todo.extend(node.childNodes())
    return None


def place_of(node: Node) -> Rect:
    """Where a layer has pixels, in the document's coordinates."""
    bounds = node.bounds()
    return Rect(bounds.x(), bounds.y(), bounds.width(), bounds.height())


def region_of(subject: Subject) -> Rect:
    """
    What has to be read of the layer, in the document's coordinates.

    Raises:
        RefusedError: the layer is empty, or the selection misses it.
    """
    whole = place_of(subject.node)
    if whole.is_empty:
        raise RefusedError(_("The layer is empty: choose the layer with the subject."))
    selection = subject.document.selection()
    if subject.trimap is not None or selection is None:
        return whole
    selected = Rect(selection.x(), selection.y(), selection.width(), selection.height())
    region = region_that_matters(whole, selected)
    if region.is_empty:
        raise RefusedError(
            _("The selection lies outside the layer: draw it over the subject and try again.")
        )
    return region


def read_picture(subject: Subject) -> Steps:
    """
    Read what is sent, in steps that are to be taken one after the other.

    Returns:
        A generator that returns a Picture.

    Raises:
        RefusedError: see ``region_of``.
    """
    region = region_of(subject)
    yield 0
    plane = plane_of(subject.node, region)
    pixels = zeros(plane.byte_count)
    for rows in bands(region, plane.row_bytes):
        start = (rows.y - region.y) * plane.row_bytes
        pixels[start : start + rows.height * plane.row_bytes] = read_pixels(subject.node, rows)
        yield 0
    hint = hint_of(subject)
    if hint is None:
        return Picture(region, plane, pixels, None)
    levels = bytearray()
    for rows in bands(region, hint.pixel_bytes * region.width):
        levels += hint.read(rows)
        yield 0
    hint_plane = Plane(hint.role, region.width, region.height, "GRAY", "u8", "coverage")
    return Picture(region, plane, pixels, (hint_plane, levels))


def read_pixels(node: Node, rows: Rect) -> bytes:
    """Pixels in the layer's own format; of groups, vectors and the like what they look like."""
    read = node.pixelData if _is_shown_as_painted(node) else node.projectionPixelData
    return bytes(read(*rows))


def hint_of(subject: Subject) -> Hint | None:
    """The painted trimap, else the selection, else the layer's own mask, else nothing."""
    if subject.trimap is not None:
        greys = subject.trimap
        if (greys.colorModel(), greys.colorDepth(), greys.colorProfile()) != TRIMAP_COLOURS:
            greys = greys.duplicate()
            greys.setColorSpace(*TRIMAP_COLOURS)
        return Hint("trimap", 2, lambda rows: trimap_of_greys(bytes(greys.pixelData(*rows))))
    selection = subject.document.selection() or _transparency_mask(subject.node)
    if selection is None:
        return None
    return Hint("selection", 1, lambda rows: bytes(selection.pixelData(*rows)))


def trimap_of_greys(greys: bytes) -> bytes:
    """Levels of grey and opacity as a trimap; what was erased is unknown."""
    levels, opacities = painted_trimap(greys[::2]), greys[1::2]
    if opacities.count(b"\xff") == len(opacities):
        return levels
    # Bytes can't be combined bit by bit in the standard library, whole numbers can.
    is_there = int.from_bytes(opacities.translate(ALL_OR_NOTHING), "little")
    all_there = (1 << 8 * len(levels)) - 1
    unknown = int.from_bytes(b"\x80" * len(levels), "little")
    merged = int.from_bytes(levels, "little") & is_there | unknown & (all_there ^ is_there)
    return merged.to_bytes(len(levels), "little")


def plane_of(node: Node, region: Rect) -> Plane:
    """How a layer's pixels lie in memory."""
    depth = node.colorDepth()
    order = "GRAYA"
    if node.colorModel() == "RGBA":
        order = "BGRA" if depth in INTEGERS else "RGBA"
    encoding = "linear" if LINEAR.search(node.colorProfile()) else "srgb"
    return Plane("image", region.width, region.height, order, SAMPLES[depth], encoding)


def bands(region: Rect, row_bytes: int) -> Iterator[Rect]:
    """A region in bands of rows, each small enough for one step."""
    height = max(1, BAND_BYTES // row_bytes)
    for top in range(0, region.height, height):
        rows = min(height, region.height - top)
        yield Rect(region.x, region.y + top, region.width, rows)


def _is_shown_as_painted(node: Node) -> bool:
    """Whether what the user sees of a layer are its own pixels, but for transparency masks."""
    changing = (child for child in node.childNodes() if child.type() not in HARMLESS_MASKS)
    return node.type() == "paintlayer" and not any(child.visible() for child in changing)


def _transparency_mask(node: Node) -> Node | None:
    masks = [child for child in node.childNodes() if child.type() == "transparencymask"]
    return next((mask for mask in masks if mask.visible()), None)


def _check_colours(node: Node) -> None:
    """
    Make sure that the backend knows the layer's colours.

    Raises:
        RefusedError: CMYK, Lab and others.
    """
    if node.colorModel() not in {"RGBA", "GRAYA"} or node.colorDepth() not in SAMPLES:
        raise RefusedError(
            _(
                "Smart Matte works on RGB and grey layers, this one is {model}: choose Layer >"
                " Convert > Convert Layer Color Space, take RGB, and try again."
            ).format(model=node.colorModel().rstrip("A"))
        )

"""Putting a result into the document: one undo step, and never half of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from krita import Krita, Selection

from smart_matte.layer_host import (
    TRIMAP_COLOURS,
    TRIMAP_OF,
    bands,
    find_node,
    place_of,
    read_pixels,
)
from smart_matte.qt_host import QtCore
from smart_matte.words_host import _
from smart_matte_link.editing.pixels import with_computed_colours
from smart_matte_link.editing.problems import RefusedError
from smart_matte_link.messages import SAMPLE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smart_matte.layer_host import Node, Steps, Subject
    from smart_matte_link.editing.picture import Picture
    from smart_matte_link.editing.region import Rect
    from smart_matte_link.job import Answer, Buffer

TAKEN_OUT_MS = 300
"""
After which a layer that can't be filled is taken out again. Krita 5.3.4 crashes (in
KisNodeModel::processUpdateQueue) where a layer goes while its layers docker still gathers changes.
"""

TRIMAP_OPACITY = 153
"""60 %, of 255: the picture has to show through while the trimap is repainted."""


def check_can_hold(subject: Subject, output: str) -> None:
    """
    Find out before the work whether its result can go where it is wanted.

    Raises:
        RefusedError: a mask is to go onto a locked or animated layer.
    """
    if output != "mask":
        return
    if subject.node.locked():
        raise RefusedError(_("The layer is locked: unlock it, or choose “New layer with mask”."))
    if subject.node.animated():
        raise RefusedError(
            _("A mask would cover all frames of an animation: choose “New layer with mask”.")
        )


class Target:
    """A layer for which a result is awaited; it has to be the same when the result is there."""

    def __init__(self, subject: Subject, picture: Picture) -> None:
        """Remember what the layer is like now."""
        self._document = subject.document
        self._root = subject.document.rootNode().uniqueId()
        self._identity = subject.node.uniqueId().toString()
        self._node = subject.node
        self._trimap = subject.trimap
        self._place = place_of(subject.node)
        self._picture = picture

    def put(self, answer: Answer, output: str) -> Steps:
        """
        Change the document, in steps that are to be taken one after the other.

        Returns:
            A generator that returns how many undo steps that made.

        Raises:
            RefusedError: the document or the layer isn't what it was; nothing is changed.
        """
        self._check_there()
        yield from self._check_unchanged()
        put = {
            "layer": self._put_layer,
            "mask": self._put_mask,
            "selection": self._select,
            "trimap": self._put_trimap,
        }[output]
        undo_steps = yield from put(answer)
        if self._trimap is not None:
            self._trimap.setVisible(False)  # it would cover the result
        self._document.setModified(True)
        return undo_steps

    def _is_open(self) -> bool:
        documents = Krita.instance().documents()
        return any(document.rootNode().uniqueId() == self._root for document in documents)

    def _check_open(self) -> None:
        if not self._is_open():
            raise RefusedError(_("The document was closed while Smart Matte worked on it."))

    def _check_there(self) -> None:
        self._check_open()
        if find_node(self._document, self._identity) is None:
            raise RefusedError(_("The layer was removed while Smart Matte worked on it."))

    def _check_unchanged(self) -> Steps:
        changed = RefusedError(
            _("The layer was changed while Smart Matte worked on it; run it once more.")
        )
        if place_of(self._node) != self._place:
            raise changed
        seen = memoryview(self._picture.pixels)
        for rows, part in self._parts(self._picture.plane.row_bytes):
            if read_pixels(self._node, rows) != seen[part]:
                raise changed
            yield 0
            self._check_open()
        self._check_there()

    def _put_layer(self, answer: Answer) -> Steps:
        """
        A new layer above, with the subject's own colours where the trimap is unknown.

        It is put in empty and invisible, and then filled: adding a full one of 24 megapixels
        stopped the user interface for over a second. One undo takes it away all the same.
        """
        node = self._node
        colours = (node.colorModel(), node.colorDepth(), node.colorProfile())
        layer = self._new_layer(_("{name} cut out"), colours)
        layer.setOpacity(node.opacity())
        if node.type() != "grouplayer" and layer.blendingMode() != node.blendingMode():
            layer.setBlendingMode(node.blendingMode())  # leaves an undo step, of no effect
        mask = self._document.createTransparencyMask("Smart Matte")
        layer.setChildNodes([mask])  # addChildNode would leave an undo step of its own
        yield 0
        with self._added(layer, node.parentNode(), node):
            yield 0
            for rows in bands(self._place, self._place.width * self._pixel_bytes):
                self._write(layer, rows, read_pixels(node, rows))
                yield 0
            yield from self._fill_layer(layer, answer)
            yield from self._fill_mask(mask, answer)
        self._show(layer)
        return 1

    def _put_mask(self, answer: Answer) -> Steps:
        """A mask on the layer itself, in place of the ones it has."""
        old = [child for child in self._node.childNodes() if child.type() == "transparencymask"]
        mask = self._document.createTransparencyMask("Smart Matte")
        with self._added(mask, self._node, None):
            yield 0
            yield from self._fill_mask(mask, answer)
        for child in old:
            child.remove()
        mask.setVisible(True)
        return 1 + len(old)

    def _put_trimap(self, answer: Answer) -> Steps:
        """A layer of black, grey and white over the original, to be repainted."""
        layer = self._new_layer(_("{name} trimap"), TRIMAP_COLOURS)
        layer.setOpacity(TRIMAP_OPACITY)
        yield 0
        with self._added(layer, self._node.parentNode(), self._node):
            yield 0
            for rows in bands(self._place, 2 * self._place.width):
                self._write(layer, rows, b"\x00\xff" * (rows.width * rows.height))
                yield 0
            levels = answer.planes["trimap"].pixels
            for rows, _part in self._parts(2 * self._picture.region.width):
                pixels = bytearray(b"\xff" * (2 * rows.width * rows.height))
                pixels[::2] = levels[self._pixel_part(rows)]
                self._write(layer, rows, pixels)
                yield 0
        self._document.setAnnotation(
            TRIMAP_OF + layer.uniqueId().toString(),
            "Smart Matte",
            QtCore.QByteArray(self._identity.encode()),
        )
        self._show(layer)
        return 1

    def _select(self, answer: Answer) -> Steps:
        """Make the alpha the selection; Krita keeps no undo step for what scripts select."""
        selection = Selection()
        yield from self._fill_mask(selection, answer)
        self._check_open()
        self._document.setSelection(selection)
        return 0

    @contextmanager
    def _added(self, node: Node, parent: Node, below: Node | None) -> Iterator[None]:
        """A layer or mask in its place, out of sight; taken away again if it can't be filled."""
        node.setVisible(False)
        parent.addChildNode(node, below)
        try:
            yield
        except BaseException:  # also when the work is given up
            QtCore.QTimer.singleShot(TAKEN_OUT_MS, lambda: self._take_out(node))
            raise

    def _take_out(self, node: Node) -> None:
        if self._is_open() and node.parentNode() is not None:  # it may have been undone
            node.remove()

    def _show(self, layer: Node) -> None:
        layer.setVisible(True)
        if layer.parentNode() is not None:  # it may have been undone while it was filled
            self._document.setActiveNode(layer)

    def _fill_layer(self, layer: Node, answer: Answer) -> Steps:
        """The subject's own colours where the trimap is unknown; the layer has the others."""
        plane, seen = self._picture.plane, memoryview(self._picture.pixels)
        colours, trimap = answer.planes["foreground"].pixels, answer.planes["trimap"].pixels
        for rows, part in self._parts(plane.row_bytes):
            merged = with_computed_colours(
                seen[part],
                colours[part],
                trimap[self._pixel_part(rows)],
                SAMPLE_BYTES[plane.sample],
            )
            self._write(layer, rows, merged)
            yield 0

    def _new_layer(self, name: str, colours: tuple[str, str, str]) -> Node:
        """A paint layer that isn't in the document yet."""
        layer = self._document.createNode(name.format(name=self._node.name()), "paintlayer")
        if (layer.colorModel(), layer.colorDepth(), layer.colorProfile()) != colours:
            layer.setColorSpace(*colours)  # leaves an undo step, of no effect
        return layer

    def _fill_mask(self, mask: Node | Selection, answer: Answer) -> Steps:
        alpha = answer.planes["alpha"].pixels
        for rows, part in self._parts(self._picture.region.width):
            self._write(mask, rows, alpha[part])
            yield 0

    def _write(self, node: Node | Selection, rows: Rect, pixels: Buffer) -> None:
        self._check_open()
        node.setPixelData(QtCore.QByteArray(bytes(pixels)), *rows)

    @property
    def _pixel_bytes(self) -> int:
        return self._picture.plane.row_bytes // self._picture.plane.width

    def _parts(self, row_bytes: int) -> Iterator[tuple[Rect, slice]]:
        """The region in bands of rows, and where each lies among bytes of *row_bytes* a row."""
        region = self._picture.region
        for rows in bands(region, row_bytes):
            start = (rows.y - region.y) * row_bytes
            yield rows, slice(start, start + rows.height * row_bytes)

    def _pixel_part(self, rows: Rect) -> slice:
        start = (rows.y - self._picture.region.y) * rows.width
        return slice(start, start + rows.height * rows.width)

"""The docker's picture: the subject cut out, the matte, or the trimap over the layer."""

from __future__ import annotations

import queue
import struct
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from smart_matte.layer_host import (
    chosen_subject,
    hint_of,
    plane_of,
    read_pixels,
    region_of,
)
from smart_matte.qt_host import QtCore, QtGui, QtWidgets
from smart_matte.words_host import _
from smart_matte.work_host import Work
from smart_matte_link.editing.choices import to_options
from smart_matte_link.editing.preview import cut_out_picture, opaque_picture, tinted_trimap
from smart_matte_link.editing.previewer import News, Previewer, Wish
from smart_matte_link.editing.region import Rect
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import SAMPLE_BYTES, Plane, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smart_matte.layer_host import Steps, Subject
    from smart_matte_link.editing.installed import Installed
    from smart_matte_link.job import Answer

    Tell = Callable[[Union[Progress, Exception, None]], None]

SIDE_PX = 400
"""Longer side of what is computed for a preview: an answer within a second or two."""

ROWS_AT_ONCE = 32
"""Sampled in one go; a few milliseconds."""

SETTLE_MS = 250
"""After the last change of a choice, before a preview is asked for."""

LOOK_MS = 50
WATCH_MS = 1500
"""How often the layer is looked at whether it is still what the preview shows."""

CHECK_PX = 8
CHECKS = ("#999999", "#666666")


class Small(NamedTuple):
    """
    A layer and its hint, sampled.

    Attributes:
        scale: pixels of it for each pixel of the layer, along a side.
        size: width and height.
        pixels: in the layer's own format.
        hint: role and levels; None without one.
    """

    scale: float
    size: tuple[int, int]
    pixels: bytes
    hint: tuple[str, bytes] | None


class Preview(QtWidgets.QWidget):  # type: ignore[misc,name-defined]
    """A picture and what it shows; it stays out of sight until it is turned on."""

    def __init__(
        self, installed: Installed, chosen: Callable[[], Mapping[str, Any]], tell: Tell
    ) -> None:
        """
        Prepare; nothing is computed yet.

        Args:
            installed: the backend.
            chosen: what the user has chosen.
            tell: called with progress, None when a preview is there, or what went wrong.
        """
        super().__init__()
        self._installed = installed
        self._chosen = chosen
        self._tell = tell
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._previewer: Previewer | None = None
        self._subject: Subject | None = None
        self._work: Work | None = None
        self._small: Small | None = None
        self._planes: list[Any] = []
        self._answer: Answer | None = None
        self._build()
        self._look_timer = self._timer(self._look)
        self._watch_timer = self._timer(self._watch)
        self._settle_timer = self._timer(self._refresh)
        self._settle_timer.setSingleShot(True)
        self.hide()

    @property
    def is_on(self) -> bool:
        """Whether there is a picture to keep up to date."""
        return self._subject is not None

    def turn_on(self) -> None:
        """
        Show the current layer.

        Raises:
            RefusedError: it can't be worked on.
        """
        subject = chosen_subject()
        region_of(subject)
        self.put_away()
        self._subject = subject
        self._previewer = Previewer(self._installed, "krita", self._news.put)
        self._look_timer.start(LOOK_MS)
        self.show()
        self._read()

    def settle(self) -> None:
        """Take other choices into account, once none has changed for a moment."""
        if self.is_on:
            self._settle_timer.start(SETTLE_MS)

    def put_away(self) -> None:
        """Stop computing, and show nothing."""
        for timer in (self._look_timer, self._watch_timer, self._settle_timer):
            timer.stop()
        if self._work is not None:
            self._work.give_up()
        if self._previewer is not None:
            self._previewer.close()
        self._previewer = self._subject = self._work = self._small = self._answer = None
        self._planes = []
        self._news = queue.SimpleQueue()
        self._stale.hide()
        self._picture.show_image(None)
        self.hide()

    def _build(self) -> None:
        self._picture = _Picture()
        self._picture.setObjectName("smart_matte_picture")
        self._view = QtWidgets.QComboBox()
        self._view.setObjectName("smart_matte_view")
        self._view.setToolTip(_("What the preview shows"))
        for view, title in (
            ("result", _("Result")),
            ("matte", _("Matte")),
            ("trimap", _("Trimap")),
        ):
            self._view.addItem(title, view)
        self._view.currentIndexChanged.connect(self._draw)
        note = QtWidgets.QLabel(_("The layer or the selection has changed since."))
        note.setWordWrap(True)
        update = QtWidgets.QPushButton(_("Update the preview"))
        update.setObjectName("smart_matte_update")
        update.clicked.connect(self._read)
        self._stale = QtWidgets.QWidget()
        self._stale.setObjectName("smart_matte_stale")
        inner = QtWidgets.QVBoxLayout(self._stale)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(note)
        inner.addWidget(update)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self._view, self._stale, self._picture):
            layout.addWidget(widget)
        self._stale.hide()

    def _timer(self, due: Callable[[], None]) -> Any:  # noqa: ANN401  (a QTimer)
        timer = QtCore.QTimer(self)
        timer.timeout.connect(due)
        return timer

    def _read(self, *_: object) -> None:
        """Look at the layer anew, and ask for its preview."""
        if self._subject is None:
            return
        if self._work is not None:
            self._work.give_up()
        self._watch_timer.stop()
        self._stale.hide()
        self._work = Work(self, read_small(self._subject), self._take, self._fail)

    def _take(self, small: Small) -> None:
        if self._subject is None:
            return
        self._work = None
        self._small = small
        self._planes = _planes(self._subject, small)
        self._ask()
        self._watch_timer.start(WATCH_MS)

    def _refresh(self) -> None:
        if self._stale.isVisibleTo(self):
            self._read()
        elif self._planes:
            self._ask()

    def _ask(self) -> None:
        if self._previewer is not None and self._small is not None:
            options = to_options(self._chosen(), self._small.scale)
            self._previewer.ask(Wish(self._planes, options))

    def _watch(self) -> None:
        if self._work is None and self._subject is not None:
            self._work = Work(self, read_small(self._subject), self._compare, self._fail)

    def _compare(self, small: Small) -> None:
        self._work = None
        if small != self._small:
            self._watch_timer.stop()
            self._stale.show()

    def _fail(self, error: Exception) -> None:
        self._work = None
        self._watch_timer.stop()
        self._tell(error)

    def _look(self) -> None:
        while not self._news.empty():
            news = self._news.get()
            if not isinstance(news, (Progress, LinkError)):
                self._answer = news
                self._draw()
                news = None
            self._tell(news)

    def _draw(self, *_: object) -> None:
        if self._answer is None or not self._planes:
            return
        planes = self._answer.planes
        plane, pixels = self._planes[0]
        alpha, foreground = planes["alpha"].pixels, planes["foreground"].pixels
        view = self._view.currentData()
        if view == "matte":
            shown = _image(plane, opaque_picture(alpha, 1))
        elif view == "trimap":
            shown = _image(plane, _with_red_first(opaque_picture(pixels, 4)))
            _paint_over(shown, _image(plane, tinted_trimap(bytes(planes["trimap"].pixels))))
        else:
            shown = _checks(plane)
            subject = _with_red_first(cut_out_picture(foreground, 3, alpha))
            _paint_over(shown, _image(plane, subject))
        self._picture.show_image(shown)


class _Picture(QtWidgets.QLabel):  # type: ignore[misc,name-defined]
    """An image as wide as there is room, and no wider than it is."""

    def __init__(self) -> None:
        super().__init__()
        self._image: Any = None
        self.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        policy = QtWidgets.QSizePolicy.Policy
        self.setSizePolicy(policy.Ignored, policy.Fixed)

    def show_image(self, image: Any) -> None:  # noqa: ANN401  (a QImage or None)
        """Show another image, or nothing."""
        self._image = image
        self._fit()

    def resizeEvent(self, event: Any) -> None:  # noqa: ANN401, N802  (Qt calls it)
        """Fit the image in."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._image is None:
            self.clear()
            self.setFixedHeight(0)
            return
        ratio = self.devicePixelRatioF()
        width = min(round(self.width() * ratio), SIDE_PX)
        smooth = QtCore.Qt.TransformationMode.SmoothTransformation
        image = self._image.scaledToWidth(max(1, width), smooth)
        if image.height() > SIDE_PX:
            image = self._image.scaledToHeight(SIDE_PX, smooth)
        image.setDevicePixelRatio(ratio)
        self.setPixmap(QtGui.QPixmap.fromImage(image))
        self.setFixedHeight(round(image.height() / ratio))


def read_small(subject: Subject) -> Steps:
    """
    Sample the region that matters, in steps that are to be taken one after the other.

    Returns:
        A generator that returns a Small.

    Raises:
        RefusedError: see ``region_of``.
    """
    region = region_of(subject)
    scale = min(1.0, SIDE_PX / max(region.width, region.height))
    width, height = (max(1, round(side * scale)) for side in (region.width, region.height))
    columns = [int((column + 0.5) * region.width / width) for column in range(width)]
    hint = hint_of(subject)
    image_rows, hint_rows = [], []
    for row in range(height):
        top = region.y + int((row + 0.5) * region.height / height)
        line = Rect(region.x, top, region.width, 1)
        image_rows.append(_sampled(read_pixels(subject.node, line), columns, region.width))
        if hint is not None:
            hint_rows.append(_sampled(hint.read(line), columns, region.width))
        if row % ROWS_AT_ONCE == 0:
            yield 0
    levels = None if hint is None else (hint.role, b"".join(hint_rows))
    return Small(scale, (width, height), b"".join(image_rows), levels)


def _sampled(row: bytes, columns: list[int], width: int) -> bytes:
    """Some of the pixels of a row."""
    if len(columns) == width:
        return row
    size = len(row) // width
    return b"".join([row[column * size : column * size + size] for column in columns])


def _planes(subject: Subject, small: Small) -> list[tuple[Plane, bytes]]:
    """As ``Client.cutout`` takes them, BGRA, u8, sRGB: Krita converts the colours."""
    width, height = small.size
    node = subject.node
    plane = plane_of(node, Rect(0, 0, width, height))
    colours = (node.colorModel(), node.colorDepth(), node.colorProfile())
    layer = subject.document.createNode("", "paintlayer")
    if (layer.colorModel(), layer.colorDepth(), layer.colorProfile()) != colours:
        layer.setColorSpace(*colours)
    pixels, size = bytearray(small.pixels), plane.row_bytes // width
    # A thumbnail shows what isn't transparent: with opaque corners that is all of it.
    pixels[:size] = pixels[-size:] = _opaque(size, plane.sample)
    layer.setPixelData(QtCore.QByteArray(bytes(pixels)), 0, 0, width, height)
    image = layer.thumbnail(width, height).convertToFormat(QtGui.QImage.Format.Format_ARGB32)
    planes = [(Plane("image", width, height, "BGRA", "u8", "srgb"), _rows(image, 4 * width))]
    if small.hint is not None:
        role, levels = small.hint
        planes.append((Plane(role, width, height, "GRAY", "u8", "coverage"), levels))
    return planes


def _opaque(size: int, sample: str) -> bytes:
    """An opaque pixel of some bytes, its opacity last."""
    one = {"f16": struct.pack("<e", 1.0), "f32": struct.pack("<f", 1.0)}
    opacity = one.get(sample, b"\xff" * SAMPLE_BYTES[sample])
    return opacity.rjust(size, b"\0")


def _rows(image: Any, row_bytes: int) -> bytes:  # noqa: ANN401  (a QImage)
    """An image's bytes without what Qt puts between rows."""
    pointer = image.constBits()
    pointer.setsize(image.bytesPerLine() * image.height())
    padded, stride = bytes(pointer), image.bytesPerLine()
    return b"".join(padded[start : start + row_bytes] for start in range(0, len(padded), stride))


def _image(plane: Plane, rgba: bytes) -> Any:  # noqa: ANN401  (a QImage)
    kind = QtGui.QImage.Format.Format_RGBA8888
    return QtGui.QImage(rgba, plane.width, plane.height, 4 * plane.width, kind).copy()


def _paint_over(ground: Any, image: Any) -> None:  # noqa: ANN401  (two QImages)
    painter = QtGui.QPainter(ground)
    painter.drawImage(0, 0, image)
    painter.end()


def _with_red_first(pixels: bytes) -> bytes:
    """RGBA of BGRA."""
    swapped = bytearray(pixels)
    swapped[0::4], swapped[2::4] = pixels[2::4], pixels[0::4]
    return bytes(swapped)


def _checks(plane: Plane) -> Any:  # noqa: ANN401  (a QImage)
    """What transparent pictures lie on."""
    tile = QtGui.QPixmap(2 * CHECK_PX, 2 * CHECK_PX)
    tile.fill(QtGui.QColor(CHECKS[0]))
    painter = QtGui.QPainter(tile)
    for corner in (0, CHECK_PX):
        painter.fillRect(corner, corner, CHECK_PX, CHECK_PX, QtGui.QColor(CHECKS[1]))
    painter.end()
    ground = QtGui.QImage(plane.width, plane.height, QtGui.QImage.Format.Format_ARGB32)
    painter = QtGui.QPainter(ground)
    painter.drawTiledPixmap(ground.rect(), tile)
    painter.end()
    return ground

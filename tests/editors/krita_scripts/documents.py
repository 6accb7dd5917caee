"""Inside Krita, for the tests: make documents and layers, tell what is there."""

import base64
import os
import time

from krita import InfoObject, Krita, Selection

try:
    from PyQt6 import QtCore, QtWidgets
except ImportError:
    from PyQt5 import QtCore, QtWidgets

KRITA = Krita.instance()
WAIT_S = 60.0
PIXEL_BYTES = {"U8": 1, "U16": 2, "F16": 2, "F32": 4}
CHANNELS = {"GRAYA": 2, "RGBA": 4, "CMYKA": 5, "LABA": 4}

REST_S = 0.3
# Krita 5.3.4 crashes (KisNodeModel::processUpdateQueue) where a layer goes, by undo or with its
# document, within the moment in which the layers docker gathers what has changed about it.


def bytes_of(text):
    return base64.b64decode(text)


def text_of(data):
    return base64.b64encode(bytes(data)).decode()


# Documents -----------------------------------------------------------------------------------


def new_document(width, height, pixels=None, *, model="RGBA", depth="U8", profile=""):
    """A document in a view of its own, with one paint layer, "subject"."""
    document = KRITA.createDocument(width, height, "picture", model, depth, profile, 120.0)
    document.setBatchmode(True)
    KRITA.activeWindow().addView(document)
    node = document.topLevelNodes()[0]
    node.setName("subject")
    node.setLocked(False)
    if pixels is not None:
        node.setPixelData(QtCore.QByteArray(bytes_of(pixels)), 0, 0, width, height)
    document.setActiveNode(node)
    settle(document)
    document.setModified(False)
    return node.colorProfile()


def open_large(width, height):
    """A document of noise, all of it selected but for its rim."""
    new_document(width, height)
    node, rows = find("subject"), 100
    noise = QtCore.QByteArray(os.urandom(4 * width * rows))
    for top in range(0, height, rows):
        node.setPixelData(noise, 0, top, width, min(rows, height - top))
    select(rectangle=[100, 100, width - 200, height - 200])


def add_layer(name, pixels=None, at=(0, 0, 0, 0), kind="paintlayer", parent=None):
    """One more layer on top, or within a group; it becomes the current one."""
    document = KRITA.activeDocument()
    if kind == "vectorlayer":
        node = document.createVectorLayer(name)
    elif kind == "clonelayer":
        node = document.createCloneLayer(name, find("subject"))
    elif kind == "filllayer":
        settings = InfoObject()
        settings.setProperty("color", "#406080")
        everywhere = Selection()
        everywhere.select(0, 0, document.width(), document.height(), 255)
        node = document.createFillLayer(name, "color", settings, everywhere)
    else:
        node = document.createNode(name, kind)
    if pixels is not None:
        node.setPixelData(QtCore.QByteArray(bytes_of(pixels)), *at)
    home = find(parent) if parent else document.rootNode()
    home.addChildNode(node, None)
    if kind == "filllayer":
        events(0.5)  # Krita fills it a moment later
    if kind == "vectorlayer":
        shape = '<svg><rect x="10" y="8" width="40" height="30" fill="#336699"/></svg>'
        node.addShapesFromSvg(shape)
        events(0.5)  # it is drawn a little later
    settle(document)
    document.setActiveNode(node)
    settle(document)


def add_file_layer(name, path):
    document = KRITA.activeDocument()
    node = document.createFileLayer(name, path, "None")
    document.rootNode().addChildNode(node, None)
    settle(document)
    time.sleep(0.2)
    settle(document)
    document.setActiveNode(node)


def add_mask(parent, pixels, at, kind="transparencymask", name="mask"):
    document = KRITA.activeDocument()
    node = (
        document.createTransparencyMask(name)
        if kind == "transparencymask"
        else document.createNode(name, kind)
    )
    find(parent).addChildNode(node, None)
    if pixels is not None:
        node.setPixelData(QtCore.QByteArray(bytes_of(pixels)), *at)
    settle(document)


def change(name, /, **values):
    """Call setters of a layer: opacity=100 is setOpacity(100)."""
    node = find(name)
    for value_name, value in values.items():
        getattr(node, f"set{value_name[0].upper()}{value_name[1:]}")(value)
    settle(KRITA.activeDocument())


def paint(name, pixels, at):
    find(name).setPixelData(QtCore.QByteArray(bytes_of(pixels)), *at)
    settle(KRITA.activeDocument())


def move(name, x, y):
    find(name).move(x, y)
    settle(KRITA.activeDocument())


def remove(name):
    find(name).remove()
    settle(KRITA.activeDocument())


def animate(name):
    find(name).enableAnimation()
    settle(KRITA.activeDocument())


def activate(name):
    document = KRITA.activeDocument()
    document.setActiveNode(find(name))
    settle(document)


def select(pixels=None, at=None, rectangle=None):
    """Select by levels, by a rectangle, or nothing."""
    selection = Selection()
    if rectangle is not None:
        selection.select(*rectangle, 255)
    elif pixels is not None:
        selection.setPixelData(QtCore.QByteArray(bytes_of(pixels)), *at)
    else:
        selection = None
    KRITA.activeDocument().setSelection(selection)
    settle(KRITA.activeDocument())


def show_document(number):
    """Bring a document to the front; they count in the order in which they were opened."""
    area = KRITA.activeWindow().qwindow().findChild(QtWidgets.QMdiArea)
    area.setActiveSubWindow(area.subWindowList()[number])
    events(0.2)


def undo_steps():
    """How many steps Krita's history holds."""
    events()
    (history,) = (d for d in KRITA.dockers() if d.objectName() == "History")
    return history.findChild(QtWidgets.QListView).model().rowCount()


def close_document(number=-1):
    document = KRITA.documents()[number]
    document.setModified(False)
    document.close()
    events()


def close_all():
    events(REST_S)
    while KRITA.documents():
        close_document()


def settle(document):
    document.refreshProjection()
    document.waitForDone()
    events()


def events(seconds=0.0):
    until = time.monotonic() + seconds
    application = QtWidgets.QApplication.instance()
    application.processEvents()
    while time.monotonic() < until:
        application.processEvents()
        time.sleep(0.005)


def find(name, document=None):
    """The first layer or mask of this name."""
    todo = [(document or KRITA.activeDocument()).rootNode()]
    while todo:
        node = todo.pop()
        if node.name() == name:
            return node
        todo.extend(node.childNodes())
    raise LookupError(name)


# What is there -------------------------------------------------------------------------------


def tell(*, with_pixels=True):
    """The current document: its layers from top to bottom, and what belongs to it."""
    document = KRITA.activeDocument()
    document.waitForDone()
    selection = document.selection()
    active = document.activeNode()
    return {
        "layers": [
            tell_node(node, with_pixels=with_pixels)
            for node in reversed(document.rootNode().childNodes())
        ],
        "active": active.name() if active else None,
        "modified": document.modified(),
        "selection": None
        if selection is None
        else {
            "at": [selection.x(), selection.y(), selection.width(), selection.height()],
            "canvas": text_of(selection.pixelData(0, 0, document.width(), document.height())),
        },
    }


def tell_node(node, *, with_pixels=True, at=None):
    bounds = node.bounds()
    at = at or [bounds.x(), bounds.y(), bounds.width(), bounds.height()]
    is_painted = node.type() in {"paintlayer", "transparencymask"}
    return {
        "name": node.name(),
        "type": node.type(),
        "at": at,
        "colours": [node.colorModel(), node.colorDepth(), node.colorProfile()],
        "opacity": node.opacity(),
        "blending": node.blendingMode(),
        "visible": node.visible(),
        "pixels": text_of(node.pixelData(*at)) if with_pixels and is_painted else "",
        "children": [
            tell_node(
                child, with_pixels=with_pixels, at=at if child.type().endswith("mask") else None
            )
            for child in reversed(node.childNodes())
        ],
    }


def projection(name, x, y, width, height):
    return text_of(find(name).projectionPixelData(x, y, width, height))


def trigger(action, times=1):
    events(REST_S)
    for _ in range(times):
        KRITA.action(action).trigger()
        KRITA.activeDocument().waitForDone()
        events(0.05)

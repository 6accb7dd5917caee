# ruff: noqa: N802  (the names are Krita's)
"""What the plug-in uses of Krita's module, made up; the program's argument is the binding."""

import sys
import types
from importlib import import_module

BINDING = sys.argv[1]
QtCore = import_module(f"{BINDING}.QtCore")
QtGui = import_module(f"{BINDING}.QtGui")
QtWidgets = import_module(f"{BINDING}.QtWidgets")

WIDTH, HEIGHT = 30, 20
STATE = types.SimpleNamespace(settings={}, dockers=[], extensions=[])
"""What a test looks at: document, window, dockers, extensions, action, settings."""

DockWidget = QtWidgets.QDockWidget
DockWidgetFactoryBase = types.SimpleNamespace(DockRight=2)
Selection = object


def DockWidgetFactory(_name, _place, docker):
    return docker


class Node:
    def __init__(self, name="subject", kind="paintlayer"):
        self.label, self.kind = name, kind
        self.children, self.home, self.shown = [], None, True
        self.pixels = {}

    def name(self):
        return self.label

    def type(self):
        return self.kind

    def uniqueId(self):
        return QtCore.QUuid(abs(hash(self.label)) % 1000, 0, 0, *[0] * 8)

    def parentNode(self):
        return self.home

    def childNodes(self):
        return self.children

    def addChildNode(self, child, _above):
        self.children.append(child)
        child.home = self

    def setChildNodes(self, children):
        self.children = children

    def remove(self):
        self.home.children.remove(self)

    def bounds(self):
        return QtCore.QRect(0, 0, WIDTH, HEIGHT)

    def pixelData(self, _x, _y, width, height):
        return QtCore.QByteArray(b"\x40" * (4 * width * height))

    def setPixelData(self, pixels, *place):
        self.pixels[place] = bytes(pixels)

    def thumbnail(self, width, height):
        image = QtGui.QImage(width, height, QtGui.QImage.Format.Format_ARGB32)
        image.fill(QtGui.QColor("red"))
        return image

    def visible(self):
        return self.shown

    def setVisible(self, shown):
        self.shown = shown

    def __getattr__(self, name):
        answers = {
            "colorModel": "RGBA",
            "colorDepth": "U8",
            "colorProfile": "sRGB",
            "opacity": 255,
            "blendingMode": "normal",
            "locked": False,
            "animated": False,
        }
        if name not in answers and not name.startswith("set"):
            raise AttributeError(name)
        return lambda *_: answers.get(name)


class Document:
    def __init__(self):
        self.root, self.node = Node("root", "grouplayer"), Node()
        self.root.addChildNode(self.node, None)

    def rootNode(self):
        return self.root

    def activeNode(self):
        return self.node

    def annotation(self, _key):
        return QtCore.QByteArray()

    def selection(self):
        return None

    def createNode(self, name, kind):
        return Node(name, kind)

    def createTransparencyMask(self, name):
        return Node(name, "transparencymask")

    def setActiveNode(self, _node):
        pass

    def setAnnotation(self, _key, _description, _content):
        pass

    def setModified(self, _is_modified):
        pass


class Window:
    def activeView(self):
        return self

    def selectedNodes(self):
        return [STATE.document.node]

    def dockers(self):
        return STATE.dockers

    def qwindow(self):
        return STATE.window

    def createAction(self, _name, text, _menu):
        STATE.action = getattr(QtGui, "QAction", None) or QtWidgets.QAction
        STATE.action = STATE.action(text)
        return STATE.action


class Krita:
    @staticmethod
    def instance():
        return Krita()

    def activeDocument(self):
        return STATE.document

    def documents(self):
        return [STATE.document]

    def activeWindow(self):
        return Window()

    def readSetting(self, group, name, default):
        return STATE.settings.get((group, name), default)

    def writeSetting(self, group, name, value):
        STATE.settings[group, name] = value

    def version(self):
        return "made up"

    def addDockWidgetFactory(self, factory):
        docker = factory()
        docker.setObjectName("smart_matte")
        STATE.dockers.append(docker)

    def addExtension(self, extension):
        STATE.extensions.append(extension)


class Extension(QtCore.QObject):
    def __init__(self, _parent):
        super().__init__()


STATE.document = Document()

"""The one place that imports Qt: Krita 5 brings PyQt5, Krita 6 PyQt6."""

from importlib import import_module

from krita import DockWidget

# Krita's own classes tell: other plug-ins may have imported a binding that Krita doesn't use.
BINDING: str = next(
    kind.__module__.partition(".")[0]
    for kind in DockWidget.__mro__
    if kind.__module__.startswith("PyQt")
)

QtCore = import_module(f"{BINDING}.QtCore")
QtGui = import_module(f"{BINDING}.QtGui")
QtWidgets = import_module(f"{BINDING}.QtWidgets")

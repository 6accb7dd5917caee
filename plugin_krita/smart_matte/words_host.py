"""The plug-in's words in Krita's language."""

from smart_matte.qt_host import QtCore
from smart_matte_link.translation import translator

_ = translator(language=":".join(QtCore.QLocale().uiLanguages()))

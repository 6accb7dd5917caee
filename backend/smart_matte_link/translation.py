"""The user's language: an editor's own strings, and the backend's sentences with values in them."""

from __future__ import annotations

import gettext
import os
import re
import struct
import sys
from pathlib import Path

DOMAIN = "smart-matte"

LOCALE_FOLDER = Path(__file__).parent / "locale"
"""
Where the installed plug-in has its compiled catalogues, such as de.mo.

Not in gettext's usual tree: when GIMP takes over an older version's settings, it copies plug-ins
without folders as deep as that.
"""

VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""What names the user's language, in gettext's order."""

FIELD = re.compile(r"\{(\w+)\}")
PAIRS = (("(", ")"), ("“", "”"))
DEPTH_MAX = 4
"""Sentences within sentences; ours go no deeper than three."""


class Translator:
    """
    Translates into one language; what has no translation stays English.

    Example:
        >>> _ = translator(LOCALE_FOLDER)
        >>> label = _("Layer with mask")
        >>> text = _.say(error.sentence, error.hint)
    """

    def __init__(self, translations: gettext.NullTranslations) -> None:
        self._translations = translations
        self._templates: list[tuple[re.Pattern[str], str]] | None = None

    def __call__(self, message: str) -> str:
        """Translate a string that stands in the sources as it is."""
        return self._translations.gettext(message) if message else ""

    def say(self, *sentences: str) -> str:
        """
        Translate sentences that came from the backend or the link, and join them by spaces.

        Args:
            sentences: in English, values and all, such as a LinkError's sentence and hint; empty
                ones are left out.
        """
        return " ".join(self._say(sentence, DEPTH_MAX) for sentence in sentences if sentence)

    def _say(self, sentence: str, depth: int) -> str:
        translated = self(sentence)
        if translated != sentence or not depth:
            return translated
        if self._templates is None:
            self._templates = _templates(self._translations)
        for pattern, translation in self._templates:
            match = pattern.fullmatch(sentence)
            if match and all(map(_is_balanced, match.groups())):
                values = {
                    name: self._say(value, depth - 1) if " " in value else value
                    for name, value in match.groupdict().items()
                }
                # not str.format: a value may hold braces, a translation nothing but fields
                return FIELD.sub(lambda field: values.get(field[1], field[0]), translation)  # noqa: B023  (called at once)
        return sentence


def N_(message: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Mark a string for the catalogue that is translated only when it is shown."""
    return message


def translator(folder: Path = LOCALE_FOLDER, language: str | None = None) -> Translator:
    """
    Find the catalogue of a language; where there is none, everything stays English.

    Args:
        folder: holds the compiled catalogues.
        language: such as "de", "de_AT", "zh-Hans" or "zh_CN.UTF-8", or several of them in the
            order of preference, with colons between; None takes the environment's, on Windows the
            system's where that says nothing.
    """
    for name in (language or _users_language()).split(":"):
        if re.split("[_.-]", name)[0] in {"C", "POSIX", "en"}:
            break  # English is wanted more than what follows
        for candidate in _candidates(name):
            found = _read_catalogue(folder / f"{candidate}.mo")
            if found is not None:
                return Translator(found)
    return Translator(gettext.NullTranslations())


def _read_catalogue(path: Path) -> gettext.GNUTranslations | None:
    """None where there is none, or one that can't be read: that must not stop anybody."""
    try:
        with path.open("rb") as file:
            return gettext.GNUTranslations(file)
    except (OSError, ValueError, LookupError, struct.error):
        return None


def _templates(translations: gettext.NullTranslations) -> list[tuple[re.Pattern[str], str]]:
    """The catalogue's entries with fields, those with most words of their own first."""
    catalogue: dict[object, str] = getattr(translations, "_catalog", {})  # it has no public door
    templates = [
        (message, translation)
        for message, translation in catalogue.items()
        if isinstance(message, str) and FIELD.search(message)
    ]
    templates.sort(key=lambda template: -len(FIELD.sub("", template[0])))
    return [(_pattern(message), translation) for message, translation in templates]


def _pattern(template: str) -> re.Pattern[str]:
    """What a sentence looks like that was made from a template."""
    pattern = ""
    seen: set[str] = set()
    for index, part in enumerate(FIELD.split(template)):
        if index % 2 == 0:
            pattern += re.escape(part)
        elif part in seen:
            pattern += f"(?P={part})"
        else:
            pattern += f"(?P<{part}>.*?)"
            seen.add(part)
    return re.compile(pattern, re.DOTALL)


def _is_balanced(value: str) -> bool:
    """Whether a value keeps what it opens; one that doesn't was cut out of another sentence."""
    return all(value.count(opening) == value.count(closing) for opening, closing in PAIRS)


def _candidates(language: str) -> list[str]:
    """Names of catalogues that would do, the best first."""
    name = re.split("[.@]", language.replace("-", "_"))[0]
    if name in {"zh", "zh_SG"} or name.startswith("zh_Hans"):
        return ["zh_CN"]
    return [name, name.split("_")[0]]


def _users_language() -> str:
    """The environment's language, on Windows that of the system's own interface; "" for none."""
    for variable in VARIABLES:
        if os.environ.get(variable):
            return os.environ[variable]
    if sys.platform != "win32":
        return ""
    import ctypes  # noqa: PLC0415  (only there)
    import locale  # noqa: PLC0415

    return locale.windows_locale.get(ctypes.windll.kernel32.GetUserDefaultUILanguage(), "")

"""The translators' catalogues: how they are compiled for the plug-ins."""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from smart_matte_link.translation import DOMAIN, LOCALE_FOLDER


def languages(sources: Path = LOCALE_FOLDER) -> list[str]:
    """The languages that there are translations for, such as "zh_CN"."""
    return sorted(path.stem for path in sources.glob("*.po"))


def compile_catalogues(target: Path, sources: Path = LOCALE_FOLDER) -> None:
    """
    Write every catalogue in gettext's binary form.

    Args:
        target: folder to be made, for files such as de.mo.
        sources: folder of the .po files.
    """
    target.mkdir()
    for language in languages(sources):
        with (sources / f"{language}.po").open("rb") as file:
            catalogue = read_po(file, locale=language, domain=DOMAIN)
        with (target / f"{language}.mo").open("wb") as file:
            write_mo(file, catalogue)

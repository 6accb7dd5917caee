"""``make messages``: bring the translators' catalogues up to date with the sources."""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

import smart_matte
from smart_matte.install.catalogues import languages
from smart_matte.install.sentences import find_sentences
from smart_matte_link.translation import DOMAIN, LOCALE_FOLDER

TEMPLATE = LOCALE_FOLDER / f"{DOMAIN}.pot"
MARKED = ("backend/smart_matte_link", "plugin_gimp", "plugin_krita")
KEYWORDS = {"_": None, "N_": None}
"""What marks the plug-ins' own strings: translated where they stand, or later."""

HEADER = """\
# Translations of Smart Matte's plug-ins.
# This file is distributed under the same licence as Smart Matte.
#"""


def read_template(checkout: Path) -> Catalog:
    """Everything that users of the plug-ins can meet, read from the sources of a checkout."""
    template = Catalog(
        domain=DOMAIN,
        project="Smart Matte",
        version=smart_matte.__version__,
        msgid_bugs_address="the project's issue tracker",
        header_comment=HEADER,
        charset="utf-8",
        fuzzy=False,
    )
    for part in MARKED:
        for file, _line, message, comments, _context in _extract(checkout / part):
            template.add(message, locations=[(f"{part}/{file}", 1)], auto_comments=comments)
    for sentence, places in find_sentences(checkout / "backend").items():
        template.add(sentence, locations=[(f"backend/{file}", 1) for file, _ in places])
    return template


def update(checkout: Path, folder: Path = LOCALE_FOLDER) -> Iterator[str]:
    """
    Write the template, and merge it into every language.

    Returns:
        One line about each language.
    """
    template = read_template(checkout)
    path = folder / TEMPLATE.name
    if path.is_file():  # its date alone is no reason for a change
        with path.open("rb") as file:
            template.creation_date = read_po(file).creation_date
    _write(path, template)
    for language in languages(folder):
        path = folder / f"{language}.po"
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language, domain=DOMAIN)
        catalogue.update(template, no_fuzzy_matching=True, keep_user_comments=True)
        catalogue.obsolete.clear()
        _write(path, catalogue)
        missing = [message.id for message in catalogue if message.id and not message.string]
        fuzzy = [message.id for message in catalogue if message.id and message.fuzzy]
        yield f"{language}: {len(catalogue)} messages, {len(missing)} missing, {len(fuzzy)} fuzzy"


def _extract(
    folder: Path,
) -> Iterator[tuple[str, int, str | tuple[str, ...], list[str], str | None]]:
    yield from extract_from_dir(
        folder, method_map=[("**.py", "python")], keywords=KEYWORDS, comment_tags=("Translators:",)
    )


def _write(path: Path, catalogue: Catalog) -> None:
    with path.open("wb") as file:
        write_po(file, catalogue, width=100, sort_by_file=True, include_lineno=False)


if __name__ == "__main__":
    for line in update(Path(__file__).resolve().parents[3]):
        print(line)  # noqa: T201  (a developer's own tool)

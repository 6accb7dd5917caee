"""The translators' catalogues: whole, and right about the values."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from smart_matte.install import messages
from smart_matte.install.catalogues import compile_catalogues, languages
from smart_matte.install.sentences import find_sentences, sentences_in
from smart_matte_link.translation import FIELD, LOCALE_FOLDER, translator

CHECKOUT = Path(__file__).resolve().parents[2]
SENTENCES = find_sentences(CHECKOUT / "backend")
LANGUAGES = ("de", "es", "fr", "ru", "zh_CN")
SAME_IN_EVERY_LANGUAGE = {
    "smart-matte weights fetch {name}",
    "smart-matte weights import {files} --as {name}",
}


@pytest.fixture(scope="module")
def template() -> set[str]:
    return {message.id for message in messages.read_template(CHECKOUT) if message.id}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogues") / "locale"
    compile_catalogues(folder)
    return folder


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, ignore_obsolete=True)


def test_there_are_five_languages_beside_english() -> None:
    assert languages() == sorted(LANGUAGES)


@pytest.mark.parametrize("file", ["smart-matte.pot", *(f"{name}.po" for name in LANGUAGES)])
def test_every_sentence_in_the_sources_is_in_the_catalogues(file: str, template: set[str]) -> None:
    found = {message.id for message in catalogue(LOCALE_FOLDER / file) if message.id}
    assert found == template, "run: make messages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_with_all_its_values(language: str) -> None:
    for message in catalogue(LOCALE_FOLDER / f"{language}.po"):
        if message.id:
            assert message.string, message.id
            assert not message.fuzzy, message.id
            assert sorted(set(FIELD.findall(message.string))) == sorted(
                set(FIELD.findall(message.id))
            ), message.id
            assert FIELD.sub("", message.string).count("{") == 0, message.id
            assert message.string[-1:].isspace() == message.id[-1:].isspace(), message.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_that_the_backend_says_arrives_translated(language: str, compiled: Path) -> None:
    say = translator(compiled, language).say
    for sentence in SENTENCES.keys() - SAME_IN_EVERY_LANGUAGE:
        names = dict.fromkeys(FIELD.findall(sentence))
        values = {name: f"/ö{index}" for index, name in enumerate(names)}
        spoken = sentence.format_map(values)
        assert say(spoken) != spoken
        assert all(value in say(spoken) for value in values.values()), spoken


def test_a_label_keeps_its_mnemonic_in_every_language(template: set[str]) -> None:
    labels = [message for message in template if re.search(r"_[A-Za-z]", FIELD.sub("", message))]
    for language in LANGUAGES:
        translations = catalogue(LOCALE_FOLDER / f"{language}.po")
        for label in labels:
            assert translations.get(label).string.count("_") == label.count("_"), label


def test_the_sources_are_read_with_all_their_ways_to_say_something() -> None:
    code = """
AGAIN = "Try it again."
def sentence():
    return f"The weights {self.name!r} are {self.problem}."
def f(name, error):
    word = "this one" if name else f"the {name} one"
    raise OptionError(f"{name[0].upper()}{name[1:]} is {value:g}, not"
                      f" {', '.join(choices)}; take {word}.")
    raise LinkError("busy", "All is " "busy.", AGAIN)
    raise LinkError("code", str(error))
    refuse("A technical fault.")
    OtherError("Nothing for users.")
"""
    assert {template for template, _ in sentences_in(code)} == {
        "Try it again.",
        "The weights {name} are {problem}.",
        "this one",
        "the {name} one",
        "{name} is {value}, not {choices}; take {word}.",
        "All is busy.",
    }


def test_the_sentences_of_engine_service_and_link_are_all_found() -> None:
    files = {file for places in SENTENCES.values() for file, _ in places}
    for part in ("smart_matte_link/starting.py", "smart_matte/engine/hints.py"):
        assert part in files
    assert {"smart_matte/service/jobs.py", "smart_matte/weights/store.py"} <= files
    assert len(SENTENCES) > 90


def test_bringing_the_catalogues_up_to_date_changes_nothing_when_they_are(tmp_path: Path) -> None:
    for path in [*LOCALE_FOLDER.glob("*.po"), *LOCALE_FOLDER.glob("*.pot")]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(list(messages.update(CHECKOUT, tmp_path))) == len(LANGUAGES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(list(messages.update(CHECKOUT, tmp_path))) == len(LANGUAGES)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

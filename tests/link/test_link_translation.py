"""The user's language: what the editors say, and the backend's sentences with values in them."""

import gettext
from collections.abc import Callable
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from smart_matte_link.translation import DOMAIN, translator

ENTRIES = {
    "Layer with mask": "Ebene mit Maske",
    "The selection is empty.": "Die Auswahl ist leer.",
    "The folder {folder} can't be read: {why}.": "Ordner {folder} ist nicht lesbar: {why}.",
    "{name} is {value}.": "{value} ist der Wert von {name}.",
    "{name} is {value}; it has to be above {low}.": "{name}: {value} liegt nicht über {low}.",
    "It can't be used: {sentence}": "Nicht verwendbar: {sentence}",
    "broken ({problem})": "kaputt ({problem})",
    "{count} bytes instead of {expected}": "{count} Bytes statt {expected}",
    "{name} needs {name}": "{name} braucht {name}",
    "untranslated {name}": "",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(language: str, **more: str) -> Path:
        catalogue = Catalog(locale=language, domain=DOMAIN)
        for message, translation in {**ENTRIES, **more}.items():
            catalogue.add(message, translation)
        with (tmp_path / f"{language}.mo").open("wb") as file:
            write_mo(file, catalogue)
        return tmp_path

    return write


@pytest.fixture
def say(write: Callable[..., Path]) -> Callable[..., str]:
    return translator(write("de"), "de").say


def test_a_string_is_translated_and_an_unknown_one_stays_english(write) -> None:
    german = translator(write("de"), "de")
    assert german("Layer with mask") == "Ebene mit Maske"
    assert german("Something new") == "Something new"
    assert german("") == ""  # not the catalogue's header


def test_a_sentence_is_recognised_with_its_values(say) -> None:
    assert say("The selection is empty.") == "Die Auswahl ist leer."
    assert say("The folder /a b/c can't be read: No such file.") == (
        "Ordner /a b/c ist nicht lesbar: No such file."
    )


def test_what_matches_nothing_stays_as_it_is(say) -> None:
    for sentence in ("Nobody wrote this before.", "untranslated thing", "The selection is empty"):
        assert say(sentence) == sentence


def test_the_template_with_most_words_of_its_own_is_taken(say) -> None:
    assert say("Radius is 3; it has to be above 5.") == "Radius: 3 liegt nicht über 5."
    assert say("Radius is 3.") == "3 ist der Wert von Radius."


def test_a_sentence_within_a_sentence_is_translated_too(say) -> None:
    assert say("It can't be used: The selection is empty.") == (
        "Nicht verwendbar: Die Auswahl ist leer."
    )


def test_a_value_is_not_cut_out_of_the_middle_of_another_sentence(say) -> None:
    assert say("broken (12 bytes instead of 14)") == "kaputt (12 Bytes statt 14)"


def test_values_may_hold_anything(say) -> None:
    odd = "{why} \\1 %s\n{0}"
    assert say(f"The folder {odd} can't be read: {{folder}}.") == (
        f"Ordner {odd} ist nicht lesbar: {{folder}}."
    )


def test_a_field_that_stands_twice_has_one_value(say) -> None:
    assert say("fba needs fba") == "fba braucht fba"
    assert say("fba needs torch") == "fba needs torch"


def test_a_single_word_is_a_value_and_stays(write) -> None:
    folder = write("de", Radius="Radius auf Deutsch")
    assert translator(folder, "de").say("Radius is 3.") == "3 ist der Wert von Radius."


def test_sentence_and_hint_are_joined_and_empty_ones_left_out(say) -> None:
    assert say("The selection is empty.", "", "New hint.") == "Die Auswahl ist leer. New hint."


@pytest.mark.parametrize("language", ["de", "de_AT", "de-AT", "de_DE.UTF-8", "de@euro", "fr:de"])
def test_a_language_is_found_however_it_is_spelled(write, language: str) -> None:
    assert translator(write("de"), language)("Layer with mask") == "Ebene mit Maske"


@pytest.mark.parametrize("language", ["C", "C.UTF-8", "fr", "xx_YY", "en_GB:de", ":"])
def test_a_language_without_a_catalogue_is_english(write, language: str) -> None:
    assert translator(write("de"), language)("Layer with mask") == "Layer with mask"


@pytest.mark.parametrize(
    ("language", "is_found"),
    [("zh_CN", True), ("zh-Hans", True), ("zh-Hans-CN", True), ("zh", True), ("zh_TW", False)],
)
def test_chinese_is_simplified_only_where_that_is_wanted(write, language, is_found) -> None:
    translated = translator(write("zh_CN"), language)("Layer with mask")
    assert (translated != "Layer with mask") is is_found


def test_without_a_language_the_environment_decides(write, monkeypatch) -> None:
    folder = write("de")
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert translator(folder)("Layer with mask") == "Layer with mask"
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert translator(folder)("Layer with mask") == "Ebene mit Maske"
    monkeypatch.setenv("LANGUAGE", "fr")
    assert translator(folder)("Layer with mask") == "Layer with mask"


def test_a_missing_or_broken_catalogue_leaves_everything_english(tmp_path: Path) -> None:
    assert translator(tmp_path, "de").say("The selection is empty.") == "The selection is empty."
    for content in (b"", b"no catalogue at all", b"\xde\x12\x04\x95" + bytes(range(30))):
        (tmp_path / "de.mo").write_bytes(content)
        assert translator(tmp_path, "de")("Layer with mask") == "Layer with mask"


def test_gettext_still_keeps_its_catalogue_where_the_templates_are_read_from(write) -> None:
    with (write("de") / "de.mo").open("rb") as file:
        found = gettext.GNUTranslations(file)
    assert "Layer with mask" in vars(found)["_catalog"]

"""What the plug-ins offer is what the backend takes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_matte.engine.options import MATTERS, SEGMENTERS, TRIMAPS, Options
from smart_matte.errors import OptionError
from smart_matte_link.editing.choices import (
    ADVANCED,
    AUTOMATIC_AT_0,
    BASIC,
    FINISHING_OPTIONS,
    HIDE_ORIGINAL,
    OPTION_NAMES,
    OUTPUT,
    Number,
    OneOf,
    to_options,
)

CHOICES = {choice.name: choice for choice in (*BASIC, *ADVANCED)}
NUMBERS = [choice for choice in CHOICES.values() if isinstance(choice, Number)]
OPTIONS = {field.name: field.default for field in dataclasses.fields(Options)}


def option_of(name: str) -> str:
    return OPTION_NAMES.get(name, name.replace("-", "_"))


def values_of(name: str) -> tuple[str, ...]:
    return tuple(value for value, _ in CHOICES[name].values)


def engine_options(options: dict) -> Options:
    return Options(**{**options, "classes": tuple(options.get("classes", ()))})


def test_every_option_of_the_engine_can_be_chosen_except_the_layers_own_opacity():
    assert {option_of(name) for name in CHOICES} == set(OPTIONS) - {"own_alpha"}


@pytest.mark.parametrize("name", set(CHOICES) - {"classes", *AUTOMATIC_AT_0})
def test_defaults_are_the_engines(name):
    assert CHOICES[name].default == OPTIONS[option_of(name)]


@pytest.mark.parametrize("name", AUTOMATIC_AT_0)
def test_a_radius_of_0_stands_for_the_engines_own_choice(name):
    assert CHOICES[name].default == CHOICES[name].low == 0
    assert OPTIONS[option_of(name)] is None


def test_what_the_engine_knows_is_offered():
    assert values_of("matter") == ("auto", *MATTERS)
    assert values_of("segmenter") == ("auto", *SEGMENTERS)
    assert values_of("trimap-method") == TRIMAPS


@pytest.mark.parametrize("choice", [OUTPUT, *CHOICES.values()], ids=lambda choice: choice.name)
def test_a_default_is_one_of_what_is_offered(choice):
    if isinstance(choice, OneOf):
        assert choice.default in [value for value, _ in choice.values]
    elif isinstance(choice, Number):
        assert choice.low <= choice.default <= choice.high


@pytest.mark.parametrize("choice", NUMBERS, ids=lambda choice: choice.name)
def test_the_engine_takes_the_whole_range_of_a_number(choice):
    partner = {"low-probability": {"high-probability": 1.0}, "high-probability": {}}
    for value in (choice.low, choice.high):
        chosen = {"low-probability": 0.0, **partner.get(choice.name, {}), choice.name: value}
        engine_options(to_options(chosen))


@pytest.mark.parametrize("name", ["shift-edge", "decontaminate"])
def test_the_engine_takes_no_more_than_the_range(name):
    for value in (CHOICES[name].low - 1, CHOICES[name].high + 1):
        with pytest.raises(OptionError):
            engine_options(to_options({name: value}))


def test_defaults_are_left_to_the_backend():
    defaults = {name: choice.default for name, choice in CHOICES.items()}
    assert to_options(defaults) == to_options({}) == {"own_alpha": False}


def test_nothing_chosen_is_a_default():
    assert to_options(dict.fromkeys(CHOICES)) == {"own_alpha": False}


def test_kinds_of_subject_are_split_at_commas():
    assert to_options({"classes": " cat,, dog ,"})["classes"] == ["cat", "dog"]


def test_a_preview_scales_radii_and_nothing_else():
    chosen = {"radius": 20.0, "inner-radius": 10.0, "decontaminate": 50.0}
    options = to_options(chosen, 0.25)
    assert options == {
        "own_alpha": False,
        "outer_radius_px": 5.0,
        "inner_radius_px": 2.5,
        "decontaminate": 50.0,
    }


@given(
    st.fixed_dictionaries({choice.name: st.floats(choice.low, choice.high) for choice in NUMBERS})
)
def test_whatever_is_chosen_in_range_the_engine_gets_as_it_is(chosen):
    low, high = sorted((chosen["low-probability"], chosen["high-probability"]))
    chosen |= {"low-probability": low, "high-probability": high}
    options = engine_options(to_options(chosen))
    for name, value in chosen.items():
        expected = None if name in AUTOMATIC_AT_0 and value == 0 else value
        assert getattr(options, option_of(name)) == expected


def test_finishing_options_are_options():
    assert set(FINISHING_OPTIONS) <= set(OPTIONS)


def test_names_are_unique_and_words_of_the_pdb():
    names = [OUTPUT.name, HIDE_ORIGINAL.name, *CHOICES]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in names)

import pytest

from smart_matte.engine.options import RECIPES, Options
from smart_matte.errors import OptionError


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"matter": "magic"}, "no matting model “magic”"),
        ({"segmenter": "u2net"}, "no segmenter “u2net”"),
        ({"trimap": "wide"}, "no trimap “wide”"),
        ({"decontaminate": 101}, "Decontaminate is 101; it has to be between 0 and 100"),
        ({"decontaminate": float("nan")}, "Decontaminate is nan"),
        ({"outer_radius_px": -1}, "The outer radius is -1"),
        (
            {"low_probability": 0.9, "high_probability": 0.5},
            "The low probability 0.9 is above the high probability 0.5",
        ),
        ({"classes": "person"}, "give a tuple of names"),
        ({"decontaminate": "x"}, "Decontaminate is x"),
        ({"shift_edge": -101}, "Shift edge is -101; it has to be between -100 and 100"),
        ({"shift_edge": float("nan")}, "Shift edge is nan"),
        ({"shift_edge": None}, "Shift edge is None"),
        ({"own_alpha": 0}, "Own alpha is “0”; it has to be True or False"),
        ({"own_alpha": None}, "Own alpha is “None”"),
        ({"holes": "no"}, "Holes is “no”"),
    ],
)
def test_impossible_values_are_refused_in_words(choice: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Options(**choice)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_a_start_that_can_be_changed(recipe: str) -> None:
    options = RECIPES[recipe](outer_radius_px=3, classes=("cat",))
    assert options.trimap == "probability"
    assert (options.outer_radius_px, options.classes) == (3, ("cat",))


def test_only_what_differs_from_the_defaults_is_told() -> None:
    assert Options().as_dict() == {}
    chosen = Options(classes=("cat",), decontaminate=40, own_alpha=False)
    assert chosen.as_dict() == {"classes": ["cat"], "decontaminate": 40, "own_alpha": False}
    assert Options(**{**chosen.as_dict(), "classes": ("cat",)}) == chosen

import pytest

from smart_matte.engine.options import RECIPES, Options
from smart_matte.errors import OptionError


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"matter": "magic"}, "no matting model “magic”"),
        ({"segmenter": "u2net"}, "no segmenter “u2net”"),
        ({"trimap": "wide"}, "no trimap “wide”"),
        ({"decontaminate": 101}, "decontaminate is 101; it has to be between 0 and 100"),
        ({"decontaminate": float("nan")}, "decontaminate is nan"),
        ({"outer_radius_px": -1}, "outer_radius_px is -1"),
        ({"low_probability": 0.9, "high_probability": 0.5}, "high_probability is 0.5"),
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

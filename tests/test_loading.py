"""Names become models: what is broken is said, what was replaced is loaded anew."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smart_matte import loading, weights
from smart_matte.engine.cutout import Engines
from smart_matte.engine.models.deeplabv3_mobilenetv2 import DeepLabV3MobileNetV2
from smart_matte.engine.models.deeplabv3_torchvision import TorchvisionDeepLabV3
from smart_matte.engine.models.fba import FBA
from smart_matte.engine.options import MATTERS, NETWORK_SEGMENTERS, Options
from smart_matte.errors import OptionError, WeightsError
from smart_matte.weights import store

COMPACT = "deeplabv3-mobilenetv2"


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "store"))
    loading.unload()


def install(name: str, state_dict: dict[str, torch.Tensor]) -> None:
    """Keep tensors without asking whether they fit."""
    with store.locked(name):
        store.keep(weights.find_entry(name), state_dict, {"own.pth": "0"}, verified_source=False)


def compact_weights(value: float = 0.5) -> dict[str, torch.Tensor]:
    return {
        key: torch.full_like(tensor, value)
        for key, tensor in DeepLabV3MobileNetV2().state_dict().items()
    }


def cut_short(name: str) -> None:
    install(name, {"weight": torch.zeros(3)})
    store.path_of(name).write_bytes(store.path_of(name).read_bytes()[:-1])


def misshape(name: str) -> None:
    install(name, {"weight": torch.zeros(3)})


def lose(name: str) -> None:
    install(name, {"weight": torch.zeros(3)})
    store.path_of(name).unlink()


def damage_notes(name: str) -> None:
    install(name, {"weight": torch.zeros(3)})
    (store.folder() / f"{name}.json").write_text("{")


def leave_out(_: str) -> None:
    """Install nothing."""


DAMAGES: list[tuple[Callable[[str], None], str]] = [
    (leave_out, "are not installed"),
    (cut_short, "bytes instead of"),
    (misshape, "is missing"),
    (lose, "the file is gone"),
    (damage_notes, "what is noted about them can't be read"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_auto_goes_on_without_broken_weights_and_says_what_ails_them(
    damage: Callable[[str], None], words: str
) -> None:
    for name in ("fba", COMPACT):
        damage(name)
    engines = loading.load_engines(Options())
    assert engines.matter.name == "fba-compact"
    assert (engines.segmenter, engines.segmenter_name) == (None, "grabcut")
    told = {(fallback.wanted, fallback.used): fallback.why for fallback in engines.fallbacks}
    assert told.keys() == {("fba", "fba-compact"), (COMPACT, "grabcut")}
    for (wanted, _), why in told.items():
        assert words in why
        assert ("not installed" in why) == (damage is leave_out)
        assert "smart-matte weights " in why
        assert wanted in why


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
@pytest.mark.parametrize("choice", [{"matter": "fba"}, {"segmenter": COMPACT}])
def test_broken_weights_of_a_named_model_are_an_error(
    choice: dict[str, str], damage: Callable[[str], None], words: str
) -> None:
    for name in ("fba", COMPACT):
        damage(name)
    with pytest.raises(WeightsError, match=words) as caught:
        loading.load_engines(Options(**choice))
    assert caught.value.exit_code == 6


def test_a_weights_folder_that_cannot_be_read_does_not_stop_auto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", "/" + "long" * 100)  # the system refuses such names
    assert loading.load_engines(Options()).matter.name == "closed-form"


def test_auto_takes_what_works_and_has_nothing_to_say_about_it() -> None:
    install(COMPACT, compact_weights())
    engines = loading.load_engines(Options(matter="closed-form"))
    assert engines.segmenter_name == COMPACT
    assert engines.fallbacks == ()


def classifier_bias(engines: Engines) -> float:
    """A number that tells one set of compact weights from another."""
    return engines.segmenter.network._module.classifier.bias[0].item()


def test_a_model_is_loaded_once_until_its_weights_are_replaced() -> None:
    options = Options(matter="closed-form")
    install(COMPACT, compact_weights(0.25))
    first = loading.load_engines(options)
    assert loading.load_engines(options).segmenter is first.segmenter
    assert classifier_bias(first) == 0.25

    install(COMPACT, compact_weights(0.75))
    assert classifier_bias(loading.load_engines(options)) == 0.75


def test_a_model_is_loaded_from_the_folder_that_is_named_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(matter="closed-form")
    install(COMPACT, compact_weights(0.25))
    assert classifier_bias(loading.load_engines(options)) == 0.25
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path / "another"))
    assert loading.load_engines(options).segmenter is None
    install(COMPACT, compact_weights(0.75))
    assert classifier_bias(loading.load_engines(options)) == 0.75


def test_a_model_that_is_kept_in_memory_needs_its_file_all_the_same() -> None:
    install(COMPACT, compact_weights())
    options = Options(matter="closed-form", segmenter=COMPACT)
    loading.load_engines(options)
    store.path_of(COMPACT).unlink()
    with pytest.raises(WeightsError, match="the file is gone"):
        loading.load_engines(options)


def test_unload_lets_go_of_every_model() -> None:
    install(COMPACT, compact_weights())
    options = Options(matter="closed-form")
    first = loading.load_engines(options)
    loading.unload()
    again = loading.load_engines(options)
    assert again.matter is not first.matter
    assert again.segmenter is not first.segmenter


@pytest.mark.parametrize("name", ["magic", COMPACT])
def test_no_matting_model_stands_in_for_another(name: str) -> None:
    install(COMPACT, compact_weights())
    with pytest.raises(OptionError, match=f"no matting model “{name}”; choose one of: fba"):
        loading.load_matter(name, "cpu", ())


def test_no_segmenter_stands_in_for_another() -> None:
    install("fba", {"weight": torch.zeros(3)})
    with pytest.raises(OptionError, match="no segmenter “fba”; choose one of: deeplabv3"):
        loading.load_segmenter("fba", "cpu", ())


def test_every_name_has_a_builder_and_every_entry_a_check() -> None:
    assert set(MATTERS) == {*loading.MATTER_BUILDERS, "closed-form"}
    for entry in weights.entries():
        with pytest.raises(WeightsError, match=f"not the weights of {entry.name}: .* is missing"):
            loading.check_weights(entry.name, {})
    assert {entry.name for entry in weights.entries()} == {
        *loading.MATTER_BUILDERS,
        *NETWORK_SEGMENTERS,
    }


def tensors_of(name: str) -> dict[str, torch.Tensor]:
    """Zeros with the names and shapes of a network's tensors."""
    with torch.device("meta"):
        if name == "fba":
            module: torch.nn.Module = FBA()
        elif name == COMPACT:
            module = DeepLabV3MobileNetV2()
        else:
            module = TorchvisionDeepLabV3(name).network
    return {key: torch.zeros_like(t, device="cpu") for key, t in module.state_dict().items()}


@pytest.mark.parametrize("name", ["fba", COMPACT, "deeplabv3-mobilenet"])
def test_a_networks_own_tensors_pass_and_others_are_named_in_one_sentence(name: str) -> None:
    state_dict = tensors_of(name)
    loading.check_weights(name, state_dict)
    key = list(state_dict)[3]
    shape = tuple(state_dict[key].shape)
    for wrong, words in (
        ({key: None}, f"{key} is missing"),
        ({key: torch.zeros(2, 7)}, f"{key} should be {shape} but is (2, 7)"),
        ({key: torch.zeros(shape, dtype=torch.int64)}, f"{key} should hold floating-point numbers"),
        ({"head.weight": torch.zeros(1)}, "they hold head.weight"),
    ):
        damaged = {k: t for k, t in {**state_dict, **wrong}.items() if t is not None}
        with pytest.raises(WeightsError) as caught:
            loading.check_weights(name, damaged)
        sentence = str(caught.value)
        assert sentence.startswith(f"These are not the weights of {name}: {words}")
        assert sentence.endswith(f"smart-matte weights fetch {name}")


def test_counters_of_training_may_be_anything() -> None:
    state_dict = tensors_of("deeplabv3-mobilenet")
    key = next(key for key in state_dict if key.endswith("num_batches_tracked"))
    loading.check_weights("deeplabv3-mobilenet", {**state_dict, key: torch.zeros(3)})

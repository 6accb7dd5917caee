"""What the GIMP plug-in sends: which pixels of which layer, with which hint and options."""

from collections.abc import Iterator

import numpy as np
import pytest
from backends import FAKE, running
from colours import ADOBE_GAMMA, srgb_coded, srgb_decoded, srgb_from_adobe
from gimp_plug_in import Batch, Case, gimp_for_a_module, pixels, run_cases
from programs import Editors

KINDS = ["kind RGB", "kind RGBA", "kind GRAY", "kind GRAYA"]
INDEXED = ["kind INDEXED", "kind INDEXEDA"]
OFFSETS = {
    "negative offset": (-7, -5),
    "partly off the canvas": (35, 25),
    "inside the canvas": (9, 4),
}
REFUSED = {
    "several layers": "Smart Matte works on one layer: choose a single layer and try again.",
    "no layer": "Smart Matte works on one layer: choose a single layer and try again.",
    "channel": "Smart Matte works on layers: choose a layer and try again.",
    "selection outside": (
        "The selection lies outside the layer: draw it over the subject and try again."
    ),
    "trimap without its layer": (
        "The layer that this trimap belongs to is gone: choose the layer to cut out."
    ),
}
RAMP = np.arange(256, dtype=np.uint8)[None].repeat(6, axis=0).reshape(32, 48)
"""A trimap painted with every grey, (H, W)."""


@pytest.fixture(scope="module")
def batch(editors: Editors) -> Iterator[Batch]:
    with running(FAKE) as backend, gimp_for_a_module(editors) as gimp:
        yield run_cases(gimp, "input_cases", backend)


@pytest.fixture
def case(batch: Batch, request: pytest.FixtureRequest) -> Case:
    return batch.cases[request.param]


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", names, indirect=True)


def three_levels(greys: np.ndarray) -> np.ndarray:
    return np.select([greys < 64, greys >= 192], [0, 255], 128).astype(np.uint8)


def on_canvas(image: np.ndarray, layer: dict) -> np.ndarray:
    """The part of a canvas-sized plane (H, W) that a layer covers; 0 beyond the canvas."""
    (x, y), (width, height) = layer["at"], layer["size"]
    wide = np.pad(image, 100)
    return wide[100 + y : 100 + y + height, 100 + x : 100 + x + width]


@each(*KINDS, "srgb profile", "off the canvas", "partly off the canvas", "negative offset")
def test_8_bit_layers_are_sent_whole_and_as_they_are(case: Case):
    assert (case.status, case.problem) == ("success", None)
    np.testing.assert_array_equal(case.job.pixels["image"], pixels(case.layer_before()))


@each(*KINDS, *INDEXED)
def test_the_foreground_comes_without_opacity_in_the_order_that_was_sent(case: Case):
    assert case.status == "success"
    order = case.job.planes["image"]["order"]
    assert order == case.facts["name"].split()[1].replace("INDEXED", "RGB")
    assert case.job.outputs["foreground"]["order"] == order.removesuffix("A")


@each(*INDEXED)
def test_indexed_layers_are_sent_as_the_colours_of_their_palette(case: Case):
    layer, sent = pixels(case.layer_before()), case.job.pixels["image"]
    number = layer[..., 0].astype(float)
    palette = srgb_coded(np.stack([number / 15, (15 - number) / 15, number % 4 / 3], axis=-1))
    np.testing.assert_allclose(sent[..., :3], palette * 255, atol=0.51)
    if sent.shape[2] == 4:
        np.testing.assert_array_equal(sent[..., 3], layer[..., 1])


@each("adobe U8_NON_LINEAR", "adobe FLOAT_LINEAR")
def test_an_own_profile_is_sent_as_srgb_in_float_with_what_srgb_cannot_hold(case: Case):
    layer, sent = case.layer_before(), case.job.pixels["image"]
    assert case.job.planes["image"]["sample"] == "f32"
    own = pixels(layer).astype(np.float64)
    if layer["type"] == "u8":
        own = own / 255
        own[..., :3] **= ADOBE_GAMMA
    expected = srgb_coded(srgb_from_adobe(own[..., :3]))
    lit = (expected > 0.1).all(axis=-1)
    np.testing.assert_allclose(sent[lit][:, :3], expected[lit], atol=2e-3)
    np.testing.assert_allclose(srgb_decoded(sent[..., :3]), srgb_decoded(expected), atol=2e-3)
    np.testing.assert_allclose(sent[..., 3], own[..., 3], atol=1e-6)
    assert sent[..., :3].min() < -0.05
    assert sent[..., :3].max() > 1.01


def test_a_gray_profile_is_sent_in_float(batch: Batch):
    case = batch.cases["gray profile"]
    assert case.status == "success"
    assert case.job.planes["image"]["sample"] == "f32"
    assert case.layer("subject cut out")["space"] == case.layer_before()["space"]


@each("kind RGB", "off the canvas")
def test_without_a_selection_no_hint_is_sent(case: Case):
    assert list(case.job.planes) == ["image"]


@each(*OFFSETS)
def test_a_feathered_selection_is_sent_where_the_layer_lies(case: Case):
    layer = case.layer_before()
    assert tuple(layer["at"]) == OFFSETS[case.facts["name"]]
    selection = pixels(case.before["selection"])[..., 0]
    assert len(np.unique(selection)) > 100
    hint = case.job.pixels["selection"][..., 0]
    np.testing.assert_array_equal(hint, on_canvas(selection, layer))


def test_only_the_region_that_matters_is_read_and_sent(batch: Batch):
    job, layer = batch.cases["region"].job, batch.cases["region"].layer_before()
    region = (slice(0, 164), slice(6, 194))  # 64 px around, as far as there is layer
    np.testing.assert_array_equal(job.pixels["image"], pixels(layer)[region])
    selection = np.zeros((164, 188), np.uint8)
    selection[60:100, 64:124] = 255
    np.testing.assert_array_equal(job.pixels["selection"][..., 0], selection)


@each("mask as hint", "mask is active")
def test_without_a_selection_the_layers_own_mask_is_the_hint(case: Case):
    assert case.status == "success"
    layer = case.layer_before()
    np.testing.assert_array_equal(case.job.pixels["image"], pixels(layer))
    np.testing.assert_array_equal(case.job.pixels["selection"], pixels(layer["mask"]))


def test_a_selection_counts_more_than_the_layers_own_mask(batch: Batch):
    case = batch.cases["mask and selection"]
    np.testing.assert_array_equal(case.job.pixels["selection"], pixels(case.before["selection"]))


def test_a_saved_selection_keeps_its_levels_when_its_file_is_opened_again(batch: Batch):
    case = batch.cases["selection from a file"]
    levels = case.facts["levels"]
    assert len(set(levels)) > 50
    assert list(case.job.pixels["selection"].ravel()) == levels


def test_a_group_is_sent_as_it_looks(batch: Batch):
    case = batch.cases["group"]
    group = case.layer_before("group")
    assert (group["at"], group["size"]) == ([5, 3], [30, 17])
    np.testing.assert_array_equal(case.job.pixels["image"], pixels(group))
    assert case.job.planes["image"]["order"] == "RGBA"
    assert case.names == ["group cut out", "group", "two", "one", "below"]


def test_a_text_layer_is_sent_as_it_looks_and_stays_text(batch: Batch):
    case = batch.cases["text"]
    assert case.status == "success"
    text = case.layer_before("Hair")
    assert text["is_text"]
    assert pixels(text)[..., 3].any()
    np.testing.assert_array_equal(case.job.pixels["image"], pixels(text))
    assert case.layer("Hair")["is_text"]
    assert not case.layer("Hair")["is_visible"]
    assert case.layer("Hair")["pixels"] == text["pixels"]
    new = case.layer("Hair cut out")
    assert not new["is_text"]
    assert new["at"] == text["at"]


@each("trimap argument U8_NON_LINEAR", "trimap argument FLOAT_LINEAR")
def test_a_painted_trimap_is_sent_whole_in_three_levels_instead_of_the_selection(case: Case):
    assert list(case.job.planes) == ["image", "trimap"]
    np.testing.assert_array_equal(case.job.pixels["trimap"][..., 0], three_levels(RAMP))


def test_a_painted_trimap_is_sent_where_the_layer_lies(batch: Batch):
    case = batch.cases["trimap elsewhere"]
    expected = on_canvas(three_levels(RAMP), case.layer_before())
    np.testing.assert_array_equal(case.job.pixels["trimap"][..., 0], expected)


def test_a_run_on_a_repainted_trimap_layer_cuts_its_original_out(batch: Batch):
    case = batch.cases["trimap repainted"]
    assert case.status == "success"
    np.testing.assert_array_equal(case.job.pixels["trimap"][..., 0], three_levels(RAMP))
    np.testing.assert_array_equal(case.job.pixels["image"], pixels(case.layer_before()))
    assert case.names == ["subject trimap", "subject cut out", "subject"]
    visible = {layer["name"]: layer["is_visible"] for layer in case.after["layers"]}
    assert visible == {"subject trimap": False, "subject cut out": True, "subject": False}


@each(*REFUSED)
def test_what_cannot_be_done_is_refused_with_a_sentence(case: Case):
    assert case.status == "calling-error"
    assert case.problem == REFUSED[case.facts["name"]]
    assert case.job is None


@each(*REFUSED)
def test_what_is_refused_changes_nothing(case: Case):
    for name in ("layers", "channels", "selected"):
        assert case.after[name] == case.before[name]


def test_by_default_the_backend_decides_everything_but_the_layers_own_opacity(batch: Batch):
    job = batch.cases["kind RGB"].job
    assert job.options == {"own_alpha": False}
    assert list(job.outputs) == ["alpha", "foreground", "trimap"]


def test_every_argument_reaches_the_backend(batch: Batch):
    case = batch.cases["all arguments"]
    assert (case.status, case.problem) == ("success", None)
    assert case.job.options == {
        "own_alpha": False,
        "outer_radius_px": 12.5,
        "shift_edge": -20.0,
        "decontaminate": 40.0,
        "matter": "closed-form",
        "segmenter": "grabcut",
        "classes": ["cat", "dog"],
        "device": "cpu",
        "trimap": "probability",
        "inner_radius_px": 3.0,
        "low_probability": 0.2,
        "high_probability": 0.8,
        "holes": False,
    }
    assert list(case.job.outputs) == ["alpha"]
    assert case.layer("subject")["is_visible"]


def test_no_traceback_is_on_stderr(batch: Batch):
    said = [line for line in batch.stderr.splitlines() if "GIMP-Error: Calling error" not in line]
    assert [line for line in said if line not in REFUSED.values()] == []

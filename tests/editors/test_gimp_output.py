"""What the GIMP plug-in makes of an answer: layers, masks, selections, trimaps, to the bit."""

from collections.abc import Iterator

import numpy as np
import pytest
from backends import FAKE, running
from colours import ADOBE_GAMMA, adobe_from_srgb, srgb_coded, srgb_decoded
from editor_worker import pattern
from gimp_plug_in import Batch, Case, gimp_for_a_module, pixels, run_cases
from programs import Editors

TYPES = ("U8", "U16", "U32", "HALF", "FLOAT", "DOUBLE")
RGB = [f"RGBA {name}_{curve}" for name in TYPES for curve in ("LINEAR", "NON_LINEAR")]
GRAY = [
    f"{kind} {name}_NON_LINEAR" for kind, name in zip(("GRAY", "GRAYA") * 3, TYPES, strict=True)
]
MORE = ["RGB U8_PERCEPTUAL", "GRAYA FLOAT_LINEAR"]
INDEXED = ["INDEXED U8_NON_LINEAR", "INDEXEDA U8_NON_LINEAR"]
PRECISIONS = [*RGB, *GRAY, *MORE, *INDEXED]
ADOBE = ["adobe U8_NON_LINEAR", "adobe FLOAT_NON_LINEAR"]
RESULT = "subject cut out"

LARGEST = {"u8": 255, "u16": 65535, "u32": 2**32 - 1}
CLOSE = {"u8": 1 / 255, "u16": 1 / 65535, "u32": 2e-6, "half": 1e-3, "float": 2e-6, "double": 2e-6}
"""Of colours that went by way of linear light or float, in shares of white."""

ADOBE_CLOSE = 6e-4
"""The profile's own numbers are rounded."""


@pytest.fixture(scope="module")
def batch(editors: Editors) -> Iterator[Batch]:
    with running(FAKE) as backend, gimp_for_a_module(editors) as gimp:
        backend.order(foreground="pattern")
        yield run_cases(gimp, "output_cases", backend, cases=PRECISIONS)


@pytest.fixture
def case(batch: Batch, request: pytest.FixtureRequest) -> Case:
    return batch.cases[request.param]


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", names, indirect=True)


def shares(values: np.ndarray, kind: str) -> np.ndarray:
    """As float64, white at 1."""
    return values.astype(np.float64) / LARGEST.get(kind, 1)


def is_adobe(case: Case) -> bool:
    return "Adobe" in (case.after["profile"] or "")


def is_known(height: int, width: int) -> np.ndarray:
    return pattern("trimap", width, height) != 128


def exact_alpha(case: Case, kind: str) -> np.ndarray:
    """The backend's alpha (H, W) as a mask of that type holds it."""
    width, height = case.job.planes["image"]["width"], case.job.planes["image"]["height"]
    levels = pattern("alpha", width, height)
    if kind in {"u8", "u16"}:
        return levels.astype(np.uint32) * (LARGEST[kind] // 255)
    return levels.astype(np.float32) / np.float32(255)


def check_mask(mask: dict, case: Case) -> None:
    found, expected = pixels(mask)[..., 0], exact_alpha(case, mask["type"])
    if mask["type"] in {"u32", "double"}:  # more than a float has, which is what is sent
        np.testing.assert_allclose(shares(found, mask["type"]), expected, atol=2**-23, rtol=0)
    else:
        np.testing.assert_array_equal(found, expected.astype(found.dtype))


def without(layer: dict, *names: str) -> dict:
    return {name: value for name, value in layer.items() if name not in names}


@each(*PRECISIONS, *ADOBE, "region layer", "place", "group")
def test_the_run_succeeds_with_a_new_layer_above_its_original(case: Case):
    assert (case.status, case.problem) == ("success", None)
    assert case.names[case.names.index(RESULT) + 1] == "subject"
    assert case.after["selected"] == [RESULT]


@each(*PRECISIONS, *ADOBE)
def test_known_pixels_keep_every_bit_in_the_layers_own_format(case: Case):
    new, old = case.layer(RESULT), case.layer_before()
    assert (new["format"], new["space"]) == (old["format"], old["space"])
    known = is_known(32, 48)
    assert pixels(new)[known].tobytes() == pixels(old)[known].tobytes()


@each(*PRECISIONS, *ADOBE)
def test_every_pixel_keeps_its_own_opacity(case: Case):
    new, old = pixels(case.layer(RESULT)), pixels(case.layer_before())
    assert new.shape == old.shape
    if old.shape[2] in {2, 4}:
        np.testing.assert_array_equal(new[..., -1], old[..., -1])


@each(*RGB, *GRAY, *MORE, *ADOBE)
def test_unknown_pixels_get_the_backends_colours(case: Case):
    new = case.layer(RESULT)
    found, encoding = shares(pixels(new), new["type"]), new["format"]
    colours = min(3, found.shape[2]) if found.shape[2] > 2 else 1
    expected = pattern("foreground", 48, 32)[..., :colours] / 255.0
    if is_adobe(case):
        expected = adobe_from_srgb(srgb_decoded(expected)).clip(0) ** (1 / ADOBE_GAMMA)
    elif "'" not in encoding and "~" not in encoding:
        expected = srgb_decoded(expected)
    limit = CLOSE[new["type"]]
    if is_adobe(case):
        limit = max(limit, ADOBE_CLOSE)
    elif "'" in encoding and new["type"] in {"u8", "u16"}:
        limit = 1e-12
    unknown = ~is_known(32, 48)
    assert np.abs(found[..., :colours] - expected)[unknown].max() <= limit


@each(*INDEXED)
def test_unknown_pixels_of_indexed_images_get_colours_of_the_palette(case: Case):
    new, old = pixels(case.layer(RESULT))[..., 0], pixels(case.layer_before())[..., 0]
    assert new.max() < 16
    assert (new != old)[~is_known(32, 48)].any()


@each(*PRECISIONS, *ADOBE)
def test_the_mask_holds_the_alpha_exactly(case: Case):
    check_mask(case.layer(RESULT)["mask"], case)


@each(*PRECISIONS, *ADOBE, "region layer", "group")
def test_the_original_is_untouched_but_hidden(case: Case):
    assert case.layer_before()["is_visible"]
    assert case.layer("subject") == case.layer_before() | {"is_visible": False}


@each(*RGB, *GRAY, *MORE)
def test_the_backend_gets_the_layer_as_srgb(case: Case):
    layer, sent = case.layer_before(), case.job.pixels["image"]
    plane = case.job.planes["image"]
    kind = layer["type"]
    assert plane["encoding"] == "srgb"
    expected = shares(pixels(layer), kind)
    if "'" in layer["format"] and kind in {"u8", "u16"}:
        np.testing.assert_array_equal(sent, pixels(layer))
        return
    colours = slice(0, expected.shape[2] - (expected.shape[2] in {2, 4}))
    if "'" not in layer["format"] and "~" not in layer["format"]:
        expected[..., colours] = srgb_coded(expected[..., colours])
    sample = {"u8": "u8", "u16": "u16", "f32": "float"}[plane["sample"]]
    limit = max(CLOSE[sample], 1e-4 if kind == "u8" else 2e-6)
    np.testing.assert_allclose(shares(sent, sample), expected, atol=limit, rtol=0)


def test_linear_integers_are_sent_finely_enough_to_tell_their_levels_apart(batch: Batch):
    samples = {
        name: batch.cases[f"RGBA {name}"].job.planes["image"]["sample"]
        for name in ("U8_LINEAR", "U16_LINEAR", "U8_NON_LINEAR", "U16_NON_LINEAR", "U32_LINEAR")
    }
    assert list(samples.values()) == ["u16", "f32", "u8", "u16", "f32"]


def test_outside_the_region_the_new_layer_is_the_original_behind_a_black_mask(batch: Batch):
    case = batch.cases["region layer"]
    new, old = pixels(case.layer(RESULT)), pixels(case.layer_before())
    mask = pixels(case.layer(RESULT)["mask"])[..., 0].copy()
    inside = (slice(0, 164), slice(6, 194))
    np.testing.assert_array_equal(mask[inside], exact_alpha(case, "u8"))
    mask[inside] = 0
    assert not mask.any()
    changed = (new != old).any(axis=-1)
    assert changed[inside].any()
    changed[inside] = False
    assert not changed.any()


def test_outside_the_region_a_mask_is_black(batch: Batch):
    case = batch.cases["region mask"]
    mask = pixels(case.layer("subject")["mask"])[..., 0]
    expected = np.zeros((200, 300), np.uint8)
    expected[0:164, 6:194] = exact_alpha(case, "u8")
    np.testing.assert_array_equal(mask, expected)


def test_the_new_layer_takes_place_parent_opacity_and_mode_of_the_original(batch: Batch):
    case = batch.cases["place"]
    assert case.names == ["group", "upper", RESULT, "subject", "lower", "bottom"]
    new, old = case.layer(RESULT), case.layer_before()
    for name in ("at", "size", "parent", "opacity", "mode"):
        assert new[name] == old[name], name
    assert (new["parent"], new["opacity"], new["mode"]) == ("group", 40.0, "multiply")


def test_the_original_stays_visible_where_that_is_asked_for(batch: Batch):
    assert batch.cases["place"].layer("subject") == batch.cases["place"].layer_before()


def test_a_group_becomes_a_plain_layer_above_it(batch: Batch):
    case = batch.cases["group"]
    assert case.names == [RESULT, "subject", "child"]
    new, group = case.layer(RESULT), case.layer_before()
    assert not new["is_group"]
    assert (new["at"], new["size"]) == (group["at"], group["size"])
    known = is_known(20, 30)
    assert pixels(new)[known].tobytes() == pixels(group)[known].tobytes()


@each("mask U8_NON_LINEAR", "mask U16_LINEAR", "mask FLOAT_LINEAR", "mask indexed", "mask replaced")
def test_a_mask_goes_onto_the_layer_itself_and_changes_nothing_else(case: Case):
    assert case.names == ["subject"]
    after = case.layer("subject")
    check_mask(after["mask"], case)
    assert without(after, "mask") == without(case.layer_before(), "mask")


def test_a_new_layer_leaves_the_originals_own_mask_alone(batch: Batch):
    case = batch.cases["mask stays on the original"]
    assert case.layer("subject")["mask"] == case.layer_before()["mask"]
    check_mask(case.layer(RESULT)["mask"], case)


@each("selection U8_NON_LINEAR", "selection FLOAT_LINEAR")
def test_a_selection_is_the_alpha_where_layer_and_canvas_meet(case: Case):
    assert (case.status, case.problem) == ("success", None)
    selection = case.after["selection"]
    expected = np.zeros((32, 48), pixels(selection).dtype)
    expected[8:28] = exact_alpha(case, selection["type"])[:, 5:53]
    np.testing.assert_array_equal(pixels(selection)[..., 0], expected)


@each("region selection", "selection U8_NON_LINEAR")
def test_a_selection_leaves_no_channel_and_no_change_of_layers(case: Case):
    assert case.after["channels"] == []
    assert case.after["layers"] == case.before["layers"]
    assert case.after["selected"] == case.before["selected"]


def test_a_selection_replaces_the_rough_one(batch: Batch):
    case = batch.cases["region selection"]
    expected = np.zeros((300, 400), np.uint8)
    expected[40:204, 56:244] = exact_alpha(case, "u8")
    np.testing.assert_array_equal(pixels(case.after["selection"])[..., 0], expected)


@each("trimap RGB", "trimap GRAY", "trimap linear", "trimap adobe", "region trimap")
def test_a_trimap_is_an_opaque_layer_to_paint_on_over_its_original(case: Case):
    assert case.names == ["subject trimap", "subject"]
    trimap, layer = case.layer("subject trimap"), case.layer_before()
    assert (trimap["at"], trimap["size"]) == (layer["at"], layer["size"])
    assert trimap["opacity"] == pytest.approx(60)
    assert trimap["mask"] is None
    assert trimap["channels"] in {1, 3}
    assert case.after["selected"] == ["subject trimap"]
    assert case.layer("subject") == layer


@each("trimap RGB", "trimap GRAY")
def test_a_trimap_is_black_grey_and_white(case: Case):
    found = pixels(case.layer("subject trimap"))
    np.testing.assert_array_equal(found, found[..., :1].repeat(found.shape[2], axis=2))
    np.testing.assert_array_equal(found[..., 0], pattern("trimap", 48, 32))


def test_a_trimap_of_a_linear_image_is_the_same_grey(batch: Batch):
    found = srgb_coded(pixels(batch.cases["trimap linear"].layer("subject trimap")))
    expected = np.repeat(pattern("trimap", 48, 32)[..., None] / 255, 3, axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nothing_but_gimps_noise_is_on_stderr(batch: Batch):
    assert batch.stderr == ""

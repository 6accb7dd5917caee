"""Where Krita's plug-in puts its results, in the real Krita: layers, masks, selections, undo."""

import base64
from typing import Any

import numpy as np
import pytest
from backends import EditorBackend
from editor_worker import pattern
from krita_plug_in import Hands, layer, noise, pixels
from programs import wait_for

SIZE = (160, 64)
SELECTED = (10, 10, 20, 20)
REGION = (94, 64)


def open_picture(hands: Hands) -> np.ndarray:
    picture = noise(*SIZE)
    hands.new_document(*SIZE, picture)
    hands.select(rectangle=SELECTED)
    return picture


def names(told: dict[str, Any]) -> list[str]:
    return [node["name"] for node in told["layers"] if node["type"] != "selectionmask"]


def layers(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in told["layers"] if node["type"] != "selectionmask"]


def alpha_in(width: int, height: int) -> np.ndarray:
    """The backend's alpha in a mask of some size; what wasn't sent is hidden."""
    expected = np.zeros((height, width), np.uint8)
    expected[: REGION[1], : REGION[0]] = pattern("alpha", *REGION)
    return expected


def assert_one_undo_step(hands: Hands, before: dict[str, Any]) -> None:
    """Undo gives what was there before; redo gives the result again, pixels and mask."""
    after = hands.tell()
    hands.trigger("edit_undo")
    assert layers(hands.tell()) == layers(before)
    hands.trigger("edit_redo")
    assert layers(hands.tell()) == layers(after)


def test_a_new_layer_with_mask_is_put_over_its_original_in_one_undo_step(hands: Hands):
    open_picture(hands)
    hands.add_layer("group", kind="grouplayer")
    hands.add_layer("below", noise(30, 30), (0, 0, 30, 30), parent="group")
    hands.add_layer("person", noise(*SIZE), (0, 0, *SIZE), parent="group")
    hands.add_layer("above", noise(20, 20), (0, 0, 20, 20), parent="group")
    hands.change("person", opacity=120, blendingMode="multiply")
    hands.activate("person")
    before = hands.tell()
    assert hands.run() == "Done; Ctrl+Z takes it back."
    after = hands.tell()
    group = layer(after, "group")["children"]
    assert [node["name"] for node in group] == ["above", "person cut out", "person", "below"]
    assert group[1]["opacity"] == 120
    assert group[1]["blending"] == "multiply"
    assert group[1]["visible"]
    assert [child["type"] for child in group[1]["children"]] == ["transparencymask"]
    assert group[2:] == layer(before, "group")["children"][1:]
    assert after["active"] == "person cut out"
    assert after["modified"]
    assert after["selection"] == before["selection"]
    assert_one_undo_step(hands, before)


@pytest.mark.parametrize(
    ("output", "steps"),
    # A selection is a step from Krita 5.3 on. A trimap's other colours are a step before, without
    # any effect: Krita counts it, no user sees it.
    [("layer", {1}), ("mask", {1}), ("selection", {0, 1}), ("trimap", {2})],
)
def test_the_undo_step_is_the_only_one(hands: Hands, output: str, steps: set[int]):
    open_picture(hands)
    before = hands.undo_steps()
    hands.run(output=output)
    assert hands.undo_steps() - before in steps


def test_a_mask_on_the_layer_itself_leaves_its_pixels_alone(hands: Hands):
    picture = open_picture(hands)
    before = hands.tell()
    assert hands.run(output="mask") == "Done; Ctrl+Z takes it back."
    after = hands.tell()
    assert names(after) == ["subject"]
    subject = layer(after, "subject")
    np.testing.assert_array_equal(pixels(subject), picture)
    (mask,) = subject["children"]
    np.testing.assert_array_equal(pixels(mask)[..., 0], alpha_in(*SIZE))
    assert mask["visible"]
    assert after["modified"]
    assert_one_undo_step(hands, before)


def test_a_mask_takes_the_place_of_the_one_that_was_there(hands: Hands):
    open_picture(hands)
    hands.add_mask("subject", noise(*SIZE)[..., 0], (0, 0, *SIZE), name="old")
    before = hands.tell()
    assert hands.run(output="mask") == "Done; Ctrl+Z, 2 times, takes it back."
    (mask,) = layer(hands.tell(), "subject")["children"]
    assert mask["name"] == "Smart Matte"
    hands.trigger("edit_undo", 2)
    assert layers(hands.tell()) == layers(before)


@pytest.mark.parametrize("change", ["locked", "animated"])
def test_a_mask_on_a_layer_that_cannot_have_one_is_refused(
    hands: Hands, answering: EditorBackend, change: str
):
    open_picture(hands)
    if change == "locked":
        hands.change("subject", locked=True)
    else:
        hands.animate("subject")
        hands.activate("subject")
    jobs = len(answering.seen())
    before = hands.tell()
    assert hands.run(output="mask").endswith("choose “New layer with mask”.")
    assert len(answering.seen()) == jobs
    assert hands.tell() == before


def test_a_selection_is_the_alpha(hands: Hands):
    open_picture(hands)
    before = hands.tell()
    assert hands.run(output="selection") == "Done."
    after = hands.tell()
    assert layers(after) == layers(before)
    canvas = np.frombuffer(base64.b64decode(after["selection"]["canvas"]), np.uint8)
    np.testing.assert_array_equal(canvas.reshape(SIZE[1], SIZE[0]), alpha_in(*SIZE))
    assert after["modified"]


def test_a_trimap_layer_can_be_repainted_and_run_again(hands: Hands, answering: EditorBackend):
    picture = open_picture(hands)
    before = hands.tell()
    assert hands.run(output="trimap") == "Done; Ctrl+Z takes it back."
    after = hands.tell()
    assert names(after) == ["subject trimap", "subject"]
    trimap = layer(after, "subject trimap")
    assert trimap["at"] == [0, 0, *SIZE]
    expected = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    expected[: REGION[1], : REGION[0]] = pattern("trimap", *REGION)
    np.testing.assert_array_equal(pixels(trimap)[..., 0], expected)
    np.testing.assert_array_equal(pixels(trimap)[..., 1], 255)
    assert trimap["opacity"] == 153
    assert after["active"] == "subject trimap"
    assert_one_undo_step(hands, before)

    greys = np.full((SIZE[1], SIZE[0], 2), 255, np.uint8)
    greys[..., 0] = np.arange(SIZE[0])  # all levels up to 159, and then some
    greys[10:20, :, 0] = 230
    greys[30:40, 50:60, 1] = 100  # half erased
    levels = np.where(greys[..., 0] < 64, 0, np.where(greys[..., 0] >= 192, 255, 128))
    levels[30:40, 50:60] = 128
    hands.paint("subject trimap", greys, (0, 0, *SIZE))
    hands.activate("subject trimap")
    assert hands.run().startswith("Done"), "the output is still a trimap layer, for other layers"
    jobs = answering.seen()
    assert [plane["role"] for plane in jobs[-1]["planes"]] == ["image", "trimap"]
    came = answering.came(len(jobs) - 1)
    assert came == picture.tobytes() + levels.astype(np.uint8).tobytes()
    after = hands.tell()
    assert names(after) == ["subject trimap", "subject cut out", "subject"]
    assert not layer(after, "subject trimap")["visible"]
    assert after["active"] == "subject cut out"

    hands.script(
        "hands.find('subject trimap').setColorSpace('RGBA', 'U16', 'sRGB-elle-V2-srgbtrc.icc')"
    )
    hands.activate("subject trimap")
    assert hands.run().startswith("Done")
    jobs = answering.seen()
    assert answering.came(len(jobs) - 1) == came
    assert layer(hands.tell(), "subject trimap")["colours"][:2] == ["RGBA", "U16"]


def test_a_trimap_whose_layer_is_gone_says_so(hands: Hands):
    open_picture(hands)
    hands.run(output="trimap")
    hands.remove("subject")
    hands.activate("subject trimap")
    assert hands.run().startswith("The layer that this trimap belongs to is gone")


def test_options_reach_the_backend_by_its_names(hands: Hands, answering: EditorBackend):
    open_picture(hands)
    chosen = {"radius": 12, "shift_edge": -30, "decontaminate": 40}
    hands.run(**chosen, matter="closed-form", classes="cat, dog", holes=False)
    hands.choose(matter="auto", classes="", holes=True)
    assert answering.seen()[-1]["options"] == {
        "own_alpha": False,
        "outer_radius_px": 12,
        "shift_edge": -30,
        "decontaminate": 40,
        "matter": "closed-form",
        "classes": ["cat", "dog"],
        "holes": False,
    }


def test_only_one_of_two_documents_is_changed_and_it_need_not_be_in_front(
    hands: Hands, answering: EditorBackend
):
    hands.new_document(60, 40, noise(60, 40))
    hands.change("subject", name="other")
    other = hands.tell()
    open_picture(hands)
    answering.order(foreground="pattern", seconds=1)
    hands.begin()
    wait_for(answering.jobs_running, "the job runs")
    hands.show_document(0)
    assert hands.end().startswith("Done")
    assert hands.tell() == other
    hands.show_document(1)
    assert names(hands.tell()) == ["subject cut out", "subject"]

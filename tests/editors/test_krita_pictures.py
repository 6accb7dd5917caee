"""What Krita's plug-in takes as a picture, in the real Krita: colours, layers, selections."""

import base64
from pathlib import Path

import numpy as np
import pytest
from backends import EditorBackend
from editor_worker import colours_of, pattern, samples
from krita_plug_in import TYPES, Hands, bits, layer, noise, pixels

SIZE = (160, 64)
SELECTED = (10, 10, 20, 20)
REGION = (0, 0, 94, 64)
"""The selection and 64 pixels around it, as far as the layer goes."""

COLOURS = [
    ("RGBA", "U8", "", "BGRA", "srgb"),
    ("RGBA", "U8", "sRGB-elle-V2-g10.icc", "BGRA", "linear"),
    ("RGBA", "U16", "", "BGRA", "linear"),  # Krita's own default
    ("RGBA", "U16", "sRGB-elle-V2-srgbtrc.icc", "BGRA", "srgb"),
    ("RGBA", "F16", "", "RGBA", "linear"),
    ("RGBA", "F32", "", "RGBA", "linear"),
    ("RGBA", "F32", "sRGB-elle-V2-srgbtrc.icc", "RGBA", "srgb"),
    ("GRAYA", "U8", "", "GRAYA", "srgb"),
    ("GRAYA", "U16", "", "GRAYA", "linear"),
    ("GRAYA", "U16", "Gray-D50-elle-V2-srgbtrc.icc", "GRAYA", "srgb"),
    ("GRAYA", "F16", "", "GRAYA", "linear"),
    ("GRAYA", "F32", "", "GRAYA", "linear"),
]


def open_picture(hands: Hands, *, selected: tuple[int, ...] | None = SELECTED) -> np.ndarray:
    picture = noise(*SIZE)
    hands.new_document(*SIZE, picture)
    if selected:
        hands.select(rectangle=selected)
    return picture


def sent(backend: EditorBackend) -> tuple[list[dict], bytes]:
    """The planes of the last job and their pixels."""
    jobs = backend.seen()
    return jobs[-1]["planes"], backend.came(len(jobs) - 1)


def merged(picture: np.ndarray, region: tuple[int, ...], order: str) -> np.ndarray:
    """What a new layer has to hold: computed colours where the trimap is unknown."""
    x, y, width, height = region
    name = next(name for name, kind in TYPES.items() if picture.dtype == kind).lower()
    computed = np.frombuffer(samples(colours_of(order, width, height), name), picture.dtype)
    computed = computed.reshape(height, width, -1)
    unknown = pattern("trimap", width, height) == 128
    result = picture.copy()
    part = result[y : y + height, x : x + width, :-1]
    part[unknown] = computed[..., :-1][unknown]
    return result


@pytest.mark.parametrize(("model", "depth", "profile", "order", "encoding"), COLOURS)
def test_every_kind_of_colours_is_sent_as_it_is_and_known_pixels_come_back_bit_by_bit(
    hands: Hands,
    answering: EditorBackend,
    *,
    model: str,
    depth: str,
    profile: str,
    order: str,
    encoding: str,
):
    picture = noise(*SIZE, model, depth)
    profile = hands.new_document(*SIZE, picture, model=model, depth=depth, profile=profile)
    hands.select(rectangle=SELECTED)
    before = hands.tell()

    assert hands.run().startswith("Done")

    planes, came = sent(answering)
    assert planes[0] == {
        "role": "image",
        "width": REGION[2],
        "height": REGION[3],
        "order": order,
        "sample": depth.lower(),
        "encoding": encoding,
    }, profile
    image = picture[: REGION[3], : REGION[2]]
    assert came[: image.nbytes] == image.tobytes()
    after = hands.tell()
    assert layer(after, "subject") == layer(before, "subject")
    result = layer(after, "subject cut out")
    assert result["colours"] == [model, depth, profile]
    assert result["at"] == [0, 0, *SIZE]
    np.testing.assert_array_equal(bits(pixels(result)), bits(merged(picture, REGION, order)))
    (mask,) = result["children"]
    expected = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    expected[: REGION[3], : REGION[2]] = pattern("alpha", REGION[2], REGION[3])
    np.testing.assert_array_equal(pixels(mask)[..., 0], expected)


@pytest.mark.parametrize(
    ("model", "depth", "said"), [("CMYKA", "U8", "CMYK"), ("LABA", "U16", "LAB")]
)
def test_other_colour_models_are_refused_with_what_to_do(
    hands: Hands, answering: EditorBackend, model: str, depth: str, said: str
):
    hands.new_document(40, 30, model=model, depth=depth)
    before, jobs = hands.tell(), len(answering.seen())
    message = hands.run()
    assert f"this one is {said}: choose Layer > Convert > Convert Layer Color Space" in message
    assert len(answering.seen()) == jobs
    assert hands.tell() == before


@pytest.mark.parametrize("kind", ["grouplayer", "vectorlayer", "clonelayer", "filllayer"])
def test_what_is_no_paint_layer_is_taken_as_it_looks(
    hands: Hands, answering: EditorBackend, kind: str
):
    open_picture(hands, selected=None)
    hands.add_layer("other", kind=kind)
    if kind == "grouplayer":
        hands.add_layer("within", noise(50, 40), (20, 12, 50, 40), parent="other")
        hands.activate("other")
    before = layer(hands.tell(), "other")
    look = base64.b64decode(hands.projection("other", *before["at"]))
    assert hands.run().startswith("Done")
    planes, came = sent(answering)
    assert [planes[0]["width"], planes[0]["height"]] == before["at"][2:]
    assert came == look
    result = layer(hands.tell(), "other cut out")
    assert result["type"] == "paintlayer"
    assert result["at"] == before["at"]
    picture = np.frombuffer(look, np.uint8).reshape(*before["at"][:1:-1], 4)
    expected = merged(picture, (0, 0, *before["at"][2:]), "BGRA")
    np.testing.assert_array_equal(pixels(result), expected)
    assert layer(hands.tell(), "other") == before


def test_a_file_layer_is_taken_as_it_looks(
    hands: Hands, answering: EditorBackend, checkout_pictures: Path
):
    open_picture(hands, selected=None)
    hands.add_file_layer("photo", str(checkout_pictures))
    before = layer(hands.tell(), "photo")
    assert before["type"] == "filelayer"
    look = base64.b64decode(hands.projection("photo", *before["at"]))
    assert hands.run().startswith("Done")
    assert sent(answering)[1] == look
    assert layer(hands.tell(), "photo cut out")["at"] == before["at"]


@pytest.fixture
def checkout_pictures(hands: Hands) -> Path:
    """A picture file that Krita can see."""
    path = hands.home / "tmp" / "photo.ppm"
    path.write_bytes(b"P6 48 32 255\n" + noise(48, 32)[..., :3].tobytes())
    return path


def test_a_layer_beyond_the_canvas_is_taken_whole(hands: Hands, answering: EditorBackend):
    open_picture(hands, selected=None)
    picture = noise(70, 50) | np.uint8([0, 0, 0, 1])  # nothing transparent: Krita trims that
    hands.add_layer("offset", picture, (-30, -20, 70, 50))
    hands.move("offset", 5, 3)
    assert layer(hands.tell(), "offset")["at"] == [-25, -17, 70, 50]
    assert hands.run().startswith("Done")
    assert sent(answering)[1] == picture.tobytes()
    result = layer(hands.tell(), "offset cut out")
    assert result["at"] == [-25, -17, 70, 50]
    np.testing.assert_array_equal(pixels(result), merged(picture, (0, 0, 70, 50), "BGRA"))
    np.testing.assert_array_equal(pixels(result["children"][0])[..., 0], pattern("alpha", 70, 50))


def test_a_layer_with_a_filter_mask_is_taken_as_it_looks(hands: Hands, answering: EditorBackend):
    picture = open_picture(hands)
    hands.script(
        """
        document = krita.activeDocument()
        mask = document.createFilterMask("inverted", krita.filter("invert"), hands.find("subject"))
        hands.find("subject").addChildNode(mask, None)
        hands.settle(document)
        document.setActiveNode(hands.find("subject"))
        """
    )
    look = base64.b64decode(hands.projection("subject", *REGION))
    assert look != picture[: REGION[3], : REGION[2]].tobytes()
    assert hands.run().startswith("Done")
    assert sent(answering)[1].startswith(look)


def test_an_empty_layer_is_refused(hands: Hands):
    open_picture(hands)
    hands.add_layer("nothing")
    assert hands.run() == "The layer is empty: choose the layer with the subject."


def test_without_a_document_there_is_a_sentence(hands: Hands):
    assert hands.run() == "Open a picture and choose a layer to cut out."


def test_without_a_selection_the_backend_is_asked_all_the_same(
    hands: Hands, answering: EditorBackend
):
    picture = open_picture(hands, selected=None)
    assert hands.run().startswith("Done")
    planes, came = sent(answering)
    assert [plane["role"] for plane in planes] == ["image"]
    assert came == picture.tobytes()


def test_a_soft_selection_goes_level_by_level(hands: Hands, answering: EditorBackend):
    picture = open_picture(hands, selected=None)
    levels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    levels[5:50, 20:100] = noise(80, 45)[..., 0]
    levels[5, 20] = levels[49, 99] = 255
    hands.select(levels, (0, 0, *SIZE))
    assert hands.run().startswith("Done")
    planes, came = sent(answering)
    assert planes[1]["role"] == "selection"
    assert planes[1]["width"] == SIZE[0]  # 64 pixels to either side
    assert came == picture.tobytes() + levels.tobytes()


def test_a_selection_beside_the_layer_is_refused(hands: Hands, answering: EditorBackend):
    open_picture(hands, selected=None)
    hands.add_layer("small", noise(30, 30), (100, 10, 30, 30))
    hands.select(rectangle=(10, 10, 40, 40))
    jobs = len(answering.seen())
    assert hands.run().startswith("The selection lies outside the layer: draw it over")
    assert len(answering.seen()) == jobs


def test_a_transparency_mask_is_the_hint_where_nothing_is_selected(
    hands: Hands, answering: EditorBackend
):
    picture = open_picture(hands, selected=None)
    levels = noise(*SIZE)[..., 1]
    hands.add_mask("subject", levels, (0, 0, *SIZE))
    assert hands.run().startswith("Done")
    assert sent(answering)[1] == picture.tobytes() + levels.tobytes()


def test_a_current_mask_stands_for_its_layer(hands: Hands, answering: EditorBackend):
    picture = open_picture(hands, selected=None)
    levels = noise(*SIZE)[..., 1]
    hands.add_mask("subject", levels, (0, 0, *SIZE), name="old")
    hands.activate("old")
    assert hands.run().startswith("Done")
    assert sent(answering)[1] == picture.tobytes() + levels.tobytes()
    assert layer(hands.tell(), "subject cut out")["children"][0]["name"] == "Smart Matte"


def test_several_chosen_layers_are_refused(hands: Hands):
    open_picture(hands)
    hands.add_layer("second", noise(20, 20), (0, 0, 20, 20))
    hands.trigger("select_all_layers")
    assert hands.run().startswith("Smart Matte works on one layer: choose a single layer")


def test_a_locked_a_hidden_and_an_animated_layer_can_be_cut_out(
    hands: Hands, answering: EditorBackend
):
    picture = open_picture(hands)
    hands.change("subject", locked=True, visible=False)
    assert hands.run().startswith("Done")
    assert sent(answering)[1].startswith(picture[: REGION[3], : REGION[2]].tobytes())
    hands.trigger("edit_undo")
    hands.animate("subject")
    hands.activate("subject")
    assert hands.run().startswith("Done")
    assert sent(answering)[1].startswith(picture[: REGION[3], : REGION[2]].tobytes())
    result = layer(hands.tell(), "subject cut out")
    assert result["visible"]

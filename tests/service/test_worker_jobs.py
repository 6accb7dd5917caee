"""Whole jobs with the real engine, compared with smart_matte.cutout to the last bit."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from worker_harness import Answer, Harness, image_plane, started

import smart_matte
from smart_matte import Cutout, Options
from smart_matte.service.planes import linear_from_srgb, srgb_from_linear
from smart_matte_link.messages import (
    Begin,
    Cancel,
    MessageType,
    Output,
    Refine,
    Unload,
    new_job_id,
)

WIDTH, HEIGHT = 64, 48
CHOSEN = {"matter": "closed-form", "segmenter": "grabcut", "outer_radius_px": 3}
OPTIONS = Options(matter="closed-form", segmenter="grabcut", outer_radius_px=3)
SCALE = {"u8": 255, "u16": 65535, "f16": 1, "f32": 1}
DTYPE = {"u8": "<u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}
WIRE_ORDER = {"GRAY": [0], "RGB": [0, 1, 2], "BGR": [2, 1, 0]}
WIRE_ORDER |= {"GRAYA": [0, 1], "RGBA": [0, 1, 2, 3], "BGRA": [2, 1, 0, 3]}


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A soft reddish disc before blue: RGB and rough selection, float32, [0, 1]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip((14 - np.hypot(x - 32, y - 24)) / 4 + 0.5, 0, 1)[..., None]
    noise = np.random.default_rng(7).normal(0, 0.3, (2, HEIGHT, WIDTH, 3)).astype(np.float32)
    smooth = [cv2.GaussianBlur(one, (0, 0), 4) for one in noise]
    image = alpha * ((0.8, 0.4, 0.2) + smooth[0]) + (1 - alpha) * ((0.2, 0.4, 0.7) + smooth[1])
    return np.clip(image, 0, 1).astype(np.float32), (alpha[..., 0] > 0.5).astype(np.float32)


IMAGE, SELECTION = scene()


def picture(order: str, sample: str) -> np.ndarray:
    """The scene as (H, W, C) in engine order: GRAY, GRAYA, RGB or RGBA."""
    channels = IMAGE.mean(axis=2, keepdims=True) if order.startswith("GRAY") else IMAGE
    if order.endswith("A"):
        opacity = np.linspace(0.5, 1, WIDTH, dtype=np.float32)
        opacity = np.broadcast_to(opacity[None, :, None], (HEIGHT, WIDTH, 1))
        channels = np.concatenate([channels, opacity], axis=2)
    scaled = channels * SCALE[sample]
    return (np.rint(scaled) if sample.startswith("u") else scaled).astype(DTYPE[sample])


def job(
    image: np.ndarray, order: str, *outputs: Output, encoding: str = "srgb", **fields: object
) -> tuple[Begin, bytes]:
    """A job with the wire's channel order, and an 8-bit selection."""
    wire = np.ascontiguousarray(image[..., WIRE_ORDER[order]])
    selection = (SELECTION * 255).astype(np.uint8)
    planes = (
        image_plane(wire, order, encoding=encoding),
        image_plane(selection, "GRAY", role="selection", encoding="coverage"),
    )
    begin = Begin(planes, outputs, **({"options": CHOSEN} | fields))  # type: ignore[arg-type]
    return begin, wire.tobytes() + selection.tobytes()


def expected_of(image: np.ndarray, options: Options = OPTIONS) -> Cutout:
    return smart_matte.cutout(image, (SELECTION * 255).astype(np.uint8), options)


def in_full_scale(values: np.ndarray, sample: str) -> np.ndarray:
    scaled = values * np.float32(SCALE[sample])
    return (np.rint(scaled) if sample.startswith("u") else scaled).astype(DTYPE[sample])


def foreground_of(answer: Answer, order: str) -> np.ndarray:
    """A result's foreground in engine order, without its opacity."""
    wire = answer.planes()["foreground"]
    return wire[..., [at for at in WIRE_ORDER[order] if at < 3]][..., : 1 if "GRAY" in order else 3]


@pytest.fixture(scope="module")
def worker() -> Iterator[Harness]:
    with started() as harness:
        yield harness


@pytest.mark.parametrize(
    ("order", "sample"),
    [
        *((order, "u8") for order in ("GRAY", "GRAYA", "RGB", "BGR", "RGBA", "BGRA")),
        *(("RGBA", sample) for sample in ("u16", "f16", "f32")),
        *(("BGRA", "u16"), ("GRAY", "f32")),
    ],
)
def test_a_job_gives_exactly_what_cutout_gives(worker: Harness, order: str, sample: str) -> None:
    image = picture(order, sample)
    wanted = (
        Output("alpha", "GRAY", "f32"),
        Output("foreground", order, sample),
        Output("trimap", "GRAY", "u8"),
    )
    answer = worker.run(*job(image, order, *wanted))
    expected = expected_of(image)
    planes = answer.planes()
    np.testing.assert_array_equal(planes["alpha"][..., 0], expected.alpha)
    own = expected.foreground.reshape(HEIGHT, WIDTH, -1)
    np.testing.assert_array_equal(foreground_of(answer, order), own)
    if order.endswith("A"):
        assert (planes["foreground"][..., -1] == SCALE[sample]).all()
    levels = np.select([expected.trimap == 0, expected.trimap == 1], [0, 255], 128)
    np.testing.assert_array_equal(planes["trimap"][..., 0], levels)
    assert answer.result.report["matter"] == "closed-form"


def test_alpha_comes_in_any_sample_type(worker: Harness) -> None:
    image = picture("RGB", "u8")
    source, expected = new_job_id(), expected_of(image).alpha
    worker.run(*job(image, "RGB", Output("alpha", "GRAY", "u8"), keep=True), source)
    for sample in SCALE:
        answer = worker.run(Refine(source.hex(), (Output("alpha", "GRAY", sample),)))
        found = answer.planes()["alpha"][..., 0]
        np.testing.assert_array_equal(found, in_full_scale(expected, sample), strict=True)


@pytest.mark.parametrize(
    ("order", "sample"),
    [
        *(("RGBA", sample) for sample in ("u8", "u16", "f16", "f32")),
        *(("BGRA", "u16"), ("GRAY", "u8"), ("GRAYA", "f32")),
    ],
)
def test_linear_light_is_computed_in_srgb_and_known_pixels_come_back_bit_exact(
    worker: Harness, order: str, sample: str
) -> None:
    image = picture(order, sample)
    count = 1 if order.startswith("GRAY") else 3
    if sample.startswith("f"):
        image[0, 0, :count] = 7.25  # beyond white, in the background
        image[24, 18, :count] = 1.5  # and at the edge
    wanted = Output("foreground", order, sample)
    found = foreground_of(worker.run(*job(image, order, wanted, encoding="linear")), order)
    coded = image.astype(np.float32) / np.float32(SCALE[sample])
    coded[..., :count] = srgb_from_linear(coded[..., :count])
    expected = expected_of(coded)
    is_unknown = expected.is_unknown
    np.testing.assert_array_equal(found[~is_unknown], image[..., :count][~is_unknown])
    own = expected.foreground.reshape(HEIGHT, WIDTH, count)[is_unknown]
    changed = in_full_scale(linear_from_srgb(own), sample)
    np.testing.assert_array_equal(found[is_unknown], changed)
    assert (found[is_unknown] != image[..., :count][is_unknown]).any()


def test_a_trimap_plane_is_believed_and_the_selection_is_not_looked_at(worker: Harness) -> None:
    image = picture("RGB", "u8")
    trimap = expected_of(image).trimap
    painted = np.select([trimap == 0, trimap == 1], [0, 255], 30).astype(np.uint8)
    nonsense = np.zeros((HEIGHT, WIDTH), np.uint8)
    planes = (
        image_plane(image, "RGB"),
        image_plane(nonsense, "GRAY", role="selection", encoding="coverage"),
        image_plane(painted, "GRAY", role="trimap", encoding="coverage"),
    )
    wanted = (Output("trimap", "GRAY", "f32"), Output("alpha", "GRAY", "f32"))
    begin = Begin(planes, wanted, options=CHOSEN)
    answer = worker.run(begin, image.tobytes() + nonsense.tobytes() + painted.tobytes())
    expected = smart_matte.cutout(image, trimap, OPTIONS)
    np.testing.assert_array_equal(answer.planes()["trimap"][..., 0], trimap)
    np.testing.assert_array_equal(answer.planes()["alpha"][..., 0], expected.alpha)
    assert answer.result.report["segmenter"] == "trimap"


def test_a_trimap_with_nothing_unknown_says_what_to_do(worker: Harness) -> None:
    image, trimap = picture("RGB", "u8"), (SELECTION * 255).astype(np.uint8)
    planes = (
        image_plane(image, "RGB"),
        image_plane(trimap, "GRAY", role="trimap", encoding="coverage"),
    )
    begin = Begin(planes, (Output("alpha", "GRAY", "u8"),), options=CHOSEN)
    error = worker.run(begin, image.tobytes() + trimap.tobytes()).error
    assert (error.code, "grey" in error.message) == ("selection", True)


def test_progress_tells_the_stages_in_their_order_and_loading_first(worker: Harness) -> None:
    wanted = Output("alpha", "GRAY", "u8")
    answer = worker.run(*job(picture("RGB", "u8"), "RGB", wanted))
    stages = list(dict.fromkeys(told.stage for told in answer.progress))
    assert stages == ["loading", "segmentation", "trimap", "matting", "foreground"]


@pytest.mark.parametrize(
    "changes",
    [
        {"decontaminate": 40},
        {"shift_edge": -35.5},
        {"shift_edge": 80, "own_alpha": False},
        {"own_alpha": False},
    ],
)
@pytest.mark.parametrize(
    ("order", "sample", "encoding"), [("BGRA", "u8", "srgb"), ("RGBA", "f32", "linear")]
)
def test_refining_gives_exactly_what_computing_anew_gives(
    worker: Harness, order: str, sample: str, encoding: str, changes: dict[str, object]
) -> None:
    image = picture(order, sample)
    wanted = (Output("foreground", order, sample), Output("alpha", "GRAY", "f32"))
    source = new_job_id()
    first = worker.run(*job(image, order, *wanted, encoding=encoding, keep=True), source)
    assert first.result.kept
    refined = worker.run(Refine(source.hex(), wanted, changes))
    assert not refined.progress
    options = CHOSEN | changes
    anew = worker.run(*job(image, order, *wanted, encoding=encoding, options=options))
    assert refined.data == anew.data != first.data
    defaults = {"decontaminate": 100.0, "shift_edge": 0, "own_alpha": True}
    again = worker.run(Refine(source.hex(), wanted, CHOSEN | defaults))
    assert again.data == first.data


def test_the_pictures_own_opacity_is_left_out_of_alpha_when_asked(worker: Harness) -> None:
    image = picture("RGBA", "u8")
    options = CHOSEN | {"own_alpha": False}
    answer = worker.run(*job(image, "RGBA", Output("alpha", "GRAY", "f32"), options=options))
    alone = answer.planes()["alpha"][..., 0]
    assert (alone == 1).any()
    own = image[..., 3].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(expected_of(image).alpha, alone * own)


def test_a_refined_result_can_be_refined_by_either_id(worker: Harness) -> None:
    image = picture("RGB", "u8")
    wanted = (Output("foreground", "RGB", "u8"),)
    source, second = new_job_id(), new_job_id()
    first = worker.run(*job(image, "RGB", *wanted, keep=True), source)
    refined = worker.run(Refine(source.hex(), wanted, {"decontaminate": 10}), job=second)
    assert refined.result.kept
    for name in (source, second):
        assert worker.run(Refine(name.hex(), wanted)).data == first.data


def test_what_refining_cannot_change_is_refused_by_name(worker: Harness) -> None:
    source = new_job_id()
    wanted = Output("alpha", "GRAY", "u8")
    worker.run(*job(picture("RGB", "u8"), "RGB", wanted, keep=True), source)
    error = worker.run(Refine(source.hex(), (wanted,), {"outer_radius_px": 9})).error
    assert error.code == "option"
    assert "outer_radius_px" in error.message
    error = worker.run(Refine(source.hex(), (Output("foreground", "GRAY", "u8"),))).error
    assert error.code == "bad_geometry"


def test_only_what_was_to_be_kept_and_still_is_can_be_refined(worker: Harness) -> None:
    wanted = Output("alpha", "GRAY", "u8")
    plain, *kept = (new_job_id() for _ in range(4))
    assert not worker.run(*job(picture("RGB", "u8"), "RGB", wanted), plain).result.kept
    for source in kept:
        worker.run(*job(picture("RGB", "u8"), "RGB", wanted, keep=True), source)
    for gone in (plain, kept[0], new_job_id()):
        assert worker.run(Refine(gone.hex(), (wanted,))).error.code == "not_kept"
    for there in kept[1:]:
        worker.run(Refine(there.hex(), (wanted,))).planes()
    worker.send(Unload())
    assert worker.run(Refine(kept[2].hex(), (wanted,))).error.code == "not_kept"


def test_cancelling_an_ended_job_forgets_what_was_kept_of_it(worker: Harness) -> None:
    wanted = Output("alpha", "GRAY", "u8")
    left, kept = new_job_id(), new_job_id()
    for source in (left, kept):
        worker.run(*job(picture("RGB", "u8"), "RGB", wanted, keep=True), source)
    worker.send(Cancel(), left)
    assert worker.run(Refine(left.hex(), (wanted,))).error.code == "not_kept"
    worker.run(Refine(kept.hex(), (wanted,))).planes()


def test_facts_say_what_is_loaded_until_it_is_unloaded(worker: Harness) -> None:
    worker.run(*job(picture("RGB", "u8"), "RGB", Output("alpha", "GRAY", "u8")))
    facts = worker.wait_for(MessageType.FACTS).body
    assert [model.name for model in facts.models if model.is_loaded] == ["closed-form"]
    worker.send(Unload())
    facts = worker.wait_for(MessageType.FACTS).body
    assert not [model.name for model in facts.models if model.is_loaded]
    assert facts.memory_bytes > 0
    assert facts.device == "cpu"
    assert {"python", "numpy", "pyzmq"} <= facts.versions.keys()


def test_a_real_job_is_cancelled_in_the_middle_of_matting(worker: Harness) -> None:
    image = np.random.default_rng(3).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    trimap = np.full((150, 200), 128, np.uint8)  # nearly all unknown: seconds of work
    trimap[:2], trimap[-2:] = 0, 255
    planes = (
        image_plane(image, "RGB"),
        image_plane(trimap, "GRAY", role="trimap", encoding="coverage"),
    )
    begin = Begin(planes, (Output("alpha", "GRAY", "u8"),), options=CHOSEN)
    name = new_job_id()
    worker.upload(begin, image.tobytes() + trimap.tobytes(), name, chunk_bytes=100_000)
    while worker.wait_for(MessageType.PROGRESS).body.stage != "matting":
        pass
    worker.send(Cancel(), name)
    assert worker.listen(name).error.code == "cancelled"
    worker.run(*job(picture("RGB", "u8"), "RGB", Output("alpha", "GRAY", "u8"))).planes()


@pytest.mark.parametrize(
    ("selection", "options", "code"),
    [
        (np.zeros((HEIGHT, WIDTH), np.uint8), CHOSEN, "selection"),
        (None, CHOSEN, "selection"),
        (SELECTION * np.float32("nan"), CHOSEN, "selection"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_engines_own_sentences_come_with_their_code(
    worker: Harness, selection: np.ndarray | None, options: dict, code: str
) -> None:
    image = picture("RGB", "u8")
    planes, data = [image_plane(image, "RGB")], image.tobytes()
    if selection is not None:
        planes.append(image_plane(selection, "GRAY", role="selection", encoding="coverage"))
        data += selection.tobytes()
    begin = Begin(tuple(planes), (Output("alpha", "GRAY", "u8"),), options=options)
    error = worker.run(begin, data).error
    assert error.code == code
    assert len(error.message) > 20


def test_a_picture_that_holds_no_numbers_is_refused(worker: Harness) -> None:
    image = picture("RGBA", "f32")
    image[3, 4, 1] = np.nan
    error = worker.run(*job(image, "RGBA", Output("alpha", "GRAY", "u8"))).error
    assert (error.code, "not numbers" in error.message) == ("picture", True)

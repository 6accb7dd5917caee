import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scenes import BACKGROUND, FOREGROUND, composite, soft_disc

from smart_matte.engine.closed_form import ClosedFormMatter
from smart_matte.engine.cutout import (
    FINISHING_OPTIONS,
    Cutout,
    Engines,
    compute_cutout,
    compute_raw,
    finish,
)
from smart_matte.engine.matting import Matte
from smart_matte.engine.options import Options
from smart_matte.engine.report import Report
from smart_matte.engine.segmentation import Segmentation
from smart_matte.engine.types import FloatArray, Progress
from smart_matte.errors import Cancelled, PictureError, SelectionError

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
SELECTION = (ALPHA > 0.5).astype(np.float32)


@dataclass
class FixedSegmenter:
    """A segmenter that answers the same whatever it is shown."""

    probability: FloatArray
    name: str = "fixed"
    device: str = "cpu"

    def segment(self, image: FloatArray) -> Segmentation:
        del image
        odds = np.log(np.clip(self.probability, 1e-4, 1 - 1e-4))
        rest = np.log(np.clip(1 - self.probability, 1e-4, 1 - 1e-4))
        return Segmentation(np.stack([rest, odds]).astype(np.float32), ("background", "disc"))


@dataclass
class ForegroundMatter:
    """A matting model that knows the truth and estimates colours too."""

    name: str = "truth"
    device: str = "cpu"
    precision: str = "float32"
    seen: list[FloatArray] = field(default_factory=list)

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        del progress
        self.seen.append(image)
        alpha = np.where(trimap == 0.5, ALPHA, trimap)
        return Matte(alpha, FOREGROUND, BACKGROUND)


def run(
    image: np.ndarray,
    selection: np.ndarray | None = SELECTION,
    options: Options | None = None,
    **engines: object,
) -> Cutout:
    chosen = {"matter": ClosedFormMatter(), "segmenter": None, "segmenter_name": "grabcut"}
    return compute_cutout(
        image,
        selection,
        options or Options(),
        Engines(**(chosen | engines)),  # type: ignore[arg-type]
    )


def to_u8(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8)


def test_alpha_and_colour_come_out_near_the_truth() -> None:
    result = run(IMAGE)
    is_mixed = (ALPHA > 0.2) & (ALPHA < 0.8)
    assert np.abs(result.alpha - ALPHA).mean() < 0.005
    assert np.abs(result.foreground - FOREGROUND)[is_mixed].mean() < 0.05


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_known_foreground_is_bit_exact_in_the_pictures_own_depth(dtype: str) -> None:
    scale = {"u1": 255, "u2": 65535, "f4": 1}[dtype]
    image = (IMAGE * scale).astype(dtype)
    result = run(image)
    assert result.foreground.dtype == image.dtype
    is_known = ~result.is_unknown
    assert (result.foreground[is_known] == image[is_known]).all()
    assert (result.foreground != image)[result.is_unknown].any()


def test_decontaminate_zero_keeps_the_picture() -> None:
    image = to_u8(IMAGE)
    assert (run(image, options=Options(decontaminate=0)).foreground == image).all()


def test_transparent_pixels_are_background_and_alpha_is_multiplied() -> None:
    own_alpha = np.ones_like(ALPHA)
    own_alpha[:, 80:] = 0.5
    own_alpha[:60] = 0
    result = run(np.dstack([IMAGE, own_alpha]).astype(np.float32))
    assert (result.alpha[:60] == 0).all()
    assert result.alpha[70, 90] == 0.5
    assert result.alpha[70, 70] == 1


@pytest.mark.parametrize("shift", [-70.0, 0.0, 70.0])
def test_the_pictures_own_opacity_is_left_out_but_what_is_not_shown_stays_background(
    shift: float,
) -> None:
    own_alpha = np.linspace(0.1, 1, ALPHA.size, dtype=np.float32).reshape(ALPHA.shape)
    own_alpha[:60] = 0
    image = np.dstack([IMAGE, own_alpha])
    with_own = run(image, options=Options(shift_edge=shift))
    alone = run(image, options=Options(shift_edge=shift, own_alpha=False))
    assert (alone.alpha[:60] == 0).all()
    assert alone.alpha[70, 80] == 1
    assert (with_own.alpha < alone.alpha).any()
    np.testing.assert_array_equal(with_own.alpha, alone.alpha * own_alpha, strict=True)
    np.testing.assert_array_equal(with_own.foreground, alone.foreground)


def test_an_opaque_pictures_alpha_is_the_subjects_alone_either_way() -> None:
    alone = run(IMAGE, options=Options(own_alpha=False))
    np.testing.assert_array_equal(alone.alpha, run(IMAGE).alpha, strict=True)


def test_the_edge_shifts_where_it_is_unknown_and_nowhere_else() -> None:
    inwards, plain, outwards = (run(IMAGE, options=Options(shift_edge=s)) for s in (-60, 0, 60))
    is_soft = plain.is_unknown & (plain.alpha > 0) & (plain.alpha < 1)
    assert (inwards.alpha < plain.alpha)[is_soft].all()
    assert (outwards.alpha > plain.alpha)[is_soft].all()
    for shifted in (inwards, outwards):
        np.testing.assert_array_equal(shifted.alpha[~is_soft], plain.alpha[~is_soft])
        np.testing.assert_array_equal(shifted.foreground, plain.foreground)


def test_a_gray_picture_gives_a_gray_foreground() -> None:
    gray = to_u8(IMAGE.mean(axis=2))
    result = run(gray)
    assert result.foreground.shape == gray.shape


def test_the_networks_subject_needs_no_selection() -> None:
    result = run(IMAGE, None, segmenter=FixedSegmenter(ALPHA), segmenter_name="fixed")
    assert np.abs(result.alpha - ALPHA).mean() < 0.005
    assert result.report.segmenter == "fixed"


def test_a_network_that_finds_nothing_leaves_it_to_the_selection_and_says_so() -> None:
    blind = FixedSegmenter(np.zeros_like(ALPHA))
    report = run(IMAGE, segmenter=blind, segmenter_name="fixed").report
    assert report.segmenter == "grabcut"
    assert "it found no subject in the selection" in report.summary()


def test_neither_selection_nor_subject_says_what_to_do() -> None:
    with pytest.raises(SelectionError, match="draw a rough selection"):
        run(IMAGE, None)
    with pytest.raises(SelectionError, match="found no subject"):
        run(IMAGE, None, segmenter=FixedSegmenter(np.zeros_like(ALPHA)))


def test_a_models_own_foreground_is_used() -> None:
    result = run(IMAGE, matter=ForegroundMatter())
    is_unknown = result.is_unknown
    np.testing.assert_allclose(result.foreground[is_unknown], FOREGROUND[is_unknown], atol=1e-6)


def test_a_float_picture_beyond_white_survives_outside_the_unknown_region() -> None:
    image = IMAGE.copy()
    image[60, 80] = 12.5
    matter = ForegroundMatter()
    result = run(image, matter=matter)
    assert (result.foreground[60, 80] == 12.5).all()
    assert matter.seen[0].max() == 1


def test_the_report_tells_what_ran() -> None:
    report = run(IMAGE).report
    assert (report.matter, report.segmenter, report.device) == ("closed-form", "grabcut", "cpu")
    assert list(report.stage_ms) == ["segmentation", "trimap", "matting", "foreground"]
    assert 0 < report.unknown_share < 0.5


def test_a_trimap_as_selection_runs_no_segmentation() -> None:
    drawn = np.full_like(ALPHA, 0.5)
    drawn[ALPHA == 1], drawn[ALPHA == 0] = 1, 0
    result = run(IMAGE, drawn, segmenter=FixedSegmenter(ALPHA))
    assert result.report.segmenter == "trimap"
    np.testing.assert_array_equal(result.trimap, drawn)


@pytest.mark.parametrize("stage", ["segmentation", "trimap", "matting", "foreground"])
def test_every_stage_can_be_cancelled(stage: str) -> None:
    def progress(told: str, _fraction: float) -> None:
        if told == stage:
            raise Cancelled("stopped")

    engines = Engines(ClosedFormMatter(), None, "grabcut")
    with pytest.raises(Cancelled):
        compute_cutout(IMAGE, SELECTION, Options(), engines, progress)


@pytest.mark.parametrize("own_alpha", [None, 0.5])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4"])
@pytest.mark.parametrize(
    "finishing",
    [
        {"decontaminate": 0.0},
        {"decontaminate": 30.0, "shift_edge": -45.0},
        {"decontaminate": 100.0, "shift_edge": 100.0, "own_alpha": False},
    ],
)
def test_finishing_a_raw_result_again_equals_computing_anew(
    dtype: str, own_alpha: float | None, finishing: dict[str, Any]
) -> None:
    image = IMAGE if own_alpha is None else np.dstack([IMAGE, np.full_like(ALPHA, own_alpha)])
    image = (image * {"u1": 255, "u2": 65535}.get(dtype, 1)).astype(dtype)
    engines = Engines(ForegroundMatter(), None, "selection")
    first = Options(decontaminate=70, shift_edge=20)
    raw = compute_raw(image, SELECTION, first, engines)
    finish(raw, image, first)  # leaves the raw result as it is
    again = finish(raw, image, Options(**finishing))
    anew = compute_cutout(image, SELECTION, Options(**finishing), engines)
    for name in ("alpha", "foreground", "trimap"):
        np.testing.assert_array_equal(getattr(again, name), getattr(anew, name), strict=True)
    assert list(again.report.stage_ms) == list(anew.report.stage_ms)


def test_options_that_finishing_does_not_look_at_change_nothing() -> None:
    engines = Engines(ForegroundMatter(), None, "selection")
    raw = compute_raw(IMAGE, SELECTION, Options(), engines)
    others = Options(outer_radius_px=1, inner_radius_px=1, holes=False, segmenter="selection")
    plain, odd = finish(raw, IMAGE, Options()), finish(raw, IMAGE, others)
    np.testing.assert_array_equal(odd.foreground, plain.foreground)
    np.testing.assert_array_equal(odd.alpha, plain.alpha)
    assert FINISHING_OPTIONS == ("decontaminate", "shift_edge", "own_alpha")


def test_finishing_again_leaves_the_first_report_alone() -> None:
    raw = compute_raw(IMAGE, SELECTION, Options(), Engines(ForegroundMatter(), None, "selection"))
    before = dict(raw.report.stage_ms)
    finish(raw, IMAGE, Options())
    assert raw.report.stage_ms == before


def test_choices_that_need_a_network_are_not_ignored_silently() -> None:
    options = Options(classes=("zebra",), trimap="probability")
    line = run(IMAGE, options=options).report.summary()
    assert "grabcut instead of class zebra: no segmentation network ran." in line
    assert "“refined” instead of trimap “probability”" in line


def test_the_class_that_was_not_found_is_named() -> None:
    blind = FixedSegmenter(np.zeros_like(ALPHA))
    options = Options(classes=("disc",))
    report = run(IMAGE, options=options, segmenter=blind, segmenter_name="fixed").report
    assert "it found no disc in the selection" in report.summary()


def test_a_fully_transparent_picture_is_refused() -> None:
    image = np.dstack([IMAGE, np.zeros_like(ALPHA)])
    with pytest.raises(PictureError, match="fully transparent"):
        run(image, None, segmenter=FixedSegmenter(ALPHA))


def test_a_subject_that_is_transparent_is_refused() -> None:
    own_alpha = np.zeros_like(ALPHA)
    own_alpha[:10, :10] = 1
    image = np.dstack([IMAGE, own_alpha])
    with pytest.raises(SelectionError, match="where the picture can be seen"):
        run(image, None, segmenter=FixedSegmenter((ALPHA > 0.5).astype(np.float32)))


def test_a_report_survives_json() -> None:
    report = run(IMAGE, options=Options(classes=("zebra",))).report
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report

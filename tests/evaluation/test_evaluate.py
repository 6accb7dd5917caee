"""A run measures what the engines really gave, in the region that the set prescribes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smart_matte.engine.cutout import Engines
from smart_matte.engine.foreground import estimate_foreground_multilevel
from smart_matte.engine.matting import Matte
from smart_matte.engine.options import Options
from smart_matte.engine.types import FloatArray, Progress
from smart_matte.errors import OptionError, OutputError, WeightsError
from smart_matte.evaluation import engines as module
from smart_matte.evaluation.colour_errors import foreground_error, green_error
from smart_matte.evaluation.datasets import read_samples
from smart_matte.evaluation.engines import trimap_engine
from smart_matte.evaluation.evaluate import Plan, evaluate
from smart_matte.evaluation.metrics import measure
from smart_matte.evaluation.rough_selection import draw_rough_selection
from smart_matte.evaluation.rows import Row
from smart_matte.evaluation.sample import Sample


class FlatMatter:
    """Says the same alpha everywhere, known pixels included: a matter that breaks its word."""

    name = "flat"
    device = "cpu"
    precision = "float32"

    def __init__(self, *, gives_foreground: bool = True) -> None:
        self._gives_foreground = gives_foreground

    def matte(self, image: FloatArray, trimap: FloatArray, progress: Progress) -> Matte:
        progress("matting", 1.0)
        alpha = np.full(trimap.shape, 0.4, np.float32)
        return Matte(alpha, image if self._gives_foreground else None)


@pytest.fixture(scope="module")
def sample() -> Sample:
    y, x = np.indices((40, 50), np.float32)
    distance_px = np.hypot(y - 20, x - 25)
    alpha = np.clip(12 - distance_px + 0.5, 0, 1)
    return Sample(
        name="disc",
        image=np.repeat(alpha[..., None], 3, axis=2),
        trimap=np.where(np.abs(distance_px - 12) < 3, np.float32(0.5), np.rint(alpha)),
        alpha=alpha,
        foreground=np.ones((40, 50, 3), np.float32),
    )


def test_a_set_with_trimaps_measures_the_unknown_region_alone(sample: Sample) -> None:
    outcome = trimap_engine(FlatMatter())("alphamatting-narrow", sample)
    assert sample.trimap is not None
    is_unknown = sample.trimap == 0.5
    off = np.abs(102 / 255 - np.rint(sample.alpha * 255) / 255)[is_unknown].sum() / 1000
    assert outcome.row.errors.sad == pytest.approx(off)
    assert outcome.row.unknown_share == is_unknown.mean()
    assert outcome.row.selection_sad is None
    assert np.array_equal(outcome.alpha[~is_unknown], sample.trimap[~is_unknown])


def test_colours_are_measured_where_their_truth_is_known(sample: Sample) -> None:
    assert sample.trimap is not None
    assert sample.foreground is not None
    outcome = trimap_engine(FlatMatter())("synthetic", sample)
    colours, is_unknown = outcome.row.colours, sample.trimap == 0.5
    assert colours is not None
    assert colours.foreground == foreground_error(
        sample.image, sample.foreground, sample.alpha, is_unknown
    )
    cutout, truth = (sample.image, outcome.alpha), (sample.foreground, sample.alpha)
    assert colours.green == green_error(cutout, truth, is_unknown)
    assert colours.multilevel != colours.foreground
    unknown_truth = replace(sample, foreground=None)
    assert trimap_engine(FlatMatter())("synthetic", unknown_truth).row.colours is None


def test_a_matter_without_foreground_gets_the_multilevel_one(sample: Sample) -> None:
    outcome = trimap_engine(FlatMatter(gives_foreground=False))("synthetic", sample)
    colours = outcome.row.colours
    assert colours is not None
    assert colours.foreground == colours.multilevel > 0
    assert np.array_equal(
        outcome.foreground, estimate_foreground_multilevel(sample.image, outcome.alpha)
    )


def test_the_rough_set_runs_the_whole_program_and_measures_the_whole_picture(
    tiny_data: Path,
) -> None:
    plan = Plan(data=tiny_data, sets=["rough"], matters=["closed-form"], segmenters=["grabcut"])
    rows = list(evaluate(plan))
    assert [row.picture for row in rows] == ["GT01", "GT03"]
    for row, sample in zip(rows, read_samples("rough", tiny_data), strict=True):
        everywhere = np.ones(sample.alpha.shape, np.bool_)
        selection = draw_rough_selection(sample.alpha, seed=0)
        assert row.selection_sad == measure(selection, sample.alpha, everywhere).sad
        assert row.matter == "closed-form"
        assert row.segmenter == row.segmenter_used == "grabcut"
        assert row.known_sad is not None
        assert 0 <= row.known_sad <= row.errors.sad < row.selection_sad
        assert not row.is_worse
        assert row.seconds > 0


def test_every_matter_runs_over_every_set_and_every_segmenter_over_the_rough_one(
    tiny_data: Path,
) -> None:
    plan = Plan(
        data=tiny_data,
        sets=["alphamatting-wide", "rough", "fba-reference"],
        matters=["closed-form"],
        segmenters=["grabcut", "selection"],
        limit=1,
    )
    assert [(row.set_name, row.picture, row.segmenter) for row in evaluate(plan)] == [
        ("alphamatting-wide", "GT01", ""),
        ("rough", "GT01", "grabcut"),
        ("rough", "GT01", "selection"),
        ("fba-reference", "disc", ""),
    ]


def test_a_sheet_is_written_for_each_picture(tiny_data: Path, tmp_path: Path) -> None:
    plan = Plan(
        data=tiny_data,
        sets=["alphamatting-narrow", "rough"],
        matters=["closed-form"],
        segmenters=["selection"],
        limit=1,
        sheets=tmp_path / "out" / "sheets",
    )
    list(evaluate(plan))
    sheets = {}
    for path in (tmp_path / "out" / "sheets").iterdir():
        with Image.open(path) as sheet:
            sheets[path.name] = sheet.size
    assert sorted(sheets) == ["alphamatting-narrow-GT01.jpg", "rough-GT01.jpg"]
    assert sheets["rough-GT01.jpg"][1] > sheets["alphamatting-narrow-GT01.jpg"][1] > 4 * 480
    assert sheets["alphamatting-narrow-GT01.jpg"][0] > 3 * 640


def test_only_the_pictures_that_are_named_run(tiny_data: Path) -> None:
    plan = Plan(
        data=tiny_data,
        sets=["alphamatting-narrow", "fba-reference"],
        matters=["closed-form"],
        pictures=["GT03", "disc"],
    )
    assert [row.picture for row in evaluate(plan)] == ["GT03", "disc"]
    with pytest.raises(OptionError, match=r"no picture “GT99”.* choose from GT01, GT03, disc"):
        next(evaluate(replace(plan, pictures=["GT03", "GT99"])))


def test_a_matter_without_weights_is_left_out_and_told(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_engines = module.load_engines

    def without_fba(options: Options) -> Engines:
        if options.matter == "fba":
            raise WeightsError("Its weights aren't here; fetch them.")
        return load_engines(options)

    monkeypatch.setattr(module, "load_engines", without_fba)
    told: list[str] = []
    plan = Plan(data=tiny_data, sets=["fba-reference"], matters=["fba", "closed-form"])
    assert [row.matter for row in evaluate(plan, told.append)] == ["closed-form"]
    assert told == ["fba is left out: Its weights aren't here; fetch them."]
    with pytest.raises(WeightsError, match="fetch them"):
        next(evaluate(replace(plan, matters=["fba"])))


def test_a_reference_runs_the_whole_program_too(tiny_data: Path) -> None:
    plan = Plan(
        data=tiny_data,
        sets=["alphamatting-narrow", "rough"],
        matters=["pymatting-cf"],
        segmenters=["selection"],
        limit=1,
    )
    rows = list(evaluate(plan))
    assert [row.engine for row in rows] == ["pymatting-cf", "pymatting-cf + selection"]
    assert not rows[1].is_worse


def test_a_folder_that_cannot_be_written_is_told(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    plan = Plan(
        data=tiny_data,
        sets=["alphamatting-narrow"],
        matters=["closed-form"],
        limit=1,
        sheets=tmp_path / "file" / "sheets",
    )
    with pytest.raises(OutputError, match="choose another folder with --output"):
        list(evaluate(plan))


def test_an_unknown_matter_is_told_before_anything_runs(tiny_data: Path) -> None:
    with pytest.raises(OptionError, match="no matting model"):
        next(evaluate(Plan(data=tiny_data, sets=["rough"], matters=["guess"])))


def test_a_result_is_worse_only_than_a_selection_that_was_nearer(sample: Sample) -> None:
    errors = measure(sample.alpha * 0, sample.alpha, np.ones(sample.alpha.shape, np.bool_))

    def row(selection_sad: float | None) -> Row:
        return Row("rough", "a", "m", "cpu", "s", "s", 0.1, errors, 1.0, selection_sad, 0.0)

    assert row(errors.sad / 2).is_worse
    assert not row(errors.sad * 2).is_worse
    assert not row(errors.sad).is_worse
    assert not row(None).is_worse
    assert row(errors.sad / 2).as_dict()["is_worse"] is True

"""A sheet has a column for each engine, and its details show where they are most wrong."""

import numpy as np
import pytest

from smart_matte.engine.types import FloatArray
from smart_matte.evaluation.engines import Outcome
from smart_matte.evaluation.metrics import Errors
from smart_matte.evaluation.result_sheets import _worst_region, draw_sheet
from smart_matte.evaluation.rows import Row
from smart_matte.evaluation.sample import Sample
from smart_matte.pictures.sheets import CAPTION_PX, GAP_PX, HEIGHT_PX

SHAPE = (480, 480)


def outcome(matter: str, alpha: FloatArray, trimap: FloatArray) -> Outcome:
    errors = Errors(sad=1.0, mse=0.0, gradient=0.0, connectivity=0.0)
    row = Row("set", "half", matter, "cpu", "", "", 0.1, errors, 1.0)
    return Outcome(row, trimap, alpha, np.zeros((*SHAPE, 3), np.float32))


@pytest.fixture(scope="module")
def sample() -> Sample:
    alpha = np.zeros(SHAPE, np.float32)
    alpha[:, 240:] = 1
    trimap = alpha.copy()
    trimap[:, 230:250] = 0.5
    return Sample("half", np.full((*SHAPE, 3), 0.5, np.float32), trimap, alpha)


@pytest.mark.parametrize(("with_trimap", "rows"), [(True, 4), (False, 5)])
def test_every_engine_has_a_column_beside_the_truth(
    sample: Sample, *, with_trimap: bool, rows: int
) -> None:
    trimap, selection = sample.trimap, None
    assert trimap is not None
    if not with_trimap:
        sample = Sample(sample.name, sample.image, None, sample.alpha)
        selection = sample.alpha
    ones = np.ones(SHAPE, np.float32)
    outcomes = [outcome("right", sample.alpha, trimap), outcome("wrong", ones, trimap)]
    sheet = draw_sheet(sample, selection, outcomes)
    assert sheet.shape == (
        GAP_PX + rows * (CAPTION_PX + HEIGHT_PX + GAP_PX),
        GAP_PX + 4 * (HEIGHT_PX + GAP_PX),
        3,
    )
    left_px = [GAP_PX + column * (HEIGHT_PX + GAP_PX) for column in range(4)]
    row_px = GAP_PX + CAPTION_PX + 100
    truth, right, wrong = (sheet[row_px, left + 100].tolist() for left in left_px[1:])
    assert truth == right == [0, 0, 0]
    assert wrong == [255, 255, 255]


def test_the_worst_region_holds_the_error_of_all_engines_together() -> None:
    true = np.zeros((600, 800), np.float32)
    once, twice = true.copy(), true.copy()
    once[500:520, 700:720] = 0.9
    twice[100:120, 60:80] = 0.5
    region = _worst_region(true, [once, twice, twice])
    assert (region.rows.stop - region.rows.start) * 2 == 480
    assert (region.columns.stop - region.columns.start) * 2 == 640
    assert region.rows.start <= 100
    assert region.rows.stop >= 120
    assert region.columns.start <= 60
    assert region.columns.stop >= 80


def test_a_picture_smaller_than_the_detail_is_shown_whole() -> None:
    true = np.zeros((30, 40), np.float32)
    region = _worst_region(true, [true])
    assert true[region.rows, region.columns].shape == (30, 40)

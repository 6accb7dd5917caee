import sys

import numpy as np
import pytest
from pymatting import cf_laplacian, estimate_alpha_cf
from scenes import banded_trimap, composite, soft_disc

from smart_matte.engine import closed_form
from smart_matte.engine.closed_form import ClosedFormMatter
from smart_matte.engine.types import ignore_progress
from smart_matte.errors import Cancelled

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
TRIMAP = banded_trimap(ALPHA)


def test_the_cropped_solve_equals_pymattings_on_the_whole_picture() -> None:
    ours = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress).alpha
    theirs = estimate_alpha_cf(IMAGE.astype(np.float64), TRIMAP.astype(np.float64))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_system_built_in_strips_is_that_of_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_unknown = (TRIMAP == 0.5).ravel()
    laplacian = cf_laplacian(IMAGE.astype(np.float64), is_known=TRIMAP != 0.5)[is_unknown]
    wanted = -laplacian[:, ~is_unknown].dot((TRIMAP == 1).ravel()[~is_unknown].astype(np.float64))
    for strip_px in (1, 7 * TRIMAP.shape[1], TRIMAP.size):
        monkeypatch.setattr(closed_form, "STRIP_PX", strip_px)
        matrix, right_side = closed_form._build_system(IMAGE, TRIMAP, ignore_progress)
        assert abs(matrix - laplacian[:, is_unknown]).max() == 0
        np.testing.assert_allclose(right_side, wanted, rtol=0, atol=1e-12)


def test_a_job_can_be_cancelled_before_the_solver_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "STRIP_PX", 7 * TRIMAP.shape[1])
    told = 0

    def cancel_late(_stage: str, _fraction: float) -> None:
        nonlocal told
        told += 1
        if told == 3:
            raise Cancelled("stopped")

    def solve(*_: object, **__: object) -> None:
        raise AssertionError("the solver began")

    monkeypatch.setattr(sys.modules["pymatting.preconditioner.ichol"], "ichol", solve)
    with pytest.raises(Cancelled):
        ClosedFormMatter().matte(IMAGE, TRIMAP, cancel_late)


def test_alpha_is_close_to_the_truth() -> None:
    matte = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress)
    assert np.abs(matte.alpha - ALPHA)[TRIMAP == 0.5].mean() < 0.02


def test_known_pixels_are_exact() -> None:
    alpha = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress).alpha
    assert (alpha[TRIMAP == 1] == 1).all()
    assert (alpha[TRIMAP == 0] == 0).all()


def test_a_large_unknown_region_is_solved_small_and_says_so() -> None:
    unknown_px = int((TRIMAP == 0.5).sum())
    matte = ClosedFormMatter(max_unknown_px=unknown_px // 4).matte(IMAGE, TRIMAP, ignore_progress)
    assert "solved at 50% of its size" in matte.note
    assert np.abs(matte.alpha - ALPHA)[TRIMAP == 0.5].mean() < 0.03
    assert (matte.alpha[TRIMAP == 1] == 1).all()


def test_nothing_unknown_returns_the_trimap() -> None:
    trimap = (ALPHA > 0.5).astype(np.float32)
    assert (ClosedFormMatter().matte(IMAGE, trimap, ignore_progress).alpha == trimap).all()


def test_an_unknown_region_that_touches_no_foreground_becomes_background() -> None:
    trimap = TRIMAP.copy()
    trimap[trimap == 0.5] = 0
    trimap[5:10, 5:10] = 0.5
    assert ClosedFormMatter().matte(IMAGE, trimap, ignore_progress).alpha[5:10, 5:10].max() == 0


def test_progress_rises_and_can_cancel() -> None:
    told: list[float] = []
    ClosedFormMatter().matte(IMAGE, TRIMAP, lambda _stage, fraction: told.append(fraction))
    assert max(told) > 0.5

    def cancel(_stage: str, _fraction: float) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        ClosedFormMatter().matte(IMAGE, TRIMAP, cancel)

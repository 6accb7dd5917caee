import numpy as np
import pytest
from pymatting import estimate_alpha_cf
from scenes import banded_trimap, composite, soft_disc

from smart_matte.engine.closed_form import ClosedFormMatter
from smart_matte.engine.models import closed_form_solver
from smart_matte.engine.models.closed_form_solver import Solution
from smart_matte.engine.types import FloatArray, ignore_progress
from smart_matte.errors import Cancelled

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
TRIMAP = banded_trimap(ALPHA)


def test_the_cropped_solve_equals_pymattings_on_the_whole_picture() -> None:
    ours = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress).alpha
    theirs = estimate_alpha_cf(IMAGE.astype(np.float64), TRIMAP.astype(np.float64))
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_job_can_be_cancelled_before_the_solver_begins() -> None:
    told = []

    def cancel_early(_stage: str, fraction: float) -> None:
        told.append(fraction)
        if len(told) == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        ClosedFormMatter().matte(IMAGE, TRIMAP, cancel_early)
    assert max(told) < 0.5


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


def test_a_solver_that_did_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def solve(_image: object, trimap: FloatArray, *_: object) -> Solution:
        return Solution(trimap, rounds=500, residual=3e-3, is_converged=False)

    monkeypatch.setattr(closed_form_solver, "solve_closed_form", solve)
    matte = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress)
    assert "did not converge" in matte.note
    assert "3e-03" in matte.note


def test_the_cpu_takes_over_from_a_full_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def solve(_i: object, trimap: FloatArray, _p: object, device: str = "cpu") -> Solution:
        asked.append(device)
        if device != "cpu":
            raise MemoryError
        return Solution(trimap, rounds=9, residual=1e-5, is_converged=True)

    monkeypatch.setattr(closed_form_solver, "solve_closed_form", solve)
    matter = ClosedFormMatter("cuda:0")
    assert "cuda:0 ran out of memory" in matter.matte(IMAGE, TRIMAP, ignore_progress).note
    assert asked == ["cuda:0", "cpu"]
    assert matter.device == "cpu"

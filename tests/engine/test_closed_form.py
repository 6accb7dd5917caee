from typing import Any

import numpy as np
import pytest
from pymatting import estimate_alpha_cf
from scenes import banded_trimap, composite, soft_disc

from smart_matte.engine.closed_form import ClosedFormMatter
from smart_matte.engine.colour_prior import Prior
from smart_matte.engine.models import closed_form_solver
from smart_matte.engine.models.closed_form_solver import RELATIVE_TOLERANCE, Solution
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


def test_a_scale_that_was_asked_for_is_kept_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    solve, shapes = closed_form_solver.solve_closed_form, []

    def watch(image: FloatArray, *arguments: Any, **named: Any) -> Solution:
        shapes.append(image.shape[:2])
        return solve(image, *arguments, **named)

    monkeypatch.setattr(closed_form_solver, "solve_closed_form", watch)
    whole = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress)
    half = ClosedFormMatter(most_scale=0.5).matte(IMAGE, TRIMAP, ignore_progress)
    assert [round(side / 2) for side in shapes[0]] == list(shapes[1])
    assert whole.note == half.note == ""
    is_unknown = TRIMAP == 0.5
    assert np.abs(half.alpha - ALPHA)[is_unknown].mean() < 0.03
    np.testing.assert_array_equal(half.alpha[~is_unknown], TRIMAP[~is_unknown])


def test_a_prior_is_found_at_the_scale_that_is_solved_at_and_followed() -> None:
    asked = []

    def all_foreground(image: FloatArray, trimap: FloatArray) -> Prior:
        asked.append((image.shape[:2], trimap.shape))
        return Prior(np.ones_like(trimap), np.full_like(trimap, 1e3))

    matter = ClosedFormMatter(most_scale=0.5, find_prior=all_foreground)
    alpha = matter.matte(IMAGE, TRIMAP, ignore_progress).alpha
    assert len(asked) == 1
    assert asked[0][0] == asked[0][1]
    assert max(asked[0][1]) <= max(TRIMAP.shape) // 2 + 1
    assert alpha[TRIMAP == 0.5].mean() > 0.9


def test_less_than_the_scale_that_was_asked_for_is_told() -> None:
    unknown_px = int((TRIMAP == 0.5).sum())
    matter = ClosedFormMatter(max_unknown_px=unknown_px // 9, most_scale=0.5)
    assert "solved at 33% of its size" in matter.matte(IMAGE, TRIMAP, ignore_progress).note
    matter = ClosedFormMatter(max_unknown_px=unknown_px // 2, most_scale=0.5)
    assert matter.matte(IMAGE, TRIMAP, ignore_progress).note == ""


def test_a_scribble_too_thin_for_the_smaller_scale_still_says_what_is_foreground() -> None:
    trimap = np.where(TRIMAP == 1, np.float32(0.5), TRIMAP)
    row = TRIMAP.shape[0] // 2
    trimap[row, (TRIMAP == 1)[row]] = 1
    unknown_px = int((trimap == 0.5).sum())
    matte = ClosedFormMatter(max_unknown_px=unknown_px // 9).matte(IMAGE, trimap, ignore_progress)
    assert "solved at 33% of its size" in matte.note
    assert np.abs(matte.alpha - ALPHA)[trimap == 0.5].mean() < 0.05
    np.testing.assert_array_equal(matte.alpha[trimap != 0.5], trimap[trimap != 0.5])


def test_a_coarse_tolerance_costs_precision_and_is_no_failure() -> None:
    exact = ClosedFormMatter(tolerance=1e-7).matte(IMAGE, TRIMAP, ignore_progress)
    coarse = ClosedFormMatter(tolerance=1e-2).matte(IMAGE, TRIMAP, ignore_progress)
    usual = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress)
    assert coarse.note == ""
    off = [np.abs(matte.alpha - exact.alpha).max() for matte in (coarse, usual)]
    assert off[0] > 10 * off[1]
    assert off[0] < 0.1


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
    def solve(
        _image: object, trimap: FloatArray, *_: object, tolerance: float, **_named: object
    ) -> Solution:
        assert tolerance == RELATIVE_TOLERANCE
        return Solution(trimap, rounds=500, residual=3e-3, is_converged=False)

    monkeypatch.setattr(closed_form_solver, "solve_closed_form", solve)
    matte = ClosedFormMatter().matte(IMAGE, TRIMAP, ignore_progress)
    assert "did not converge" in matte.note
    assert "3e-03" in matte.note


def test_the_cpu_takes_over_from_a_full_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def solve(
        _i: object,
        trimap: FloatArray,
        _p: object,
        device: str = "cpu",
        *,
        tolerance: float,
        prior: object,
    ) -> Solution:
        assert prior is None
        asked.append((device, tolerance))
        if device != "cpu":
            raise MemoryError
        return Solution(trimap, rounds=9, residual=1e-5, is_converged=True)

    monkeypatch.setattr(closed_form_solver, "solve_closed_form", solve)
    matter = ClosedFormMatter("cuda:0", tolerance=0.25)
    assert "cuda:0 ran out of memory" in matter.matte(IMAGE, TRIMAP, ignore_progress).note
    assert asked == [("cuda:0", 0.25), ("cpu", 0.25)]
    assert matter.device == "cpu"


@pytest.mark.parametrize("side", range(97, 161, 9))
def test_what_is_known_stays_known_when_the_matte_is_solved_small(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def solve(
        _image: object, trimap: FloatArray, *_: object, tolerance: float, **_named: object
    ) -> Solution:
        seen.append(trimap)
        return Solution(trimap, rounds=9, residual=tolerance, is_converged=True)

    monkeypatch.setattr(closed_form_solver, "solve_closed_form", solve)
    trimap = np.full((side, side), 0.5, np.float32)
    trimap[10:-10, 10 : side // 2], trimap[10:-10, side // 2 : -10] = 0, 1
    matter = ClosedFormMatter(most_scale=0.5)
    matter.matte(np.zeros((side, side, 3), np.float32), trimap, ignore_progress)
    quarter = side // 8
    middle = seen[0][quarter:-quarter]
    assert (middle[:, quarter : side // 4 - 1] == 0).all()
    assert (middle[:, side // 4 + 2 : -quarter] == 1).all()

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pymatting import cf_laplacian, estimate_alpha_cf
from scenes import banded_trimap, composite, soft_disc
from scipy.sparse import diags
from scipy.sparse.linalg import spsolve

from smart_matte.engine.colour_prior import Prior
from smart_matte.engine.models.closed_form_solver import Preconditioner, solve_closed_form
from smart_matte.engine.models.matting_laplacian import EPSILON, System, build_system, lay_blocks
from smart_matte.errors import Cancelled

FloatArray = NDArray[np.float32]
Scene = tuple[FloatArray, FloatArray]

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
TRIMAP = banded_trimap(ALPHA)


def ignore(_fraction: float) -> None:
    """Tell nobody."""


def noise(height: int, width: int) -> FloatArray:
    return np.random.default_rng(0).random((height, width, 3), np.float32)


def smooth(height: int, width: int) -> FloatArray:
    return cv2.GaussianBlur(noise(height, width), (0, 0), 2)


def system_of(image: FloatArray, trimap: FloatArray, size_px: int, in_chunk: int) -> System:
    blocks = lay_blocks((trimap != 0) & (trimap != 1), size_px, in_chunk, "cpu")
    channels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    *_, system = build_system(channels, torch.from_numpy(trimap), blocks, torch.float64)
    return system


def dense(system: System, apply: Callable[[torch.Tensor], torch.Tensor]) -> NDArray[np.float64]:
    """What apply does to the unknown pixels, as a matrix; in the order of the system."""
    places = torch.nonzero(system.is_unknown.reshape(-1))[:, 0]
    columns = []
    for place in places:
        unit = torch.zeros_like(system.right_side)
        unit.view(-1)[place] = 1
        columns.append(apply(unit).reshape(-1)[places].numpy())
    return np.stack(columns, axis=1)


def places_of(system: System, width: int) -> NDArray[np.int64]:
    """Index in the picture of each unknown pixel, in the order of the system."""
    blocks = system.blocks
    place = blocks.y[:, 2:-2, None] * width + blocks.x[:, None, 2:-2]
    return np.asarray(place[system.is_unknown].numpy())


def mixed(height: int, width: int) -> FloatArray:
    return (
        np.random.default_rng(1).choice([0, 0.5, 0.5, 0.5, 1], (height, width)).astype(np.float32)
    )


@pytest.mark.parametrize(("size_px", "in_chunk"), [(4, 3), (6, 2), (6, 512), (8, 512)])
@pytest.mark.parametrize("make", [noise, smooth])
def test_the_system_is_pymattings_also_at_the_borders(
    size_px: int, in_chunk: int, make: Callable[[int, int], FloatArray]
) -> None:
    image, trimap = make(13, 17), mixed(13, 17)
    system = system_of(image, trimap, size_px, in_chunk)
    places = places_of(system, 17)
    assert sorted(places) == list(np.flatnonzero(trimap == 0.5))
    laplacian = cf_laplacian(image.astype(np.float64)).toarray()
    wanted = laplacian[np.ix_(places, places)]
    np.testing.assert_allclose(dense(system, system.apply), wanted, rtol=0, atol=1e-9)
    right_side = -laplacian[places] @ (trimap == 1).ravel()
    got = system.right_side[system.is_unknown].numpy()
    np.testing.assert_allclose(got, right_side, rtol=0, atol=1e-9)


def gray(height: int, width: int) -> FloatArray:
    return np.repeat(noise(height, width)[..., :1], 3, axis=2)


def black_and_white(height: int, width: int) -> FloatArray:
    return gray(height, width).round()


def sepia(height: int, width: int) -> FloatArray:
    return gray(height, width) * np.float32([1, 0.8, 0.5])


@pytest.mark.parametrize("make", [noise, smooth, gray, black_and_white, sepia])
def test_the_operator_is_symmetric_and_constants_cost_nothing(
    make: Callable[[int, int], FloatArray],
) -> None:
    trimap = np.full((9, 14), 0.5, np.float32)  # all of L: borders and corners too
    system = system_of(make(9, 14), trimap, 6, 512)
    matrix = dense(system, system.apply)
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(matrix.sum(axis=1), 0, atol=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > -1e-9


@pytest.mark.parametrize("make", [gray, black_and_white])
def test_a_gray_picture_has_the_laplacian_of_a_single_channel(
    make: Callable[[int, int], FloatArray],
) -> None:
    image, trimap = make(9, 14), np.full((9, 14), 0.5, np.float32)
    system = system_of(image, trimap, 6, 512)
    wanted = np.zeros((9 * 14, 9 * 14))
    places = np.arange(9 * 14).reshape(9, 14)
    for window in np.lib.stride_tricks.sliding_window_view(places, (3, 3)).reshape(-1, 9):
        levels = image[..., 0].ravel()[window].astype(np.float64)
        levels -= levels.mean()
        products = 3 * np.outer(levels, levels) / (3 * np.square(levels).sum() + EPSILON)
        wanted[np.ix_(window, window)] += np.eye(9) - 1 / 9 - products
    order = places_of(system, 14)
    got = dense(system, system.apply)
    np.testing.assert_allclose(got, wanted[np.ix_(order, order)], rtol=0, atol=1e-8)


def test_colours_cost_next_to_nothing() -> None:
    image, trimap = smooth(9, 14), np.full((9, 14), 0.5, np.float32)
    system = system_of(image, trimap, 6, 512)
    colour = image.reshape(-1, 3)[places_of(system, 14)].astype(np.float64)
    matrix = dense(system, system.apply)
    energy = np.einsum("ik,ij,jk->k", colour, matrix, colour)
    assert (energy < 1e-6 * np.square(colour).sum(axis=0)).all()


def test_the_preconditioner_is_symmetric_and_positive_definite() -> None:
    system = system_of(noise(13, 17), mixed(13, 17), 4, 5)
    matrix = dense(system, Preconditioner(system, lambda: None))
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-7 * np.abs(matrix).max())
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0


def one_unknown_pixel() -> FloatArray:
    trimap = np.zeros((24, 31), np.float32)
    trimap[:, 15:] = 1
    trimap[11, 15] = 0.5
    return trimap


def all_unknown_but_two() -> FloatArray:
    trimap = np.full((24, 31), 0.5, np.float32)
    trimap[3, 4], trimap[20, 25] = 0, 1
    return trimap


def islands() -> FloatArray:
    trimap = one_unknown_pixel()
    trimap[2:5, 2:6] = trimap[12:20, 11:18] = trimap[9, 29] = (
        0.5  # in background, between, in foreground
    )
    return trimap


def on_the_borders() -> FloatArray:
    trimap = np.full((24, 31), 0.5, np.float32)
    trimap[10:14, 8:12], trimap[10:14, 20:24] = 0, 1
    return trimap


def a_corner() -> FloatArray:
    trimap = np.zeros((24, 31), np.float32)
    trimap[0, 2:], trimap[0, 0] = 1, 0.5
    return trimap


SHAPES = [one_unknown_pixel, all_unknown_but_two, islands, on_the_borders, a_corner]


@pytest.mark.parametrize("make", SHAPES)
def test_alpha_is_the_exact_minimum(make: Callable[[], FloatArray]) -> None:
    trimap, image = make(), smooth(24, 31)
    solution = solve_closed_form(image, trimap, ignore, dtype=torch.float64, tolerance=1e-10)
    is_unknown = (trimap == 0.5).ravel()
    laplacian = cf_laplacian(image.astype(np.float64))[is_unknown]
    right_side = -laplacian @ (trimap == 1).ravel()
    wanted = spsolve(laplacian[:, is_unknown].tocsc(), right_side)
    assert solution.is_converged
    np.testing.assert_allclose(
        solution.alpha.ravel()[is_unknown], np.clip(wanted, 0, 1), rtol=0, atol=1e-5
    )
    assert (solution.alpha.ravel()[~is_unknown] == trimap.ravel()[~is_unknown]).all()


@pytest.mark.parametrize("make", SHAPES)
def test_a_prior_is_part_of_the_exact_minimum(make: Callable[[], FloatArray]) -> None:
    trimap, image = make(), smooth(24, 31)
    random = np.random.default_rng(2)
    prior = Prior(*random.random((2, 24, 31), np.float32))
    prior.weight[:12] *= 1e-3
    solution = solve_closed_form(
        image, trimap, ignore, prior=prior, dtype=torch.float64, tolerance=1e-10
    )
    is_unknown = (trimap == 0.5).ravel()
    weight = prior.weight.ravel()[is_unknown].astype(np.float64)
    laplacian = cf_laplacian(image.astype(np.float64))[is_unknown]
    right_side = weight * prior.alpha.ravel()[is_unknown] - laplacian @ (trimap == 1).ravel()
    wanted = spsolve((laplacian[:, is_unknown] + diags(weight)).tocsc(), right_side)
    assert solution.is_converged
    np.testing.assert_allclose(
        solution.alpha.ravel()[is_unknown], np.clip(wanted, 0, 1), rtol=0, atol=1e-5
    )
    assert (solution.alpha.ravel()[~is_unknown] == trimap.ravel()[~is_unknown]).all()


def test_a_prior_of_no_weight_changes_nothing() -> None:
    prior = Prior(np.ones_like(TRIMAP), np.zeros_like(TRIMAP))
    with_it, without = (
        solve_closed_form(IMAGE, TRIMAP, ignore, prior=p).alpha for p in (prior, None)
    )
    np.testing.assert_array_equal(with_it, without)


@pytest.mark.parametrize("make", SHAPES)
def test_float32_is_enough(make: Callable[[], FloatArray]) -> None:
    trimap, image = make(), smooth(24, 31)
    rough = solve_closed_form(image, trimap, ignore)
    exact = solve_closed_form(image, trimap, ignore, dtype=torch.float64, tolerance=1e-10)
    assert rough.is_converged
    np.testing.assert_allclose(rough.alpha, exact.alpha, rtol=0, atol=0.01)


def test_alpha_is_pymattings() -> None:
    ours = solve_closed_form(IMAGE, TRIMAP, ignore, dtype=torch.float64, tolerance=1e-9)
    theirs = estimate_alpha_cf(
        IMAGE.astype(np.float64), TRIMAP.astype(np.float64), cg_kwargs={"rtol": 1e-11}
    )
    np.testing.assert_allclose(ours.alpha, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["GT05", "GT13"])  # an easy one, and the slowest to converge
def test_on_photographs_alpha_is_pymattings(name: str, shared_data: Path) -> None:
    folder = shared_data / "alphamatting"
    image = cv2.imread(str(folder / "image" / f"{name}.png"))
    grey = cv2.imread(str(folder / "trimap_narrow" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert grey is not None
    colour = (image[:400, :400, ::-1] / 255).astype(np.float32)
    trimap = np.select([grey == 0, grey == 255], [0, 1], 0.5).astype(np.float32)[:400, :400]
    solution = solve_closed_form(colour, trimap, ignore)
    theirs = estimate_alpha_cf(colour.astype(np.float64), trimap.astype(np.float64))
    assert solution.is_converged
    assert np.abs(solution.alpha - theirs)[trimap == 0.5].mean() < 0.003


def test_a_flat_picture_is_solved() -> None:
    trimap = on_the_borders()
    solution = solve_closed_form(np.full((24, 31, 3), 0.4, np.float32), trimap, ignore)
    assert solution.is_converged
    assert np.isfinite(solution.alpha).all()


def test_a_picture_too_narrow_for_a_window_is_left_as_background() -> None:
    trimap = np.array([[0, 0.5, 1], [0, 0.5, 1]], np.float32)
    solution = solve_closed_form(noise(2, 3), trimap, ignore)
    assert (solution.alpha[:, 1] == 0).all()


def test_too_few_rounds_are_reported() -> None:
    solution = solve_closed_form(IMAGE, TRIMAP, ignore, max_rounds=2)
    assert not solution.is_converged
    assert solution.rounds == 2
    assert solution.residual > 5e-5


def test_the_residual_is_that_of_alpha() -> None:
    solution = solve_closed_form(IMAGE, TRIMAP, ignore, dtype=torch.float64)
    system = system_of(IMAGE, TRIMAP, 6, 512)
    inside = torch.from_numpy(solution.alpha.ravel()[places_of(system, TRIMAP.shape[1])])
    alpha = torch.zeros_like(system.right_side)
    alpha[system.is_unknown] = inside.double()
    left = float((system.right_side - system.apply(alpha)).norm() / system.right_side.norm())
    assert solution.residual <= 5e-5
    assert left < 0.01  # clipping and float32 moved it a little


def test_the_same_job_gives_the_same_bytes() -> None:
    first, second = (solve_closed_form(IMAGE, TRIMAP, ignore).alpha for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_progress_rises_and_a_cancelled_job_leaves_torch_as_it_was() -> None:
    threads, told = torch.get_num_threads(), []
    solve_closed_form(IMAGE, TRIMAP, told.append)
    assert told == sorted(told)
    assert 0 <= told[0] < 0.3
    assert told[-1] > 0.8

    def cancel(fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        solve_closed_form(IMAGE, TRIMAP, cancel)
    assert torch.get_num_threads() == threads


def test_jobs_side_by_side_leave_torch_with_the_threads_that_it_had() -> None:
    begun, first_ended, seen = threading.Event(), threading.Event(), []

    def outlast(_fraction: float) -> None:
        begun.set()
        assert first_ended.wait(30)
        seen.append(torch.get_num_threads())

    def solve_second() -> None:
        solve_closed_form(IMAGE, TRIMAP, outlast)
        seen.append(torch.get_num_threads())

    def start_second(_fraction: float) -> None:
        if not begun.is_set():
            second.start()
            assert begun.wait(30)

    second = threading.Thread(target=solve_second)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        solve_closed_form(IMAGE, TRIMAP, start_second)
        assert torch.get_num_threads() == 3
        first_ended.set()
        second.join()
        assert set(seen[:-1]) == {1}
        assert seen[-1] == torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_too_little_memory_is_said_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("smart_matte.engine.models.closed_form_solver.lay_blocks", fail)
    with pytest.raises(MemoryError):
        solve_closed_form(IMAGE, TRIMAP, ignore)

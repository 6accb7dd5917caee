"""The four errors against a plain-loop reference in float64 and against figures found by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from smart_matte.evaluation.metrics import (
    connectivity_error,
    gradient_error,
    measure,
    mse,
    sad,
)

U8 = NDArray[np.uint8]
Metric = Callable[[U8, U8, NDArray[np.bool_]], float]

METRICS: list[Metric] = [sad, mse, gradient_error, connectivity_error]
EVERYWHERE = np.ones((8, 8), np.bool_)


def flat(value: int) -> U8:
    return np.full((8, 8), value, np.uint8)


# ---- the reference: the definitions, one pixel at a time ----


def reference_sad(alpha: U8, truth: U8, unknown: NDArray[np.bool_]) -> float:
    return sum(abs(int(a) - int(t)) / 255 for a, t in pixels(alpha, truth, unknown)) / 1000


def reference_mse(alpha: U8, truth: U8, unknown: NDArray[np.bool_]) -> float:
    squares = [((int(a) - int(t)) / 255) ** 2 for a, t in pixels(alpha, truth, unknown)]
    return sum(squares) / len(squares)


def pixels(alpha: U8, truth: U8, unknown: NDArray[np.bool_]) -> list[tuple[np.uint8, np.uint8]]:
    return [(a, t) for a, t, u in zip(alpha.flat, truth.flat, unknown.flat, strict=True) if u]


def reference_gradient(alpha: U8, truth: U8, unknown: NDArray[np.bool_]) -> float:
    difference = reference_amplitude(alpha) - reference_amplitude(truth)
    return float(sum(d**2 for d, u in zip(difference.flat, unknown.flat, strict=True) if u)) / 1000


def reference_amplitude(alpha: U8) -> NDArray[np.float64]:
    low, high = float(alpha.min()), float(alpha.max())
    span = high - low or 1.0
    stretched = [[(float(v) - low) / span for v in row] for row in alpha]
    hx = reference_filter()
    height, width = alpha.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            gx = gy = 0.0
            for i in range(9):
                for j in range(9):
                    row = min(max(y - (i - 4), 0), height - 1)
                    column = min(max(x - (j - 4), 0), width - 1)
                    gx += hx[i][j] * stretched[row][column]
                    gy += hx[j][i] * stretched[row][column]
            result[y, x] = math.sqrt(gx * gx + gy * gy)
    return result


def reference_filter() -> list[list[float]]:
    sigma = 1.4

    def gauss(x: float) -> float:
        return math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))

    raw = [[gauss(i - 4) * -(j - 4) * gauss(j - 4) / sigma**2 for j in range(9)] for i in range(9)]
    norm = math.sqrt(sum(v**2 for row in raw for v in row))
    return [[v / norm for v in row] for row in raw]


def reference_connectivity(alpha: U8, truth: U8, unknown: NDArray[np.bool_]) -> float:
    height, width = alpha.shape
    level: dict[tuple[int, int], float] = {}
    for step in range(1, 11):
        inside = {
            (y, x)
            for y in range(height)
            for x in range(width)
            if int(alpha[y, x]) * 10 >= step * 255 and int(truth[y, x]) * 10 >= step * 255
        }
        body = reference_largest_part(inside, height, width)
        for y in range(height):
            for x in range(width):
                if (y, x) not in body and (y, x) not in level:
                    level[y, x] = (step - 1) / 10
    total = 0.0
    for y in range(height):
        for x in range(width):
            if unknown[y, x]:
                own = level.get((y, x), 1.0)
                total += abs(phi(int(alpha[y, x]), own) - phi(int(truth[y, x]), own))
    return total / 1000


def phi(value: int, level: float) -> float:
    beyond = value / 255 - level
    return 1 - beyond if beyond >= 0.15 else 1.0


def reference_largest_part(
    inside: set[tuple[int, int]], height: int, width: int
) -> set[tuple[int, int]]:
    best: set[tuple[int, int]] = set()
    seen: set[tuple[int, int]] = set()
    for x in range(width):  # column by column, as MATLAB numbers components
        for y in range(height):
            if (y, x) not in inside or (y, x) in seen:
                continue
            part, todo = {(y, x)}, [(y, x)]
            while todo:
                v, u = todo.pop()
                for near in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)):
                    if near in inside and near not in part:
                        part.add(near)
                        todo.append(near)
            seen |= part
            if len(part) > len(best):
                best = part
    return best


REFERENCES: list[Metric] = [
    reference_sad,
    reference_mse,
    reference_gradient,
    reference_connectivity,
]


@pytest.mark.parametrize(
    ("metric", "reference"), list(zip(METRICS, REFERENCES, strict=True)), ids=lambda f: f.__name__
)
@pytest.mark.parametrize("levels", [2, 4, 11, 256])
def test_metric_equals_the_plain_loop_reference(
    metric: Metric, reference: Metric, levels: int
) -> None:
    """Few levels make many parts of equal size; eleven levels lie exactly on the thresholds."""
    random = np.random.default_rng(levels)
    for _ in range(12):
        shape = tuple(random.integers(5, 10, 2))
        alpha, truth = (
            np.rint(random.integers(0, levels, shape) * 255 / (levels - 1)).astype(np.uint8)
            for _ in range(2)
        )
        unknown = random.random(shape) < 0.6
        assert metric(alpha, truth, unknown) == pytest.approx(
            reference(alpha, truth, unknown), rel=1e-12, abs=1e-15
        )


@pytest.mark.parametrize("metric", METRICS, ids=lambda f: f.__name__)
def test_identical_alphas_have_no_error(metric: Metric) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    assert metric(alpha, alpha, EVERYWHERE) == 0.0


@pytest.mark.parametrize("metric", METRICS, ids=lambda f: f.__name__)
def test_a_region_without_pixels_has_no_error(metric: Metric) -> None:
    assert metric(flat(0), flat(255), ~EVERYWHERE) == 0.0


def test_known_pixels_do_not_count_in_sums() -> None:
    unknown = ~EVERYWHERE
    unknown[:, 4:] = True
    alpha = flat(100)
    alpha[:, :4] = 255
    assert sad(alpha, flat(100), unknown) == 0.0
    assert mse(alpha, flat(100), unknown) == 0.0


def test_sad_of_one_opaque_pixel_is_a_thousandth() -> None:
    alpha = flat(0)
    alpha[3, 5] = 255
    assert sad(alpha, flat(0), EVERYWHERE) == 1 / 1000
    assert sad(flat(0), alpha, EVERYWHERE) == 1 / 1000


def test_mse_averages_over_the_unknown_pixels_alone() -> None:
    unknown = ~EVERYWHERE
    unknown[0, :4] = True
    alpha = flat(0)
    alpha[0, 0] = 51  # 0.2
    assert mse(alpha, flat(0), unknown) == pytest.approx(0.04 / 4)


def test_gradient_error_forgives_a_change_of_contrast() -> None:
    truth = flat(0)
    truth[:, 4:] = 200
    assert gradient_error(truth // 2, truth, EVERYWHERE) == pytest.approx(0.0, abs=1e-15)


def test_gradient_error_of_a_missing_edge_is_the_edge_itself() -> None:
    """A vertical step answers with gx alone: the sum of one column of the filter."""
    truth = flat(0)
    truth[:, 4:] = 255
    columns = np.array(reference_filter()).sum(axis=0)
    expected = 8 * sum(columns[4 - k :].sum() ** 2 for k in range(-4, 4)) / 1000
    assert gradient_error(flat(0), truth, EVERYWHERE) == pytest.approx(expected)


def test_connectivity_error_without_any_common_part_is_the_alpha_itself() -> None:
    assert connectivity_error(flat(0), flat(255), EVERYWHERE) == pytest.approx(64 / 1000)


def test_connectivity_reaches_six_tenths_with_153() -> None:
    """Level 0.6: the truth is 0.4 beyond it, the alpha not at all."""
    assert connectivity_error(flat(153), flat(255), EVERYWHERE) == pytest.approx(64 * 0.4 / 1000)


def test_connectivity_punishes_an_island_and_not_the_same_pixels_on_the_main_body() -> None:
    truth = flat(0)
    truth[2:6, 0:3] = 255
    island, attached = truth.copy(), truth.copy()
    island[3, 6] = attached[3, 3] = 33  # 0.13: below the tolerance on its own
    assert connectivity_error(attached, truth, EVERYWHERE) == 0.0
    assert connectivity_error(island, truth, EVERYWHERE) == 0.0
    island[3, 6] = 51
    assert connectivity_error(island, truth, EVERYWHERE) == pytest.approx(0.2 / 1000)


def test_of_equal_parts_the_first_column_by_column_is_the_main_body() -> None:
    """The lower left pixel comes first column by column, the upper right one row by row."""
    alpha = flat(0)
    alpha[0, 5] = alpha[5, 0] = 255
    truth = alpha.copy()
    truth[0, 5] = 229
    # The upper right pixel is no part of the body: level 0, both alphas count in full.
    # As the body it would have level 0.8: |1 - 0.2 - 1| = 0.2.
    assert connectivity_error(alpha, truth, EVERYWHERE) == pytest.approx(26 / 255 / 1000)


def test_diagonal_neighbours_are_not_connected() -> None:
    alpha = flat(0)
    alpha[0:2, 0:2] = alpha[2, 2] = 255
    truth = alpha.copy()
    truth[2, 2] = 229  # level 0, as an island; 0.8 if it hung on the square's corner
    assert connectivity_error(alpha, truth, EVERYWHERE) == pytest.approx(26 / 255 / 1000)


def test_measure_rounds_to_eight_bits_and_keeps_the_order_of_the_errors() -> None:
    alpha = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    truth = alpha[::-1].copy()
    errors = measure(alpha, truth, EVERYWHERE)
    alpha_u8, truth_u8 = (np.rint(a * 255).astype(np.uint8) for a in (alpha, truth))
    assert errors.sad == sad(alpha_u8, truth_u8, EVERYWHERE)
    assert errors.mse == mse(alpha_u8, truth_u8, EVERYWHERE)
    assert errors.gradient == gradient_error(alpha_u8, truth_u8, EVERYWHERE)
    assert errors.connectivity == connectivity_error(alpha_u8, truth_u8, EVERYWHERE)
    assert measure(alpha + np.float32(0.001), alpha, EVERYWHERE).sad < 32 / 255 / 1000

"""Windows hold what is wanted, and no more than the margin around it."""

import numpy as np
import pytest

from smart_matte.engine.windows import window_around


@pytest.mark.parametrize("margin_px", [0, 1, 5, 100])
@pytest.mark.parametrize("seed", range(5))
def test_a_window_is_the_smallest_with_its_margin_inside_the_picture(
    seed: int, margin_px: int
) -> None:
    is_wanted = np.random.default_rng(seed).random((30, 40)) < 0.003
    is_wanted[17, 11] = True
    y, x = np.nonzero(is_wanted)
    rows, columns = window_around(is_wanted, margin_px)
    assert (rows.start, rows.stop) == (
        max(0, y.min() - margin_px),
        min(30, y.max() + 1 + margin_px),
    )
    assert (columns.start, columns.stop) == (
        max(0, x.min() - margin_px),
        min(40, x.max() + 1 + margin_px),
    )


def test_a_single_pixel_has_a_window_of_its_size() -> None:
    assert window_around(np.ones((1, 1), bool), 3) == (slice(0, 1), slice(0, 1))

import numpy as np
import pytest
from scenes import BACKGROUND, FOREGROUND, banded_trimap, composite, soft_disc

from smart_matte.engine.foreground import (
    decontaminated,
    estimate_colours_multilevel,
    estimate_foreground_multilevel,
)

ALPHA = soft_disc()
IMAGE = composite(ALPHA)
TRIMAP = banded_trimap(ALPHA)


@pytest.mark.parametrize("percent", [0, 40, 100])
def test_colour_changes_in_the_unknown_region_alone(percent: float) -> None:
    result = decontaminated(IMAGE, FOREGROUND, TRIMAP, percent)
    assert (result[TRIMAP != 0.5] == IMAGE[TRIMAP != 0.5]).all()


def test_the_amount_blends_from_the_picture_to_the_foreground() -> None:
    is_unknown = TRIMAP == 0.5
    none, half, full = (decontaminated(IMAGE, FOREGROUND, TRIMAP, p) for p in (0, 50, 100))
    assert (none == IMAGE).all()
    np.testing.assert_allclose(full[is_unknown], FOREGROUND[is_unknown], atol=1e-6)
    np.testing.assert_allclose(half, (none + full) / 2, atol=1e-6)


def test_the_multilevel_estimate_takes_the_background_out() -> None:
    foreground = estimate_foreground_multilevel(IMAGE, ALPHA)
    is_mixed = (ALPHA > 0.2) & (ALPHA < 0.8)
    before = np.abs(IMAGE - FOREGROUND)[is_mixed].mean()
    after = np.abs(foreground - FOREGROUND)[is_mixed].mean()
    assert foreground.dtype == np.float32
    assert after < 0.3 * before


def test_both_colours_are_estimated_and_composite_to_the_picture() -> None:
    foreground, background = estimate_colours_multilevel(IMAGE, ALPHA)
    np.testing.assert_array_equal(foreground, estimate_foreground_multilevel(IMAGE, ALPHA))
    is_mixed = (ALPHA > 0.2) & (ALPHA < 0.8)
    before, after = (np.abs(colour - BACKGROUND)[is_mixed].mean() for colour in (IMAGE, background))
    assert after < 0.3 * before
    again = ALPHA[..., None] * foreground + (1 - ALPHA[..., None]) * background
    assert np.abs(again - IMAGE)[is_mixed].max() < 0.03
    for colour in (foreground, background):
        assert colour.dtype == np.float32
        assert colour.shape == IMAGE.shape
        assert 0 <= colour.min() <= colour.max() <= 1

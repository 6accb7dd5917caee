"""The references are pymatting's own estimators behind the interface of a matter."""

import numpy as np
import pytest
from pymatting import estimate_alpha_cf, estimate_alpha_knn

from smart_matte.engine.types import FloatArray, ignore_progress
from smart_matte.evaluation.references import REFERENCES, load_reference


@pytest.fixture(scope="module")
def picture() -> tuple[FloatArray, FloatArray]:
    """A bright disc on dark noise, and its trimap."""
    y, x = np.indices((32, 40), np.float32)
    distance_px = np.hypot(y - 16, x - 20)
    alpha = np.clip(9 - distance_px + 0.5, 0, 1)[..., None]
    noise = np.random.default_rng(0).uniform(0, 0.2, (32, 40, 3))
    image = noise + alpha * (np.array([0.9, 0.7, 0.3]) - noise)
    trimap = np.where(np.abs(distance_px - 9) < 4, 0.5, np.rint(alpha[..., 0]))
    return image.astype(np.float32), trimap.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "estimate"),
    [("pymatting-cf", estimate_alpha_cf), ("pymatting-knn", estimate_alpha_knn)],
)
def test_a_reference_gives_what_pymatting_gives_in_float64(
    picture: tuple[FloatArray, FloatArray], name: str, estimate: type[estimate_alpha_cf]
) -> None:
    image, trimap = picture
    matte = load_reference(name).matte(image, trimap, ignore_progress)
    expected = estimate(image.astype(np.float64), trimap.astype(np.float64))
    assert matte.alpha.dtype == np.float32
    assert np.array_equal(matte.alpha[trimap == 0.5], expected[trimap == 0.5].astype(np.float32))
    assert matte.foreground is None


@pytest.mark.parametrize("name", REFERENCES)
def test_known_pixels_stay_exact_and_one_side_alone_is_no_problem(
    picture: tuple[FloatArray, FloatArray], name: str
) -> None:
    image, trimap = picture
    reference = load_reference(name)
    assert reference.name == name
    alpha = reference.matte(image, trimap, ignore_progress).alpha
    assert np.array_equal(alpha[trimap != 0.5], trimap[trimap != 0.5])
    for side in (0, 1):
        one_sided = np.where(trimap == 1 - side, np.float32(0.5), trimap)
        assert (reference.matte(image, one_sided, ignore_progress).alpha == side).all()

import cv2
import numpy as np
from scenes import FOREGROUND, composite, soft_disc

from smart_matte.engine.guided_upsampling import _fit_windows, upsample_guided


def shrink(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def test_window_fit_equals_ridge_regression_by_hand() -> None:
    rng = np.random.default_rng(3)
    image, alpha = rng.random((9, 9, 3)).astype("f4"), rng.random((9, 9)).astype("f4")
    # A window is averaged with its neighbours: fit each of the 9 around the centre by hand.
    slopes, offsets = [], []
    for row in (3, 4, 5):
        for column in (3, 4, 5):
            guide = image[row - 1 : row + 2, column - 1 : column + 2].reshape(9, 3).astype("f8")
            target = alpha[row - 1 : row + 2, column - 1 : column + 2].ravel().astype("f8")
            centred = guide - guide.mean(0)
            left = centred.T @ centred / 9 + 1e-5 * np.eye(3)
            slope = np.linalg.solve(left, centred.T @ (target - target.mean()) / 9)
            slopes.append(slope)
            offsets.append(target.mean() - slope @ guide.mean(0))
    slope, offset = _fit_windows(alpha, image, radius_px=1, epsilon=1e-5)
    np.testing.assert_allclose(slope[4, 4], np.mean(slopes, axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(offset[4, 4], np.mean(offsets), rtol=1e-4, atol=1e-4)


def test_it_is_nearer_to_the_truth_than_bilinear() -> None:
    alpha = soft_disc(softness_px=0.7)
    image = composite(alpha)
    small = shrink(alpha)
    guided = upsample_guided(small, shrink(image), image)
    bilinear = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(guided - alpha).mean() < 0.5 * np.abs(bilinear - alpha).mean()


def test_a_constant_alpha_stays_constant() -> None:
    small = np.full((60, 80), 0.25, np.float32)
    upsampled = upsample_guided(small, shrink(FOREGROUND), FOREGROUND)
    np.testing.assert_allclose(upsampled, 0.25, atol=1e-5)

"""Trimaps never claim to know a mixed pixel, but for a lasso's few mistakes."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from smart_matte.training import trimaps
from smart_matte.training.trimaps import THIN, WRONG_SHARE, draw_trimaps, fill_holes, is_mistaken


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def soft_discs(count, size_px=96):
    """Discs of all sizes with a soft edge, and a hole each; float32 (N, 1, S, S)."""
    y, x = np.indices((size_px, size_px))
    distance = np.hypot(x - size_px / 2, y - size_px / 2)
    radii = np.linspace(4, 0.6 * size_px, count)[:, None, None]
    alpha = ((radii - distance) / 3 + 0.5).clip(0, 1)
    alpha = alpha * ((distance - radii / 4) / 2).clip(0, 1)
    return torch.from_numpy(alpha.astype(np.float32))[:, None]


@pytest.fixture(params=["dilated", "lasso", "coarse"])
def kind(request, monkeypatch):
    monkeypatch.setattr(trimaps, "SHARE_LASSO", float(request.param == "lasso"))
    monkeypatch.setattr(trimaps, "SHARE_COARSE", float(request.param == "coarse"))
    return request.param


def test_a_trimap_has_three_values_and_knows_something_of_both(kind):
    alpha = soft_discs(20)
    trimap = draw_trimaps(alpha, np.random.default_rng(0), noise())
    assert trimap.shape == alpha.shape
    assert trimap.dtype == torch.float32
    assert set(trimap.unique().tolist()) == {0, 0.5, 1}, kind
    for known in (0, 1):
        has_any = (alpha == known).any(dim=(1, 2, 3))
        assert ((trimap == known).any(dim=(1, 2, 3)) >= has_any).all()


def test_what_is_known_is_true_but_for_a_lassos_few_mistakes(kind):
    alpha = soft_discs(40)
    trimap = draw_trimaps(alpha, np.random.default_rng(1), noise())
    share = is_mistaken(trimap, alpha).float().mean(dim=(1, 2, 3))
    if kind == "lasso":
        assert 0 < share.max() <= WRONG_SHARE
        assert (share > 0).float().mean() < 0.9
    else:
        assert share.max() == 0


def test_clearly_mixed_pixels_are_unknown(kind):
    alpha = soft_discs(30)
    trimap = draw_trimaps(alpha, np.random.default_rng(2), noise())
    is_mixed = (alpha > 0.05) & (alpha < 0.95)
    if kind == "lasso":
        assert (trimap[is_mixed] == 0.5).float().mean() > 0.9
    else:
        assert (trimap[is_mixed] == 0.5).all()


def test_most_trimaps_leave_even_slightly_mixed_pixels_unknown(monkeypatch):
    monkeypatch.setattr(trimaps, "SHARE_LASSO", 0.0)
    rise = ((torch.arange(96.0) - 20) / 300).clamp(min=0)  # 0.005 to 0.05 is 13 pixels wide
    alpha = rise.expand(60, 1, 96, 96)
    trimap = draw_trimaps(alpha, np.random.default_rng(3), noise())
    is_mixed = (alpha > THIN) & (alpha < 1 - THIN)
    overlooks = ((trimap != 0.5) & is_mixed).any(dim=(1, 2, 3)).float().mean()
    assert 0 < overlooks < 0.35


def test_a_dilated_trimap_is_the_band_of_both_radii(monkeypatch):
    monkeypatch.setattr(trimaps, "SHARE_LASSO", 0.0)
    monkeypatch.setattr(trimaps, "SHARE_COARSE", 0.0)
    monkeypatch.setattr(trimaps, "SHARE_ISLANDS", 0.0)
    monkeypatch.setattr(trimaps, "SHARE_ISLANDS_OUTSIDE", 0.0)
    monkeypatch.setattr(trimaps, "SHARE_THIN", 1.0)
    radii = iter([np.array([6.5]), np.array([11.5])])
    monkeypatch.setattr(trimaps, "_draw_radii", lambda *_: next(radii))
    alpha = soft_discs(3)[1:2]
    trimap = draw_trimaps(alpha, np.random.default_rng(0), noise())[0, 0].numpy()
    opacity = alpha[0, 0].numpy()
    expected = np.full(opacity.shape, 0.5)
    for known, region, radius_px in ((1, opacity > 0.995, 6.5), (0, opacity <= 0.005, 11.5)):
        depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        expected[depth > radius_px] = known
    np.testing.assert_array_equal(trimap, expected)


@pytest.mark.parametrize("side", [0, 1])
def test_some_trimaps_have_unknown_islands_in_what_is_plain(side, monkeypatch):
    monkeypatch.setattr(trimaps, "SHARE_LASSO", 0.0)
    monkeypatch.setattr(trimaps, "SHARE_COARSE", 0.0)
    alpha = torch.full((200, 1, 96, 96), float(side))
    trimap = draw_trimaps(alpha, np.random.default_rng(0), noise())
    shares = (trimap == 0.5).float().mean(dim=(1, 2, 3))
    expected = (trimaps.SHARE_ISLANDS_OUTSIDE, trimaps.SHARE_ISLANDS)[side]
    assert (shares > 0).float().mean() == pytest.approx(expected, abs=0.1)
    assert 0.01 < shares[shares > 0].mean() < 0.3


def test_radii_stay_within_their_limits_and_most_are_of_the_usual_size():
    radii = trimaps._draw_radii(4000, 1000, np.random.default_rng(0))
    assert radii.min() >= 2
    assert 25 < radii.max() <= 40
    assert 0.02 < (radii > 25).mean() < 0.1
    assert trimaps._draw_radii(100, 60, np.random.default_rng(0)).max() <= 10


def test_trimaps_come_again_from_the_same_seed(kind):
    alpha = soft_discs(8)
    drawn = [draw_trimaps(alpha, np.random.default_rng(s), noise(s)) for s in (4, 4, 5)]
    assert torch.equal(drawn[0], drawn[1]), kind
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_plain_alpha_is_no_trouble(kind, value):
    alpha = torch.full((4, 1, 48, 48), value)
    trimap = draw_trimaps(alpha, np.random.default_rng(0), noise())
    assert (trimap == value).any(), kind
    assert ((trimap == value) | (trimap == 0.5)).all()


def test_holes_are_filled_as_scipy_fills_them():
    random = np.random.default_rng(0)
    regions = random.random((20, 14, 11)) < 0.6
    filled = fill_holes(torch.from_numpy(regions)[:, None])[:, 0].numpy()
    for region, found in zip(regions, filled, strict=True):
        np.testing.assert_array_equal(found, ndimage.binary_fill_holes(region))

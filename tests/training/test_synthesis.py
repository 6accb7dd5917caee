"""Samples as the training sees them."""

import cv2
import numpy as np
import pytest
import torch

from smart_matte.errors import PictureError
from smart_matte.training import synthesis
from smart_matte.training.foregrounds import Foreground
from smart_matte.training.synthesis import draw_samples, read_photos


@pytest.fixture
def foregrounds():
    y, x = np.indices((80, 80))
    alpha = (25 - np.hypot(x - 40, y - 40)).clip(0, 1).astype(np.float32)
    colour = np.random.default_rng(0).random((80, 80, 3)).astype(np.float32)
    return [Foreground(colour, alpha), Foreground(colour[::-1, 9:].copy(), alpha[:, 9:].copy())]


@pytest.fixture
def photos():
    random = np.random.default_rng(1)
    return [random.integers(0, 256, size, np.uint8) for size in ((50, 90, 3), (120, 64, 3))]


def draw(foregrounds, photos, seed=0, count=9):
    return draw_samples(foregrounds, photos, count, 48, np.random.default_rng(seed))


def test_samples_have_the_promised_shapes_types_and_ranges(foregrounds, photos):
    samples = draw(foregrounds, photos)
    assert samples.image.dtype == torch.uint8
    assert samples.image.shape == (9, 3, 48, 48)
    assert samples.alpha.shape == samples.trimap.shape == (9, 1, 48, 48)
    assert samples.foreground.shape == samples.background.shape == (9, 3, 48, 48)
    for plane in samples[1:]:
        assert plane.dtype == torch.float32
        assert 0 <= plane.min() <= plane.max() <= 1


def test_before_the_camera_the_image_is_exactly_what_its_truth_composes_to(
    foregrounds, photos, monkeypatch
):
    seen = []

    def keep(image, *_):
        seen.append(image)
        return (image * 255).round().to(torch.uint8)

    monkeypatch.setattr(synthesis, "take_picture", keep)
    samples = draw(foregrounds, photos)
    alpha = samples.alpha.double()
    composed = alpha * samples.foreground.double() + (1 - alpha) * samples.background.double()
    torch.testing.assert_close(seen[0].double(), composed, atol=1e-6, rtol=0)


def test_the_camera_leaves_the_image_near_its_truth(foregrounds, photos):
    samples = draw(foregrounds, photos, count=20)
    composed = samples.alpha * samples.foreground + (1 - samples.alpha) * samples.background
    error = (samples.image / 255 - composed).abs().mean(dim=(1, 2, 3))
    assert error.median() < 0.04
    assert error.min() < 0.01


def test_the_same_seed_gives_the_same_samples_and_another_does_not(foregrounds, photos):
    samples = draw(foregrounds, photos)
    for one, again in zip(samples, draw(foregrounds, photos), strict=True):
        assert torch.equal(one, again)
    for one, other in zip(samples, draw(foregrounds, photos, seed=1), strict=True):
        assert not torch.equal(one, other)


def test_nothing_is_made_on_another_device_than_the_one_given(foregrounds, photos):
    expected = draw(foregrounds, photos, count=30)
    with torch.device("meta"):  # where what names no device goes, and can't be read from
        samples = draw(foregrounds, photos, count=30)
    for one, other in zip(samples, expected, strict=True):
        assert torch.equal(one, other)


def test_one_sample_and_many_are_no_trouble(foregrounds, photos):
    for count in (1, 2, 33):
        assert len(draw(foregrounds, photos, seed=count, count=count).image) == count


def test_photos_are_read_by_name_upright_and_no_larger_than_needed(tmp_path):
    (tmp_path / "b").mkdir()
    red = np.zeros((600, 2048, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "b" / "red.png"), red)
    cv2.imwrite(str(tmp_path / "a.JPG"), np.full((20, 30, 3), 90, np.uint8))
    (tmp_path / "SOURCES.md").write_text("not a photo")
    small, large = read_photos(tmp_path)
    assert small.shape == (20, 30, 3)
    assert large.shape == (300, 1024, 3)
    assert large.dtype == np.uint8
    assert (large == (255, 0, 0)).all()


def test_a_folder_without_photos_is_told(tmp_path):
    with pytest.raises(PictureError, match="holds no photos"):
        read_photos(tmp_path)


def test_a_damaged_photo_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"broken\.png"):
        read_photos(tmp_path)

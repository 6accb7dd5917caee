"""Our JPEG against libjpeg's."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn

from smart_matte.training.jpeg import _cosines, compress_jpeg


def picture(height, width):
    """Waves, an edge and some noise in colour; uint8 (H, W, 3)."""
    random = np.random.default_rng(0)
    y, x = np.indices((height, width))
    waves = np.stack([np.sin(x / 5 + y / 9), np.cos(x / 7), np.sin(y / 4)], axis=-1)
    levels = 128 + 60 * waves + random.normal(0, 8, waves.shape)
    levels[y > x] *= 0.5
    return levels.clip(0, 255).astype(np.uint8)


def compress(image_u8, quality, *, is_chroma_halved):
    image = torch.from_numpy(image_u8).permute(2, 0, 1)[None].float() / 255
    found = compress_jpeg(
        image, torch.full((1, 1, 1, 1), float(quality)), is_chroma_halved=is_chroma_halved
    )
    return (found[0].permute(1, 2, 0) * 255).round().numpy()


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 97])
@pytest.mark.parametrize("is_chroma_halved", [False, True])
@pytest.mark.parametrize("size", [(64, 96), (61, 83)])
def test_it_loses_what_libjpeg_loses(quality, is_chroma_halved, size):
    image_u8 = picture(*size)
    file = io.BytesIO()
    sampling = "4:2:0" if is_chroma_halved else "4:4:4"
    Image.fromarray(image_u8).save(file, "JPEG", quality=quality, subsampling=sampling)
    expected = np.asarray(Image.open(file), np.float64)
    found = compress(image_u8, quality, is_chroma_halved=is_chroma_halved)
    loss, own_loss = (np.abs(image_u8 - made).mean() for made in (expected, found))
    # libjpeg's integers round some of the coefficients to the neighbouring step
    assert np.abs(found - expected).mean() < min(1.0, 0.4 * loss)
    assert own_loss == pytest.approx(loss, rel=0.03)
    assert np.abs((found - expected).mean(axis=(0, 1))).max() < 0.25


def test_each_sample_has_its_own_quality():
    image = torch.from_numpy(picture(32, 32)).permute(2, 0, 1)[None].float() / 255
    qualities = torch.tensor([50.0, 95.0])[:, None, None, None]
    both = compress_jpeg(image.expand(2, -1, -1, -1), qualities, is_chroma_halved=True)
    for one, quality in zip(both, qualities, strict=True):
        alone = compress_jpeg(image, quality[None], is_chroma_halved=True)
        torch.testing.assert_close(one[None], alone)


def test_the_transform_is_the_orthonormal_cosine_transform():
    block = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 8)))
    cosines = _cosines(block)
    expected = dctn(block.numpy(), norm="ortho")
    np.testing.assert_allclose((cosines @ block @ cosines.T).numpy(), expected, atol=1e-12)


def test_a_plain_picture_stays_plain():
    image_u8 = np.full((16, 16, 3), 90, np.uint8)
    found = compress(image_u8, 50, is_chroma_halved=True)
    assert np.ptp(found) <= 2
    assert abs(found.mean() - 90) <= 2

"""Noise, sharpening and files."""

import numpy as np
import pytest
import torch

from smart_matte.training.camera import EFFECTS, add_noise, resize, sharpen, soften, take_picture


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def image():
    """Float32 (6, 3, 40, 40)."""
    values = torch.rand((6, 3, 5, 5), generator=noise(5))
    return torch.nn.functional.interpolate(values, size=(40, 40), mode="bilinear")


def test_a_picture_has_8_bits_and_comes_again_from_the_same_seed(image):
    pictures = [take_picture(image, np.random.default_rng(s), noise(s)) for s in (1, 1, 2)]
    assert pictures[0].dtype == torch.uint8
    assert pictures[0].shape == image.shape
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_a_picture_is_still_what_it_was_of(image):
    taken = take_picture(image, np.random.default_rng(0), noise()).float() / 255
    assert (taken - image).abs().mean() < 0.03


def test_the_image_given_is_left_as_it_is(image):
    before = image.clone()
    take_picture(image, np.random.default_rng(0), noise())
    assert torch.equal(image, before)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.apply.__name__)
def test_every_effect_changes_a_picture_a_little(image, effect):
    changed = effect.apply(image, np.random.default_rng(0), noise())
    assert changed.shape == image.shape
    difference = (changed - image).abs().mean()
    assert 0 < difference < 0.05
    assert 0 < effect.share < 1


def test_noise_has_no_mean_and_the_strength_that_was_drawn():
    grey = torch.full((40, 3, 48, 48), 0.5)
    grain = add_noise(grey, np.random.default_rng(0), noise()) - grey
    assert grain.mean().abs() < 2e-3
    strength = grain.std(dim=(1, 2, 3))
    assert strength.min() > 0.001
    assert strength.max() < 0.035
    assert strength.max() > 5 * strength.min()


def test_noise_is_stronger_in_bright_places():
    halves = torch.full((20, 3, 48, 48), 0.05)
    halves[..., 24:] = 0.95
    grain = add_noise(halves, np.random.default_rng(0), noise()) - halves
    assert (grain[..., 24:].std(dim=(1, 2, 3)) > grain[..., :24].std(dim=(1, 2, 3))).all()


def contrast(image):
    return (image[..., 1:] - image[..., :-1]).abs().mean()


def test_sharpening_raises_and_softening_lowers_contrast(image):
    random = np.random.default_rng(0)
    assert contrast(sharpen(image, random, noise())) > contrast(image)
    for lower in (soften, resize):
        assert contrast(lower(image, random, noise())) < contrast(image)

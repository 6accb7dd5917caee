"""The eight losses against cases small enough for paper, in float64."""

from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch.autograd import gradcheck

from smart_matte.training.config import LossConfig
from smart_matte.training.losses import (
    Losses,
    Prediction,
    Truth,
    alpha_composition_loss,
    alpha_gradient_loss,
    alpha_l1_loss,
    alpha_laplacian_loss,
    colour_composition_loss,
    colour_exclusion_loss,
    colour_l1_loss,
    colour_laplacian_loss,
    compute_losses,
    soft_clamp,
)

NAMES = tuple(Losses.__dataclass_fields__)
SIZES = [(32, 32), (33, 47), (64, 40), (45, 32)]


def plane(rows):
    """One channel of one sample: (1, 1, H, W)."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def flat(value, like):
    """Three channels of one value, each as large as *like*."""
    return torch.full((*like.shape[:1], 3, *like.shape[2:]), value, dtype=torch.float64)


def composite(alpha, foreground, background):
    return alpha * foreground + (1 - alpha) * background


def case(alpha, true_alpha, is_unknown, **colours):
    """Prediction and truth from rows; colours are one value each, F 1 and B 0 if unsaid."""
    true_alpha = plane(true_alpha)
    values = {"foreground": 1.0, "background": 0.0, **colours}
    foreground, background = (
        flat(values[name], true_alpha) for name in ("foreground", "background")
    )
    image = composite(true_alpha, foreground, background)
    return (
        Prediction(plane(alpha), foreground.clone(), background.clone()),
        Truth(image, true_alpha, foreground, background, plane(is_unknown)),
    )


def random_case(height, width, samples=2, seed=0):
    """Noise everywhere, half unknown, a quarter of alpha 0 and a quarter 1; C is the composite."""
    random = torch.Generator().manual_seed(seed)

    def draw(channels):
        shape = (samples, channels, height, width)
        return torch.rand(shape, generator=random, dtype=torch.float64)

    alpha, foreground, background = (2 * draw(1) - 0.5).clamp(0, 1), draw(3), draw(3)
    image = composite(alpha, foreground, background)
    is_unknown = (draw(1) < 0.5).double()
    truth = Truth(image, alpha, foreground, background, is_unknown)
    return Prediction(draw(1), draw(3), draw(3)), truth


def test_l1_of_alpha_is_the_mean_error_of_the_unknown_pixels():
    prediction, truth = case([[0.5, 0.25, 0.9]], [[0.25, 0.75, 0.0]], [[1, 1, 0]])
    assert alpha_l1_loss(prediction, truth).item() == (0.25 + 0.5) / 2


def test_composition_of_alpha_is_its_error_times_the_contrast():
    colours = {"foreground": 0.75, "background": 0.25}
    prediction, truth = case([[0.5, 0.25, 0.9]], [[0.25, 0.75, 0.0]], [[1, 1, 0]], **colours)
    assert alpha_composition_loss(prediction, truth).item() == (0.125 + 0.25) / 2


def test_composition_of_alpha_uses_the_true_colours_and_the_mean_of_channels():
    prediction, truth = case([[0.5]], [[0.5]], [[1]])
    wrong = prediction._replace(foreground=0 * prediction.foreground)
    assert alpha_composition_loss(wrong, truth) == 0
    image = truth.image.clone()
    image[:, 1] += 0.375
    assert alpha_composition_loss(prediction, truth._replace(image=image)).item() == 0.125


def test_gradient_of_alpha_is_the_mean_difference_of_neighbours_both_ways():
    prediction, truth = case([[0.5, 0.75], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]])
    across = (0.25 + 1) / 2
    down = (0.5 + 0.25) / 2
    assert alpha_gradient_loss(prediction, truth).item() == across + down


def test_gradient_of_alpha_counts_the_edge_of_the_band_but_not_beyond():
    rows = [[0.3, 0.5, 0.25, 0.9, 0.1]], [[0, 0, 0, 1, 1]], [[0, 1, 1, 0, 0]]
    prediction, truth = case(*(2 * row for row in rows))
    # with the truth in its known pixels: 0, .5, .25, 1, 1 against 0, 0, 0, 1, 1; last pair unasked
    assert alpha_gradient_loss(prediction, truth).item() == (0.5 + 0.25 + 0.25) / 3


def test_laplacian_of_a_point_is_what_the_binomial_filter_leaves_of_it():
    alpha = torch.zeros(1, 1, 256, 256, dtype=torch.float64)
    alpha[..., 128, 128] = 1
    truth = Truth(
        flat(0, alpha), 0 * alpha, flat(0, alpha), flat(0, alpha), alpha
    )  # it alone counts
    prediction = Prediction(alpha, truth.foreground, truth.background)
    # Along one axis a point (and two equal neighbours) halves to a point and two neighbours.
    expected, centre, beside = Fraction(0), Fraction(1), Fraction(0)
    for level in range(5):
        half_centre = (6 * centre + 8 * beside) / 16
        half_beside = (centre + 4 * beside) / 16
        rebuilt = 2 * (6 * half_centre + 2 * half_beside) / 16
        expected += 2**level * abs(centre**2 - rebuilt**2)
        centre, beside = half_centre, half_beside
    assert expected > Fraction(1, 2)
    loss = alpha_laplacian_loss(prediction, truth).item()
    assert loss == pytest.approx(float(expected), rel=0, abs=1e-14)


def plain_laplacian_loss(error, weight):
    """The same for one sample, in numpy: error (C, H, W), weight (H, W)."""
    kernel, loss = np.array([1, 4, 6, 4, 1]) / 16, 0.0

    def blur(values):
        return correlate1d(correlate1d(values, kernel, 1, mode="mirror"), kernel, 2, mode="mirror")

    for level in range(5):
        half = blur(error)[:, ::2, ::2]
        sparse = np.zeros_like(error)
        sparse[:, ::2, ::2] = half
        band = np.abs(error - 4 * blur(sparse))
        loss += 2**level * (band * weight).sum() / max(1, len(error) * weight.sum())
        error, weight = half, weight[::2, ::2]
    return loss


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_laplacian_agrees_with_the_pyramid_written_in_numpy(height, width):
    prediction, truth = random_case(height, width, samples=1)
    weight = truth.is_unknown[0, 0].numpy()
    alpha = truth.alpha[0, 0].numpy()

    def error(name):
        return (getattr(prediction, name) - getattr(truth, name))[0].numpy()

    of_alpha = plain_laplacian_loss(error("alpha") * weight, weight)
    of_colour = sum(
        plain_laplacian_loss(error(name) * weight * is_seen, weight * is_seen)
        for name, is_seen in (("foreground", alpha > 0), ("background", alpha < 1))
    )
    assert alpha_laplacian_loss(prediction, truth).item() == pytest.approx(of_alpha, rel=1e-12)
    assert colour_laplacian_loss(prediction, truth).item() == pytest.approx(of_colour, rel=1e-12)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_laplacian_does_not_see_what_is_constant(height, width):
    _, truth = random_case(height, width)
    truth = truth._replace(is_unknown=torch.ones_like(truth.alpha))
    shifted = Prediction(truth.alpha + 0.25, truth.foreground, truth.background)
    assert alpha_laplacian_loss(shifted, truth).item() == pytest.approx(0, abs=1e-12)


def test_laplacian_refuses_pictures_too_small_for_its_levels():
    compute_losses(*random_case(17, 17))
    with pytest.raises(ValueError, match="16"):
        compute_losses(*random_case(16, 17))


def test_l1_of_colour_asks_each_colour_only_where_it_shows():
    prediction, truth = case([[0, 0, 0, 0]], [[0.0, 0.5, 1.0, 0.5]], [[1, 1, 1, 0]])
    prediction.foreground[0, 0] -= torch.tensor([0.9, 0.75, 0.375, 0.9], dtype=torch.float64)
    prediction.background[0, 2] += torch.tensor([0.375, 1.5, 0.9, 0.9], dtype=torch.float64)
    of_foreground = (0.75 + 0.375) / 3 / 2  # channels, pixels with alpha > 0
    of_background = (0.375 + 1.5) / 3 / 2
    assert colour_l1_loss(prediction, truth).item() == of_foreground + of_background


def test_composition_of_colour_weighs_errors_with_the_true_alpha():
    prediction, truth = case([[0, 0, 0]], [[0.25, 0.5, 0.5]], [[1, 1, 0]])
    prediction.foreground[0, :, 0, 0] -= 0.5
    prediction.background[0, :, 0, 1] += 0.25
    prediction.background[0, :, 0, 2] += 0.25
    loss = colour_composition_loss(prediction, truth)
    assert loss.item() == (0.25 * 0.5 + 0.5 * 0.25) / 2


def test_exclusion_is_the_product_of_both_gradients_by_channel_and_direction():
    prediction, truth = case([[0, 0], [0, 0]], [[0.5, 0.5], [0.5, 0.5]], [[1, 1], [1, 1]])
    foreground, background = torch.zeros(2, 1, 3, 2, 2, dtype=torch.float64)
    foreground[0, 0] = torch.tensor([[0, 0.5], [0.75, 0.25]])
    background[0, 0] = torch.tensor([[1, 0.5], [0.5, 0.75]])
    foreground[0, 1, 0, 0] = 1  # an edge that B has not
    background[0, 2, 0, 0] = 1  # an edge that F has not
    prediction = prediction._replace(foreground=foreground, background=background)
    across = (0.5 * 0.5 + 0.5 * 0.25) / 2 / 3
    down = (0.75 * 0.5 + 0.25 * 0.25) / 2 / 3
    expected = pytest.approx(across + down, rel=1e-15)
    assert colour_exclusion_loss(prediction, truth).item() == expected


def test_exclusion_counts_only_neighbours_that_show_both_colours():
    rows = [[0] * 5], [[0.5, 0.5, 1.0, 0.5, 0.5]], [[1, 1, 1, 1, 0]]
    prediction, truth = case(*(2 * row for row in rows))
    ramp = torch.tensor([0, 0.25, 1, 0, 1], dtype=torch.float64).expand(1, 3, 2, 5)
    both = prediction._replace(foreground=ramp, background=ramp)
    assert colour_exclusion_loss(both, truth).item() == 0.25 * 0.25


def test_exclusion_is_zero_where_one_colour_is_flat():
    prediction, truth = random_case(32, 32)
    flat_one = torch.full_like(prediction.background, 0.3)
    for colour in ("foreground", "background"):
        assert colour_exclusion_loss(prediction._replace(**{colour: flat_one}), truth) == 0
    assert colour_exclusion_loss(prediction, truth) > 0.05


def test_laplacian_of_colour_adds_that_of_both_colours():
    prediction, truth = random_case(40, 40)
    only_foreground = prediction._replace(background=truth.background)
    only_background = prediction._replace(foreground=truth.foreground)
    parts = [colour_laplacian_loss(part, truth) for part in (only_foreground, only_background)]
    assert min(parts) > 0.1
    assert colour_laplacian_loss(prediction, truth).item() == pytest.approx(sum(parts).item())


def test_the_truth_costs_nothing_but_exclusion():
    _, truth = random_case(33, 47)
    losses = compute_losses(Prediction(truth.alpha, truth.foreground, truth.background), truth)
    for name, value in losses.as_dict().items():
        if name not in {"colour_exclusion", "total"}:
            assert value == pytest.approx(0, abs=1e-15), name
    assert losses.total == 0.25 * losses.colour_exclusion


def test_a_wrong_prediction_costs_in_all_eight():
    losses = compute_losses(*random_case(33, 47)).as_dict()
    assert all(losses[name] > 0.05 for name in NAMES), losses


def test_the_total_weighs_the_four_of_colour_with_a_quarter():
    values = [torch.tensor(float(2**power)) for power in range(8)]
    losses = Losses(*values)
    assert losses.total.item() == (1 + 2 + 4 + 8) + 0.25 * (16 + 32 + 64 + 128)
    expected = {name: float(2**power) for power, name in enumerate(NAMES)}
    assert losses.as_dict() == {**expected, "total": losses.total.item()}


def test_nothing_predicted_in_known_pixels_changes_any_loss():
    prediction, truth = random_case(33, 47)
    is_known = 1 - truth.is_unknown
    other = Prediction(*(values + 7 * is_known for values in prediction))
    before, after = compute_losses(prediction, truth), compute_losses(other, truth)
    for name in NAMES:
        assert getattr(before, name) == getattr(after, name), name


def test_colours_that_cannot_be_seen_change_no_loss():
    prediction, truth = random_case(33, 47)
    other = prediction._replace(
        foreground=prediction.foreground + 7 * (truth.alpha == 0),
        background=prediction.background + 7 * (truth.alpha == 1),
    )
    before, after = compute_losses(prediction, truth), compute_losses(other, truth)
    for name in NAMES:
        assert getattr(before, name) == getattr(after, name), name


def test_a_narrow_band_counts_as_much_as_a_wide_one():
    alpha = torch.zeros(2, 1, 32, 32, dtype=torch.float64)
    is_unknown = torch.ones_like(alpha)
    is_unknown[0] = 0
    is_unknown[0, :, 5, 5] = 1
    predicted = alpha.clone()
    predicted[0, :, 5, 5] = 1  # all of the narrow band is wrong, nothing of the wide one
    truth = Truth(flat(0, alpha), alpha, flat(1, alpha), flat(0, alpha), is_unknown)
    prediction = Prediction(predicted, truth.foreground, truth.background)
    assert alpha_l1_loss(prediction, truth) == 0.5
    assert alpha_composition_loss(prediction, truth) == 0.5


def test_the_loss_of_a_batch_is_the_mean_of_its_samples():
    prediction, truth = random_case(33, 47, samples=3)
    of_batch = compute_losses(prediction, truth).as_dict()
    of_samples = [
        compute_losses(
            Prediction(*(values[i : i + 1] for values in prediction)),
            Truth(*(values[i : i + 1] for values in truth)),
        ).as_dict()
        for i in range(3)
    ]
    for name, value in of_batch.items():
        assert value == pytest.approx(sum(one[name] for one in of_samples) / 3, rel=1e-12), name


def test_a_sample_without_unknown_pixels_counts_as_zero_and_has_a_finite_gradient():
    prediction, truth = random_case(32, 32)
    truth.is_unknown[1] = 0
    predicted = Prediction(*(values.requires_grad_() for values in prediction))
    losses = compute_losses(predicted, truth)
    first = compute_losses(
        Prediction(*(values[:1] for values in prediction)), Truth(*(values[:1] for values in truth))
    )
    assert losses.total.item() == pytest.approx(first.total.item() / 2, rel=1e-12)
    losses.total.backward()
    for values in predicted:
        assert torch.isfinite(values.grad).all()
        assert (values.grad[1] == 0).all()
        assert (values.grad[0] != 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_each_loss_is_its_slope(name):
    prediction, truth = random_case(32, 33)  # noise: no error is 0, where the slope has a kink
    inputs = tuple(values.requires_grad_() for values in prediction)

    def loss(*values):
        # In every loss all three count for something, so that each has a gradient to compare.
        return getattr(compute_losses(Prediction(*values), truth), name) + sum(
            (value**2).mean() for value in values
        )

    assert gradcheck(loss, inputs, eps=1e-7, atol=1e-6, fast_mode=True)


def test_half_precision_predictions_are_compared_in_the_precision_of_the_truth():
    prediction, truth = random_case(32, 32)
    truth = Truth(*(values.float() for values in truth))
    rounded = Prediction(*(values.bfloat16() for values in prediction))
    with torch.autocast("cpu", torch.bfloat16):
        inside = compute_losses(rounded, truth)
    outside = compute_losses(Prediction(*(values.float() for values in rounded)), truth)
    assert inside.total.dtype == torch.float32
    assert inside.as_dict() == outside.as_dict()


def test_soft_clamp_leaves_the_range_alone_and_slopes_outside():
    values = torch.tensor([-2, 0, 0.25, 1, 1.5], dtype=torch.float64, requires_grad=True)
    clamped = soft_clamp(values)
    expected = torch.tensor([-0.2, 0, 0.25, 1, 1.05], dtype=torch.float64)
    torch.testing.assert_close(clamped, expected, rtol=0, atol=1e-15)
    clamped.sum().backward()
    slopes = torch.tensor([0.1, 1, 1, 1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(values.grad, slopes, rtol=0, atol=1e-15)


def test_soft_clamp_takes_another_slope():
    values = torch.tensor([-2, 3], dtype=torch.float64)
    assert soft_clamp(values, slope=0.5).tolist() == [-1, 2]


def test_an_alpha_that_is_all_beyond_one_still_learns():
    prediction, truth = random_case(32, 32)
    predicted = torch.full_like(prediction.alpha, 3).requires_grad_()
    compute_losses(prediction._replace(alpha=soft_clamp(predicted)), truth).total.backward()
    is_wrong = (truth.is_unknown == 1) & (truth.alpha < 1)
    assert (predicted.grad * is_wrong).sum() > 0


def test_weights_of_ones_own_count_each_loss_by_name():
    losses = Losses(*torch.arange(1.0, 9.0, dtype=torch.float64))
    torch.testing.assert_close(losses.weighted(asdict(LossConfig())), losses.total)
    own = {"alpha_gradient": 0.5, "colour_laplacian": 2.0}
    assert losses.weighted(own).item() == 0.5 * 3 + 2 * 8

"""
FBA Matting's eight losses and their total, taken before fusion.

Reference: Forte and Pitié, "F, B, Alpha Matting", arXiv:2003.07711, section on losses. In the
equations a, F, B are the truth, those with ^ the prediction, C is the image. Deviations that all
losses share:

* The paper sums over the whole picture. Here each loss is a mean over the pixels (and channels) in
  which it is asked for, of each sample first and then over the samples, so that neither known
  pixels nor large bands elsewhere in the batch drown a small one. A sample in which nothing is
  asked counts as 0.
* Asked for are the unknown pixels. The others are put back after the network (``restore_known``),
  so what is predicted there doesn't matter to any loss: the truth stands in its place.
* Of F it is asked only where alpha > 0, of B only where alpha < 1: nobody sees the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

ALPHA_WEIGHT = 1.0
"""Of the four losses of alpha in the total."""

COLOUR_WEIGHT = 0.25
"""Of the four losses of F and B in the total."""

PYRAMID_LEVELS = 5

OUTSIDE_SLOPE = 0.1
"""Of predictions beyond [0, 1]: enough for a gradient to bring them back."""


class Truth(NamedTuple):
    """
    What was rendered.

    Attributes:
        image: sRGB-coded colour, float32 (N, 3, H, W), [0, 1]; H and W at least 17.
        alpha: float32 (N, 1, H, W), [0, 1].
        foreground: straight colour, as *image*, defined in every pixel.
        background: the same for what lies behind.
        is_unknown: float32 (N, 1, H, W), 1 where the trimap is unknown, else 0.
    """

    image: Tensor
    alpha: Tensor
    foreground: Tensor
    background: Tensor
    is_unknown: Tensor


class Prediction(NamedTuple):
    """
    What the network says, after ``soft_clamp`` and before fusion; shapes as those of ``Truth``.

    Attributes:
        alpha: (N, 1, H, W).
        foreground: (N, 3, H, W).
        background: (N, 3, H, W).
    """

    alpha: Tensor
    foreground: Tensor
    background: Tensor


@dataclass(frozen=True)
class Losses:
    """The eight losses, each without a dimension."""

    alpha_l1: Tensor
    alpha_composition: Tensor
    alpha_gradient: Tensor
    alpha_laplacian: Tensor
    colour_l1: Tensor
    colour_composition: Tensor
    colour_exclusion: Tensor
    colour_laplacian: Tensor

    @property
    def total(self) -> Tensor:
        """L = L1_a + Lc_a + Lg_a + Llap_a + 0.25 (L1_FB + Lc_FB + Lexcl_FB + Llap_FB)."""
        of_alpha = (
            self.alpha_l1 + self.alpha_composition + self.alpha_gradient + self.alpha_laplacian
        )
        of_colour = (
            self.colour_l1 + self.colour_composition + self.colour_exclusion + self.colour_laplacian
        )
        return ALPHA_WEIGHT * of_alpha + COLOUR_WEIGHT * of_colour

    def weighted(self, weights: Mapping[str, float]) -> Tensor:
        """The sum of all eight, each times its own weight, by name."""
        total = self.alpha_l1.new_zeros(())
        for name, weight in weights.items():
            total = total + weight * getattr(self, name)
        return total

    def as_dict(self) -> dict[str, float]:
        """All eight and the total, by name, for a log; waits for the device once."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        named["total"] = self.total
        values = torch.stack(list(named.values())).tolist()
        return dict(zip(named, values, strict=True))


def compute_losses(prediction: Prediction, truth: Truth) -> Losses:
    """
    Compute all eight losses, in the truth's precision whatever the prediction's.

    Raises:
        ValueError: H or W is below 17 pixels, too little for the pyramid.
    """
    prediction = Prediction(*(values.to(truth.alpha.dtype) for values in prediction))
    return Losses(
        alpha_l1=alpha_l1_loss(prediction, truth),
        alpha_composition=alpha_composition_loss(prediction, truth),
        alpha_gradient=alpha_gradient_loss(prediction, truth),
        alpha_laplacian=alpha_laplacian_loss(prediction, truth),
        colour_l1=colour_l1_loss(prediction, truth),
        colour_composition=colour_composition_loss(prediction, truth),
        colour_exclusion=colour_exclusion_loss(prediction, truth),
        colour_laplacian=colour_laplacian_loss(prediction, truth),
    )


def soft_clamp(values: Tensor, slope: float = OUTSIDE_SLOPE) -> Tensor:
    """
    Bring values near [0, 1] without killing the gradient of those outside.

        v where 0 <= v <= 1,   slope v below,   1 + slope (v - 1) above

    The paper clamps; its author says that alpha may then stay all 0 or all 1 from the start
    (issue 1 of the published code).
    """
    excess = (values - 1).relu() - (-values).relu()  # clamp's own gradient is 0 at 0 and 1, too
    return values - (1 - slope) * excess


def alpha_l1_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """L1_a = sum |a^ - a|."""
    return _mean((prediction.alpha - truth.alpha).abs(), truth.is_unknown)


def alpha_composition_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """
    Lc_a = sum |C - a^ F - (1 - a^) B|, with the true F and B.

    Camera noise is in C, but not in F and B, and so remains in this loss at the true alpha.
    """
    alpha = prediction.alpha
    composite = alpha * truth.foreground + (1 - alpha) * truth.background
    return _mean((truth.image - composite).abs(), truth.is_unknown)


def alpha_gradient_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """
    Lg_a = sum |grad a^ - grad a|, the horizontal and the vertical part added.

    The paper doesn't say which gradient: here the difference of neighbours. It counts where at
    least one of the two is unknown, so that the edge of the band has to fit, too.
    """
    error = (prediction.alpha - truth.alpha) * truth.is_unknown
    across, down = (
        _mean(error.diff(dim=dim).abs(), truth.is_unknown.unfold(dim, 2, 1).amax(-1))
        for dim in (-1, -2)
    )
    return across + down


def alpha_laplacian_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """Llap_a = sum over s = 1..5 of 2^(s-1) |Lap_s(a^) - Lap_s(a)|."""
    return _laplacian_loss(prediction.alpha, truth.alpha, truth.is_unknown)


def colour_l1_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """L1_FB = sum |F^ - F| + |B^ - B|."""
    of_foreground = _mean(
        (prediction.foreground - truth.foreground).abs(), _shows_foreground(truth)
    )
    of_background = _mean(
        (prediction.background - truth.background).abs(), _shows_background(truth)
    )
    return of_foreground + of_background


def colour_composition_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """Lc_FB = sum |C - a F^ - (1 - a) B^|, with the true alpha."""
    alpha = truth.alpha
    composite = alpha * prediction.foreground + (1 - alpha) * prediction.background
    return _mean((truth.image - composite).abs(), truth.is_unknown)


def colour_exclusion_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """
    Lexcl_FB = sum |grad F^| |grad B^|, by channel, the horizontal and the vertical part added.

    An edge of the image belongs to F or to B. The paper prints the true F and B, a slip (issue 33
    of the published code); that it is the plain product its author confirms (issue 13). Counts
    where both neighbours show both F and B. Not 0 at the truth where both have an edge.
    """
    foreground, background = prediction.foreground, prediction.background
    shows_both = _shows_foreground(truth) * _shows_background(truth)
    across, down = (
        _mean(
            foreground.diff(dim=dim).abs() * background.diff(dim=dim).abs(),
            shows_both.unfold(dim, 2, 1).amin(-1),
        )
        for dim in (-1, -2)
    )
    return across + down


def colour_laplacian_loss(prediction: Prediction, truth: Truth) -> Tensor:
    """Llap_FB = Llap(F^, F) + Llap(B^, B)."""
    of_foreground = _laplacian_loss(
        prediction.foreground, truth.foreground, _shows_foreground(truth)
    )
    of_background = _laplacian_loss(
        prediction.background, truth.background, _shows_background(truth)
    )
    return of_foreground + of_background


def _shows_foreground(truth: Truth) -> Tensor:
    """1 where F is asked for, else 0; (N, 1, H, W)."""
    return truth.is_unknown * (truth.alpha > 0)


def _shows_background(truth: Truth) -> Tensor:
    """1 where B is asked for, else 0; (N, 1, H, W)."""
    return truth.is_unknown * (truth.alpha < 1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of (N, C, H, W) where weight, 0 or 1 (N, 1, H, W), is 1; by sample, then of them."""
    count = values.shape[1] * weight.sum(dim=(1, 2, 3))
    return ((values * weight).sum(dim=(1, 2, 3)) / count.clamp(min=1)).mean()


def _laplacian_loss(predicted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """
    Sum over levels i = 0..4 of 2^i mean |Lap_i(predicted) - Lap_i(true)|.

        Lap_i = x_i - up(down(x_i)),   x_0 = x,   x_i+1 = down(x_i)

    Lap is linear, so that one pyramid of the error says the same as two. The weight of a level is
    every other pixel of the one before. The blurred rest after the last level isn't compared.
    Each level is a mean over its own pixels, as in the author's code for this loss: in a plain sum
    level i would count 4^-i as much, so here the coarse levels speak up.
    """
    if min(weight.shape[-2:]) <= 2 ** (PYRAMID_LEVELS - 1):  # the last level needs two pixels
        raise ValueError(f"{PYRAMID_LEVELS} levels need more than {tuple(weight.shape[-2:])} px.")
    error = (predicted - true) * weight
    loss = error.new_zeros(())
    for level in range(PYRAMID_LEVELS):
        half = _halve(error)
        band = error - _double(half, *error.shape[-2:])
        loss = loss + 2**level * _mean(band.abs(), weight)
        error, weight = half, weight[..., ::2, ::2]
    return loss


def _halve(values: Tensor) -> Tensor:
    """Blur, then every other pixel: (N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""
    rows = _blur(values, -2)[..., ::2, :]
    return _blur(rows, -1)[..., ::2]


def _double(values: Tensor, height: int, width: int) -> Tensor:
    """Zeros between the pixels, then blur at twice the weight; to (N, C, height, width)."""
    rows = values.new_zeros(*values.shape[:-2], height, values.shape[-1])
    rows[..., ::2, :] = 2 * values
    rows = _blur(rows, -2)
    doubled = rows.new_zeros(*rows.shape[:-1], width)
    doubled[..., ::2] = 2 * rows
    return _blur(doubled, -1)


def _blur(values: Tensor, dim: int) -> Tensor:
    """
    Filter with the binomial (1, 4, 6, 4, 1) / 16 along *dim*, mirrored at the border pixels.

    Sums of slices: as fast as a depthwise convolution on a CPU, never in half precision, and the
    gradient is the same in each run (that of torch's reflection padding needn't be on a GPU).
    """
    size = values.shape[dim]
    before = [values.narrow(dim, place, 1) for place in (2 % (2 * size - 2), 1)]
    after = [values.narrow(dim, place, 1) for place in (size - 2, abs(size - 3))]
    padded = torch.cat((*before, values, *after), dim)
    first, second, centre, fourth, fifth = (padded.narrow(dim, start, size) for start in range(5))
    return (6 * centre + 4 * (second + fourth) + (first + fifth)) / 16

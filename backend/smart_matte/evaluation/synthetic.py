"""
Rendered pictures, whose alpha and foreground colour are known exactly.

They come from what renders the pictures for training, with a seed that no training uses. The
photographs behind them are the same ones: what is held back is the compositions.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from smart_matte.engine.types import UNKNOWN, FloatArray, U8Array
from smart_matte.errors import OptionError
from smart_matte.evaluation.sample import Sample
from smart_matte.training.foregrounds import KINDS, render_foreground

HELD_BACK_SEED = 448_014_027
"""Begins every picture's seed; no training begins one with it."""

SIZE_PX = 448

FOREGROUND_KINDS = tuple(kind for kind in KINDS if kind not in ("glass", "smoke"))
"""Without those that are opaque nowhere: no foreground can be known there."""

LEAST_KNOWN = 0.01
MOST_UNKNOWN = 0.6
"""
So much of a picture is known foreground at least, as much known background, and so much unknown at
most: with less to go by beating a solver would say nothing.
"""

MOST_DRAWS = 30
"""Compositions that are tried for that; the last is taken if none will do."""


def list_synthetic() -> list[str]:
    """Names of the pictures: one of every kind of foreground, numbered."""
    return [f"{index:02d}-{kind}" for index, kind in enumerate(FOREGROUND_KINDS)]


def has_photos(folder: Path) -> bool:
    """Whether there is anything to render pictures from."""
    return any(path.is_file() for path in folder.rglob("*"))


def read_synthetic(folder: Path, names: Sequence[str], size_px: int = SIZE_PX) -> Iterator[Sample]:
    """
    Render pictures, one at a time; each depends on its own number alone.

    Args:
        folder: photographs for backgrounds and textures.
        names: of ``list_synthetic``.
        size_px: width and height.

    Raises:
        OptionError: a name is not of ``list_synthetic``.
        SmartMatteError: the folder holds no photographs.
    """
    # torch makes this import slow: only a run that renders pays
    from smart_matte.training.synthesis import read_photos  # noqa: PLC0415

    known = list_synthetic()
    photos = read_photos(folder) if names else []
    for name in names:
        if name not in known:
            raise OptionError(f"There is no rendered picture “{name}”: {', '.join(known)}.")
        yield _render(known.index(name), name, photos, size_px)


def _render(index: int, name: str, photos: Sequence[U8Array], size_px: int) -> Sample:
    """One foreground of the kind that belongs to a number, composed with photographs."""
    from smart_matte.training.synthesis import draw_samples  # noqa: PLC0415

    random = np.random.default_rng([HELD_BACK_SEED, index])
    foreground = render_foreground(random, photos, size_px, FOREGROUND_KINDS[index])
    for _ in range(MOST_DRAWS):
        drawn = draw_samples([foreground], photos, 1, size_px, random)
        trimap = drawn.trimap[0, 0].numpy()
        if _is_enough_known(trimap):
            break
    return Sample(
        name=name,
        image=drawn.image[0].permute(1, 2, 0).numpy().astype(np.float32) / np.float32(255),
        trimap=trimap,
        alpha=drawn.alpha[0, 0].numpy(),
        foreground=drawn.foreground[0].permute(1, 2, 0).numpy(),
    )


def _is_enough_known(trimap: FloatArray) -> bool:
    """Whether LEAST_KNOWN and MOST_UNKNOWN hold."""
    background, unknown, foreground = ((trimap == side).mean() for side in (0, UNKNOWN, 1))
    return bool(min(background, foreground) >= LEAST_KNOWN and unknown <= MOST_UNKNOWN)

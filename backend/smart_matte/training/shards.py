"""Samples on disk: rendered once, guess and all, and read in any order."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from smart_matte.engine.colour_prior import PLACE
from smart_matte.engine.fba_compact_inputs import Channels, Guess, guess_matte
from smart_matte.engine.types import UNKNOWN, FloatArray, U8Array, ignore_progress
from smart_matte.errors import OptionError
from smart_matte.training.config import SampleConfig
from smart_matte.training.foregrounds import render_foreground
from smart_matte.training.losses import Truth
from smart_matte.training.synthesis import Samples, draw_samples, read_photos

TURNS = 48
"""Ways to turn a sample into another: 8 turns and flips, and 6 orders of its colours."""

COLOUR_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))

SPARE = 3
"""How many times more samples are drawn than kept."""

LEAST_KNOWN = 0.01
"""Share of a sample that is foreground for sure, and background for sure."""

MOST_OFF = 0.12
"""
Mean error of the guess's alpha in the unknown region. On photographs it is 0.06, of all that is
rendered 0.13, half of it below this.
"""

LEAST_SHARE = 0.25
"""
Of the diagonal of the picture that a sample is a part of. The prior's places count by that
diagonal: 256 px are far in a picture of 300, and near in one of 1000.
"""

RENDERER = 1
"""To be raised when the same seed renders other samples, or they are guessed otherwise."""

WHITE = 255


@dataclass(frozen=True)
class Shard:
    """
    A file of samples.

    Attributes:
        path: where it is.
        seed: what it is rendered from.
    """

    path: Path
    seed: tuple[int, int, int]


def plan_shards(folder: Path, config: SampleConfig) -> tuple[list[Shard], list[Shard]]:
    """The files of samples to learn from, and of those held back, which have seeds of their own."""
    learnt, held_back = (
        [
            Shard(folder / f"{name}-{index:05}.safetensors", (config.seed, kind, index))
            for index in range(count)
        ]
        for kind, (name, count) in enumerate(
            (("samples", config.shards), ("held-back", config.held_back_shards))
        )
    )
    return learnt, held_back


def render_missing(
    shards: Sequence[Shard], photos: Path, config: SampleConfig, workers: int
) -> int:
    """
    Render the shards that aren't there yet, in several processes.

    Returns:
        How many that were.

    Raises:
        OptionError: a file that is there was rendered from something else.
    """
    missing = [shard for shard in shards if not shard.path.exists()]
    for shard in shards:
        if shard.path.exists() and _read_origin(shard.path) != _origin(shard, config):
            raise OptionError(
                f"{shard.path} holds samples that another run rendered: name another folder with"
                " --samples, or delete this one."
            )
    if not missing:
        return 0
    missing[0].path.parent.mkdir(parents=True, exist_ok=True)
    # spawned: torch's threads don't survive a fork
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_keep_numba_to_one_thread
    ) as pool:
        jobs = [pool.submit(render_shard, shard, photos, config) for shard in missing]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:  # all others would be rendered before it is heard of
            pool.shutdown(cancel_futures=True)
            raise
    return len(missing)


def _origin(shard: Shard, config: SampleConfig) -> str:
    """All that a file of samples is made from but the photographs."""
    made_from = asdict(config) | {"seed": shard.seed, "renderer": RENDERER}
    of_a_folder = {"shards", "held_back_shards"}
    return json.dumps({name: made_from[name] for name in sorted(made_from.keys() - of_a_folder)})


def _read_origin(path: Path) -> str:
    with safe_open(path, framework="np") as file:
        return str((file.metadata() or {}).get("origin"))


def _keep_numba_to_one_thread() -> None:
    """Where all cores are taken, its threads wait for one another: 250 times longer was seen."""
    os.environ["NUMBA_NUM_THREADS"] = "1"  # read when numba is imported, for the first guess


def render_shard(shard: Shard, photos: Path, config: SampleConfig) -> None:
    """Render, guess, and write one file; an interrupted one leaves nothing of its name."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    random = np.random.default_rng(shard.seed)
    pictures = _photos(photos)
    foregrounds = [
        render_foreground(random, pictures, config.foreground_px)
        for _ in range(config.foregrounds_per_shard)
    ]
    count = config.per_shard
    samples = draw_samples(foregrounds, pictures, SPARE * count, config.size_px, random)
    images = samples.image.permute(0, 2, 3, 1).numpy()
    trimaps = samples.trimap[:, 0].numpy()
    guesses = [
        guess_sample(image, trimap, random) for image, trimap in zip(images, trimaps, strict=True)
    ]
    chosen = _choose(samples, guesses, count)
    kept = Samples(*(part[chosen] for part in samples))
    arrays = _arrays(kept, [guesses[index] for index in chosen])
    partial = shard.path.with_suffix(f".{os.getpid()}.partial")
    save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        partial,
        {"origin": _origin(shard, config)},
    )
    partial.replace(shard.path)


def guess_sample(image: U8Array, trimap: FloatArray, random: np.random.Generator) -> Guess:
    """Guess a sample, uint8 (S, S, 3), as a part of a picture of a size drawn at *random*."""
    share = LEAST_SHARE ** random.uniform()
    levels = (image / WHITE).astype(np.float32)
    return guess_matte(levels, trimap, ignore_progress, place=share * PLACE)


def _arrays(samples: Samples, guesses: Sequence[Guess]) -> dict[str, NDArray[Any]]:
    """What is kept of each sample, by name."""
    return {
        "image": samples.image.permute(0, 2, 3, 1).numpy(),
        "trimap": _u8(samples.trimap[:, 0].numpy()),
        "alpha": samples.alpha[:, 0].numpy().astype(np.float16),
        "foreground": _u8(samples.foreground.permute(0, 2, 3, 1).numpy()),
        "background": _u8(samples.background.permute(0, 2, 3, 1).numpy()),
        "guessed_alpha": np.stack([guess.alpha for guess in guesses]).astype(np.float16),
        "guessed_foreground": _u8(np.stack([guess.foreground for guess in guesses])),
        "guessed_background": _u8(np.stack([guess.background for guess in guesses])),
    }


def _choose(samples: Samples, guesses: Sequence[Guess], count: int) -> list[int]:
    """
    The first *count* that show enough of both sides and can be told; others only to fill up.

    In a whole picture there nearly always is foreground for sure, in a part of it often not. And
    where the guess is far off, mostly nothing in the picture tells what is right: from such
    samples a network learns to hedge, and hedges in clear pictures, too.
    """
    known = [(samples.trimap == side).float().mean(dim=(1, 2, 3)) for side in (0, 1)]
    guessed = torch.stack([torch.from_numpy(guess.alpha) for guess in guesses])[:, None]
    is_unknown = samples.trimap == UNKNOWN
    off = ((guessed - samples.alpha).abs() * is_unknown).sum(dim=(1, 2, 3))
    off = off / is_unknown.sum(dim=(1, 2, 3)).clamp(min=1)
    is_good = (torch.minimum(*known) >= LEAST_KNOWN) & (off <= MOST_OFF)
    chosen: list[int] = torch.argsort(~is_good, stable=True)[:count].tolist()
    return chosen


@cache
def _photos(folder: Path) -> list[U8Array]:
    return read_photos(folder)


def _u8(levels: FloatArray) -> U8Array:
    return np.rint(levels * WHITE).astype(np.uint8)


class SampleFiles(torch.utils.data.Dataset[tuple[Tensor, Truth]]):
    """
    Samples as the network is given them.

    Args:
        shards: their files, all of *per_shard* samples.
        per_shard: how many.
    """

    def __init__(self, shards: Sequence[Shard], per_shard: int) -> None:
        self._shards = shards
        self._per_shard = per_shard

    def __len__(self) -> int:
        return len(self._shards) * self._per_shard

    def __getitem__(self, wanted: tuple[int, int]) -> tuple[Tensor, Truth]:
        """
        Read a sample.

        Args:
            wanted: which, and how to turn it, 0 (as it is) to TURNS - 1.

        Returns:
            The channels float32 (CHANNELS, S, S), and the truth of the same size.
        """
        index, turn = wanted
        shard, place = divmod(index, self._per_shard)
        with safe_open(self._shards[shard].path, framework="np") as file:
            arrays = {name: turned(file.get_slice(name)[place], turn) for name in file.keys()}  # noqa: SIM118
        levels = {
            name: (array / (WHITE if array.dtype == np.uint8 else 1)).astype(np.float32)
            for name, array in arrays.items()
        }
        is_unknown = (arrays["trimap"] != 0) & (arrays["trimap"] != WHITE)
        trimap = np.where(is_unknown, UNKNOWN, levels["trimap"]).astype(np.float32)
        guess = Guess(
            np.where(is_unknown, levels["guessed_alpha"], trimap),
            levels["guessed_foreground"],
            levels["guessed_background"],
        )
        everything = slice(None)
        channels = Channels(levels["image"], trimap, guess).within(everything, everything)
        truth = Truth(
            image=_planes(levels["image"]),
            alpha=_planes(levels["alpha"][..., None]),
            foreground=_planes(levels["foreground"]),
            background=_planes(levels["background"]),
            is_unknown=_planes(is_unknown[..., None]),
        )
        return torch.from_numpy(channels), truth


def _planes(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), np.float32))


def turned(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """One of a plane's or a picture's TURNS, (H, W) or (H, W, 3); 0 leaves it as it is."""
    place, order = turn % 8, turn // 8
    array = np.rot90(array, place % 4)
    if place >= 4:  # noqa: PLR2004
        array = array[:, ::-1]
    if array.ndim == 3:  # noqa: PLR2004
        array = array[..., list(COLOUR_ORDERS[order])]
    return array

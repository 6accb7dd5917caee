"""A training run in a file: everything that decides what comes out of it."""

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from smart_matte.engine.models.fba_compact import STRIDE_PX
from smart_matte.errors import OptionError
from smart_matte.training.losses import ALPHA_WEIGHT, COLOUR_WEIGHT

LEAST_SIZE_PX = 32
"""Side of a sample: the losses' pyramid needs more than 16."""

PRECISIONS = ("32-true", "bf16-mixed")
"""Not "16-mixed": it scales its losses by what checkpoints don't hold."""

Section = TypeVar("Section")


@dataclass(frozen=True)
class SampleConfig:
    """
    What the network is shown.

    Attributes:
        shards: files of samples to render for training.
        held_back_shards: files to render for choosing among checkpoints; of other seeds.
        per_shard: samples in a file; 12 of 256 px take 16 MB.
        foregrounds_per_shard: how many are rendered for the samples of a file to be made of.
        size_px: side of a sample, a multiple of the network's STRIDE_PX.
        foreground_px: side of a rendered foreground.
        seed: of all of them.
    """

    shards: int = 400
    held_back_shards: int = 8
    per_shard: int = 12
    foregrounds_per_shard: int = 8
    size_px: int = 256
    foreground_px: int = 384
    seed: int = 1


@dataclass(frozen=True)
class LoopConfig:
    """
    How it learns.

    Attributes:
        steps: how many batches.
        batch: samples in one, on all devices together.
        learning_rate: the highest; it rises for warm_up_steps and falls as a cosine.
        warm_up_steps: how many.
        weight_decay: of AdamW.
        clip_norm: longest gradient.
        average_decay: of the moving average of the weights, per step.
        precision: one of PRECISIONS, as Lightning Fabric names them.
        checkpoint_steps: after how many steps each a checkpoint is written and measured.
        seed: of the order, the flips and the first weights.
    """

    steps: int = 20_000
    batch: int = 12
    learning_rate: float = 1e-3
    warm_up_steps: int = 200
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average_decay: float = 0.999
    precision: str = "bf16-mixed"
    checkpoint_steps: int = 1000
    seed: int = 1


@dataclass(frozen=True)
class LossConfig:
    """How much each loss counts; the defaults are the paper's, see ``Losses``."""

    alpha_l1: float = ALPHA_WEIGHT
    alpha_composition: float = ALPHA_WEIGHT
    alpha_gradient: float = ALPHA_WEIGHT
    alpha_laplacian: float = ALPHA_WEIGHT
    colour_l1: float = COLOUR_WEIGHT
    colour_composition: float = COLOUR_WEIGHT
    colour_exclusion: float = COLOUR_WEIGHT
    colour_laplacian: float = COLOUR_WEIGHT


@dataclass(frozen=True)
class TrainingConfig:
    """A run; written as TOML with a table for each part."""

    samples: SampleConfig = SampleConfig()
    loop: LoopConfig = LoopConfig()
    losses: LossConfig = LossConfig()


SECTIONS: dict[str, type[Any]] = {
    "samples": SampleConfig,
    "loop": LoopConfig,
    "losses": LossConfig,
}
_MAY_HAVE = ", ".join(f"[{name}]" for name in SECTIONS)


def read_config(path: Path) -> TrainingConfig:
    """
    Read a run from a TOML file; what it leaves out is as the classes say.

    Raises:
        OptionError: it can't be read, or says something unknown, impossible or of the wrong type.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"The run {path} can't be read: {error}.") from error
    unknown = set(tables) - set(SECTIONS)
    if unknown:
        raise OptionError(f"{path} has {min(unknown)}; it may have {_MAY_HAVE}.")
    config = TrainingConfig(
        **{name: _section(kind, tables.get(name, {}), path) for name, kind in SECTIONS.items()}
    )
    _check(config, path)
    return config


def _section(kind: type[Section], table: Any, path: Path) -> Section:  # noqa: ANN401  (as TOML has it)
    """Make one part, from values of the types that its defaults have."""
    if not isinstance(table, dict):
        raise OptionError(f"{path} may have {_MAY_HAVE}, and values within these alone.")
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    for name, value in table.items():
        if name not in defaults:
            known = ", ".join(defaults)
            raise OptionError(f"{path} sets {name}, which is unknown; there are {known}.")
        wanted = type(defaults[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise OptionError(f"{path} sets {name} to {value!r}; give {wanted.__name__}.")
        if wanted is not str and not (0 < value < math.inf or (kind is LossConfig and value == 0)):
            raise OptionError(f"{path} sets {name} to {value!r}; give more than 0.")
    return kind(**table)


def _check(config: TrainingConfig, path: Path) -> None:
    """Make sure that values fit the network and one another."""
    size_px, batch, precision = config.samples.size_px, config.loop.batch, config.loop.precision
    if precision not in PRECISIONS:
        raise OptionError(
            f"{path} sets precision to {precision!r}; give one of {', '.join(PRECISIONS)}."
        )
    if size_px % STRIDE_PX or size_px < LEAST_SIZE_PX:
        raise OptionError(
            f"{path} sets size_px to {size_px}; give a multiple of {STRIDE_PX}, at least"
            f" {LEAST_SIZE_PX}."
        )
    count = config.samples.shards * config.samples.per_shard
    if batch > count:
        raise OptionError(f"{path} has batches of {batch} but {count} samples; give more shards.")

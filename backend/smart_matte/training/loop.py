"""The training loop: batches in, checkpoints and curves out, resumed wherever it stopped."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Sampler

from smart_matte.engine.models.fba_compact import FbaCompact
from smart_matte.errors import OptionError
from smart_matte.training.checkpoints import State, keep, read_averaged, resume
from smart_matte.training.config import LoopConfig, TrainingConfig
from smart_matte.training.losses import Prediction, Truth, compute_losses, soft_clamp
from smart_matte.training.shards import TURNS, SampleFiles, Shard
from smart_matte.training.sheets import sample_sheet
from smart_matte.training.validation import measure_network

TELL_STEPS = 50
"""After how many steps each the losses are told."""

SHOWN = 8
"""Samples held back that are drawn at each checkpoint."""


class Batches(Sampler[list[tuple[int, int]]]):
    """
    Which samples, turned which way, are in which batch: a function of the seed and the step alone.

    So a run that goes on from a checkpoint sees what it would have seen.

    Args:
        samples: how many there are.
        config: of the loop.
        rank: which process this is.
        world: of how many.
        steps: for which steps.
    """

    def __init__(
        self, samples: int, config: LoopConfig, rank: int, world: int, steps: range
    ) -> None:
        self._samples = samples
        self._config = config
        self._rank = rank
        self._world = world
        self._steps = steps

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batch = self._config.batch
        for step in self._steps:
            epoch, place = divmod(step * batch, self._samples - self._samples % batch)
            order = np.random.default_rng((self._config.seed, 0, epoch)).permutation(self._samples)
            turns = np.random.default_rng((self._config.seed, 1, step)).integers(TURNS, size=batch)
            chosen = zip(order[place : place + batch], turns, strict=True)
            yield [(int(index), int(turn)) for index, turn in chosen][self._rank :: self._world]


def train(
    config: TrainingConfig,
    shards: tuple[Sequence[Shard], Sequence[Shard]],
    folder: Path,
    fabric: Fabric,
    tell: Callable[[int, dict[str, float]], None],
    *,
    start_from: Path | None = None,
    most_steps: int | None = None,
) -> None:
    """
    Train, from the newest checkpoint in *folder* if there is one.

    Args:
        config: the run.
        shards: what to learn from, and what is held back to measure by.
        folder: where checkpoints and curves go.
        fabric: launched; says on which devices.
        tell: called with the step and the figures, now and then.
        start_from: another run's checkpoint, whose weights to begin with; None begins anew.
        most_steps: stop, with a checkpoint, after so many of them; None goes to the end.
    """
    if config.loop.batch % fabric.world_size:
        raise OptionError(
            f"{fabric.world_size} processes can't share batches of {config.loop.batch} evenly; set"
            " batch to a multiple."
        )
    model, state = _set_up(config.loop, fabric, start_from)
    resume(folder, fabric, state)
    held_back = SampleFiles(shards[1], config.samples.per_shard)
    last = config.loop.steps
    if most_steps is not None:
        last = min(last, state.step + most_steps)
    losses: list[dict[str, float]] = []
    for channels, truth in _batches(config, shards[0], fabric, state.step, last):
        _set_rate(state.optimiser, config.loop, state.step)
        losses.append(_learn(fabric, model, state, (channels, truth), config))
        if state.step % TELL_STEPS == 0:
            _tell("loss", _means(losses), state.step, fabric, tell)
            losses.clear()
        if state.step % config.loop.checkpoint_steps == 0 or state.step == last:
            figures = measure_network(state.average.module, held_back, fabric.device)
            _tell("held back", figures, state.step, fabric, tell)
            _show(fabric, held_back, state)
            keep(folder, fabric, state, figures)


def _set_up(config: LoopConfig, fabric: Fabric, start_from: Path | None) -> tuple[nn.Module, State]:
    """The model as Fabric runs it, and what of it is kept."""
    torch.manual_seed(config.seed)
    network = FbaCompact()
    if start_from is not None:
        network.load_state_dict(read_averaged(start_from))
    network = network.to(memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=_decaying(config.average_decay), use_buffers=True)
    model, optimiser = fabric.setup(
        network,
        torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        ),
    )
    return model, State(network, average.to(fabric.device), optimiser)


def _batches(
    config: TrainingConfig, shards: Sequence[Shard], fabric: Fabric, step: int, last: int
) -> Iterator[tuple[Tensor, Truth]]:
    """Batches, on the device, of the steps from *step* to *last*."""
    samples = SampleFiles(shards, config.samples.per_shard)
    loader = DataLoader(
        samples,
        batch_sampler=Batches(
            len(samples), config.loop, fabric.global_rank, fabric.world_size, range(step, last)
        ),
        num_workers=max(1, (os.cpu_count() or 1) // 4),
        multiprocessing_context="spawn",
        pin_memory=fabric.device.type == "cuda",
    )
    for channels, truth in loader:
        yield fabric.to_device(channels), Truth(*(fabric.to_device(part) for part in truth))


def _learn(
    fabric: Fabric,
    model: nn.Module,
    state: State,
    batch: tuple[Tensor, Truth],
    config: TrainingConfig,
) -> dict[str, float]:
    """Take one step; the losses before it."""
    channels, truth = batch
    model.train()
    state.optimiser.zero_grad(set_to_none=True)
    outputs = model(channels.contiguous(memory_format=torch.channels_last))
    losses = compute_losses(_prediction(outputs), truth)
    minimised = losses.weighted(asdict(config.losses))
    fabric.backward(minimised)
    fabric.clip_gradients(model, state.optimiser, max_norm=config.loop.clip_norm)
    state.optimiser.step()
    state.average.update_parameters(state.network)
    state.step += 1
    return {**losses.as_dict(), "minimised": minimised.item()}


def _prediction(outputs: Tensor) -> Prediction:
    """The network's answer (N, 7, H, W) as the losses take it."""
    values = soft_clamp(outputs.float().contiguous())  # the losses slice rows and columns
    return Prediction(values[:, :1], values[:, 1:4], values[:, 4:])


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _tell(
    group: str,
    figures: dict[str, float],
    step: int,
    fabric: Fabric,
    tell: Callable[[int, dict[str, float]], None],
) -> None:
    fabric.log_dict({f"{group}/{name}": value for name, value in figures.items()}, step)
    tell(step, figures)


def _show(fabric: Fabric, held_back: SampleFiles, state: State) -> None:
    """Put a sheet of samples held back beside the curves, where something draws curves."""
    loggers = [logger for logger in fabric.loggers if isinstance(logger, TensorBoardLogger)]
    if fabric.is_global_zero and loggers:
        sheet = sample_sheet(held_back, SHOWN, state.average.module, str(fabric.device))
        loggers[0].experiment.add_image("held back", sheet, state.step, dataformats="HWC")


def _set_rate(optimiser: torch.optim.Optimizer, config: LoopConfig, step: int) -> None:
    """Up in a line, down in half a cosine."""
    rising = min(1.0, (step + 1) / config.warm_up_steps)
    falling = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * rising * falling


def _decaying(
    most: float,
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """The moving average, which forgets its beginning sooner while it is young."""

    def average(
        averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int
    ) -> None:
        age = float(updates)
        decay = min(most, (1 + age) / (10 + age))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:  # how many batches the normalisation has seen
                old.copy_(new)

    return average

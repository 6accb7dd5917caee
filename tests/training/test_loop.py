"""Training: which samples come when, that it goes on where it stopped, and that it learns."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from tiny_samples import TINY
from torch import Tensor, nn
from torch.utils.data import DataLoader

from smart_matte.errors import OptionError
from smart_matte.training import loop
from smart_matte.training.checkpoints import (
    OPTIMISER,
    WEIGHTS,
    find_checkpoints,
    read_averaged,
    read_figures,
)
from smart_matte.training.config import LoopConfig, LossConfig, TrainingConfig
from smart_matte.training.loop import Batches, train
from smart_matte.training.shards import TURNS, Shard, plan_shards

Told = list[tuple[int, dict[str, float]]]

LOOP = LoopConfig(steps=4, batch=2, warm_up_steps=2, precision="32-true", checkpoint_steps=1)


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """Samples are read here, not in processes that take long to start."""
    here = {"num_workers": 0, "multiprocessing_context": None}

    def load(*arguments: Any, **named: Any) -> DataLoader[Any]:
        return DataLoader(*arguments, **named | here)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "DataLoader", load)
        yield


def on_the_cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def run(samples: Path, folder: Path, config: LoopConfig = LOOP, **named: Any) -> Told:
    """Train; what was told."""
    told: Told = []
    run_config = TrainingConfig(TINY, config)
    shards = plan_shards(samples, TINY)
    train(run_config, shards, folder, on_the_cpu(), lambda *words: told.append(words), **named)
    return told


@pytest.fixture(scope="module")
def at_once(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """A run of four steps in one go, a checkpoint at each, and what it told."""
    folder = tmp_path_factory.mktemp("at-once")
    return folder, run(sample_folder, folder)


def drawn(
    samples: int, config: LoopConfig, steps: range, rank: int = 0, world: int = 1
) -> list[list[tuple[int, int]]]:
    batches = Batches(samples, config, rank, world, steps)
    result = list(batches)
    assert len(batches) == len(result)
    return result


def test_a_batch_depends_on_the_seed_and_the_step_alone() -> None:
    config = LoopConfig(batch=4, seed=3)
    whole = drawn(26, config, range(40))
    for steps in (range(7), range(7, 40), range(39, 40)):
        assert drawn(26, config, steps) == whole[steps.start : steps.stop]
    assert drawn(26, replace(config, seed=4), range(40)) != whole


@pytest.mark.parametrize(("samples", "steps"), [(24, 6), (26, 6), (4, 1)])
def test_every_epoch_shows_as_many_samples_as_fill_batches_and_none_twice(
    samples: int, steps: int
) -> None:
    config = LoopConfig(batch=4)
    epochs = []
    for epoch in range(30):
        batches = drawn(samples, config, range(epoch * steps, (epoch + 1) * steps))
        epochs.append([index for batch in batches for index, _turn in batch])
        assert all(len(batch) == 4 for batch in batches)
        assert len(set(epochs[-1])) == len(epochs[-1]) == samples - samples % 4
    assert {index for epoch in epochs for index in epoch} == set(range(samples))
    assert all(one != other for one, other in pairwise(epochs))


def test_samples_are_turned_in_every_way() -> None:
    turns = [turn for batch in drawn(12, LoopConfig(batch=12), range(50)) for _index, turn in batch]
    assert set(turns) == set(range(TURNS))


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_a_batch_without_overlap(world: int) -> None:
    config, steps = LoopConfig(batch=12), range(9)
    whole = drawn(30, config, steps)
    shares = [drawn(30, config, steps, rank, world) for rank in range(world)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert {len(part) for part in parts} == {12 // world}
        assert sorted(sample for part in parts for sample in part) == sorted(batch)


def test_processes_that_cannot_share_batches_evenly_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabric = on_the_cpu()
    monkeypatch.setattr(Fabric, "world_size", 5)
    config = TrainingConfig(TINY, replace(LOOP, batch=12))
    with pytest.raises(OptionError, match="5 processes can't share batches of 12 evenly"):
        train(config, ([], []), tmp_path, fabric, lambda *_: None)


def test_a_run_that_stops_and_goes_on_ends_exactly_like_one_in_one_go(
    sample_folder: Path, at_once: tuple[Path, Told], tmp_path: Path
) -> None:
    whole, told = at_once
    first = run(sample_folder, tmp_path, most_steps=2)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-0000001", "step-0000002"]
    assert first + run(sample_folder, tmp_path) == told
    assert [step for step, _figures in told] == [1, 2, 3, 4]
    checkpoints = find_checkpoints(whole)
    assert [path.name for path in find_checkpoints(tmp_path)] == [path.name for path in checkpoints]
    for path in checkpoints:
        other = tmp_path / path.name
        assert read_figures(other) == read_figures(path)
        expected = load_file(path / WEIGHTS)
        for name, tensor in load_file(other / WEIGHTS).items():
            assert torch.equal(tensor, expected[name]), name
        one, again = (
            torch.load(place / OPTIMISER, weights_only=True)["optimiser"] for place in (path, other)
        )
        assert again["param_groups"] == one["param_groups"]
        for number, moments in one["state"].items():
            for name, tensor in moments.items():
                assert torch.equal(again["state"][number][name], tensor)


def test_training_changes_every_weight_and_the_figures(at_once: tuple[Path, Told]) -> None:
    first, last = (load_file(at_once[0] / f"step-000000{step}" / WEIGHTS) for step in (1, 4))
    names = [name for name in first if name.endswith((".weight", ".running_var"))]
    assert len(names) > 60
    for name in names:
        assert not torch.equal(first[name], last[name]), name
    figures = [figures for _step, figures in at_once[1]]
    assert len({figure["alpha"] for figure in figures}) == 4
    assert len({figure["guess"] for figure in figures}) == 1


def test_no_step_follows_the_last(
    sample_folder: Path, at_once: tuple[Path, Told], tmp_path: Path
) -> None:
    run(sample_folder, tmp_path, most_steps=3)
    assert [step for step, _figures in run(sample_folder, tmp_path, most_steps=3)] == [4]
    assert run(sample_folder, tmp_path) == []
    assert run(sample_folder, tmp_path, most_steps=1) == []
    expected = read_averaged(at_once[0] / "step-0000004")
    for name, tensor in read_averaged(find_checkpoints(tmp_path)[-1]).items():
        assert torch.equal(tensor, expected[name])


def test_a_run_can_begin_with_the_averaged_weights_of_another(at_once: tuple[Path, Told]) -> None:
    checkpoint = at_once[0] / "step-0000003"
    _model, state = loop._set_up(LOOP, on_the_cpu(), checkpoint)
    assert state.step == 0
    for network in (state.network, state.average.module):
        for name, tensor in read_averaged(checkpoint).items():
            assert torch.equal(network.state_dict()[name], tensor)


def test_the_first_weights_are_those_of_the_seed() -> None:
    one, same, other = (
        loop._set_up(replace(LOOP, seed=seed), on_the_cpu(), None)[1].network.state_dict()
        for seed in (1, 1, 2)
    )
    name = "context.coarse.2.first.conv.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


def test_the_losses_fall_below_the_guess_when_a_few_samples_are_learnt(
    rendered: tuple[list[Shard], list[Shard]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "TELL_STEPS", 1)
    monkeypatch.setattr(loop, "TURNS", 1)
    config = replace(LOOP, steps=24, batch=4, learning_rate=3e-3, checkpoint_steps=24)
    told: Told = []
    shards = rendered[0][:1], rendered[1]
    run_config = TrainingConfig(TINY, config)
    train(run_config, shards, tmp_path, on_the_cpu(), lambda *words: told.append(words))
    losses = [figures for _step, figures in told if "total" in figures]
    assert len(losses) == 24
    for name in ("total", "alpha_l1", "colour_l1"):
        values = [loss[name] for loss in losses]
        assert values[-1] < 0.85 * values[0], name


def test_the_losses_count_as_much_as_the_run_says(
    rendered: tuple[list[Shard], list[Shard]], tmp_path: Path
) -> None:
    nothing = dict.fromkeys(asdict(LossConfig()), 0.0)
    alpha_alone = LossConfig(**nothing | {"alpha_l1": 1.0})
    config = TrainingConfig(TINY, replace(LOOP, checkpoint_steps=2), alpha_alone)
    train(config, rendered, tmp_path, on_the_cpu(), lambda *_: None, most_steps=2)
    last_layer = load_file(find_checkpoints(tmp_path)[-1] / WEIGHTS)["network.detail.out.weight"]
    assert last_layer[:4].any()  # of four pixels' alpha
    assert not last_layer[4:].any()


def test_what_is_told_are_the_means_since_it_was_told_last(
    sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(100))
    monkeypatch.setattr(loop, "TELL_STEPS", 2)

    def learn(_fabric: object, _model: object, state: Any, *_: object) -> dict[str, float]:
        state.step += 1
        return {"total": float(next(numbers))}

    monkeypatch.setattr(loop, "_learn", learn)
    told = run(sample_folder, tmp_path, replace(LOOP, checkpoint_steps=4))
    assert [words for words in told if "total" in words[1]] == [
        (2, {"total": 0.5}),
        (4, {"total": 2.5}),
    ]


def test_the_average_moves_towards_the_weights_by_its_decay(at_once: tuple[Path, Told]) -> None:
    averaged: dict[str, Tensor] = {}
    for update, path in enumerate(find_checkpoints(at_once[0])):
        tensors = load_file(path / WEIGHTS)
        for name in ("detail.out.weight", "context.fine.0.norm.running_mean"):
            current = tensors[f"network.{name}"].double()
            decay = min(0.999, (1 + update) / (10 + update)) if update else 0
            before = averaged.get(name, current)
            averaged[name] = before + (1 - decay) * (current - before)
            found = tensors[f"average.module.{name}"].double()
            torch.testing.assert_close(found, averaged[name], rtol=1e-5, atol=1e-8)
            assert update == 0 or not torch.equal(found, current)


def test_an_old_average_decays_as_configured() -> None:
    average = loop._decaying(0.9)
    for updates, decay in ((2, 3 / 12), (torch.tensor(10_000), 0.9)):
        averaged = [torch.ones(2, dtype=torch.float64), torch.ones(1, dtype=torch.int64)]
        current = [torch.zeros(2, dtype=torch.float64), torch.full((1,), 7)]
        average(averaged, current, updates)
        assert averaged[0].tolist() == pytest.approx([decay, decay])
        assert averaged[1].item() == 7


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    config = LoopConfig(steps=1000, learning_rate=0.5, warm_up_steps=10)
    optimiser = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=9.0)

    def rate(step: int) -> float:
        loop._set_rate(optimiser, config, step)
        return float(optimiser.param_groups[0]["lr"])

    assert [rate(step) / 0.5 for step in (0, 4)] == pytest.approx([0.1, 0.5], rel=1e-3)
    assert [rate(step) / 0.5 for step in (10, 500, 750)] == pytest.approx(
        [1, 0.5, 0.5 - 0.5**1.5], rel=1e-3
    )
    assert 0 < rate(999) < 1e-5

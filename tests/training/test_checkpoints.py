"""What counts as a checkpoint, and what is read from it."""

import errno
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from smart_matte.training.checkpoints import (
    FIGURES,
    OPTIMISER,
    WEIGHTS,
    State,
    find_checkpoints,
    keep,
    read_averaged,
    read_figures,
    resume,
)


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def begun(fabric: Fabric, value: float) -> State:
    """A small network whose weights are all *value*, and twice that on average."""
    network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(network[0].weight, value)
    average = AveragedModel(network, use_buffers=True)
    nn.init.constant_(average.module[0].weight, 2 * value)
    _model, optimiser = fabric.setup(network, torch.optim.AdamW(network.parameters()))
    return State(network, average, optimiser)


def step(state: State) -> None:
    state.optimiser.zero_grad()
    state.network(torch.arange(6.0).reshape(3, 2)).square().sum().backward()
    state.optimiser.step()
    state.step += 1


def test_a_run_is_brought_to_its_newest_checkpoint(fabric: Fabric, tmp_path: Path) -> None:
    state = begun(fabric, 3.0)
    for _ in range(2):
        step(state)
        keep(tmp_path, fabric, state, {"alpha": 0.5})
    expected = state.network[0].weight.clone()
    again = begun(fabric, 0.0)
    resume(tmp_path, fabric, again)
    assert again.step == 2
    assert torch.equal(again.network[0].weight, expected)
    assert torch.equal(again.average.module[0].weight, torch.full((1, 2), 6.0))
    assert torch.equal(again.network[1].running_mean, state.network[1].running_mean)
    for moments in again.optimiser.state_dict()["state"].values():
        assert moments["step"] == 2
    for one in (state, again):
        step(one)
    assert torch.equal(again.network[0].weight, state.network[0].weight)
    assert not torch.equal(again.network[0].weight, expected)


def test_without_a_checkpoint_a_run_stays_as_it_is(fabric: Fabric, tmp_path: Path) -> None:
    state = begun(fabric, 3.0)
    resume(tmp_path / "absent", fabric, state)
    assert state.step == 0
    assert (state.network[0].weight == 3).all()


def test_a_checkpoint_without_figures_is_incomplete(fabric: Fabric, tmp_path: Path) -> None:
    state = begun(fabric, 3.0)
    step(state)
    complete = keep(tmp_path, fabric, state, {"alpha": 0.5})
    state.step = 9
    halted = keep(tmp_path, fabric, state, {"alpha": 0.1})
    assert sorted(path.name for path in halted.iterdir()) == sorted([WEIGHTS, OPTIMISER, FIGURES])
    (halted / FIGURES).unlink()
    for name in ("step-12", "step-0000012-old", "curves"):
        (tmp_path / name).mkdir()
        (tmp_path / name / FIGURES).write_text("{}")
    assert find_checkpoints(tmp_path) == [complete]
    resume(tmp_path, fabric, state)
    assert state.step == 1
    assert keep(tmp_path, fabric, state, {"alpha": 0.4}) == complete
    assert read_figures(complete) == {"alpha": 0.4}


def test_figures_that_are_cut_short_leave_the_checkpoint_incomplete(
    fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(path: Path, text: str, **_named: str) -> None:
        path.write_bytes(text[:3].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        keep(tmp_path, fabric, begun(fabric, 3.0), {"alpha": 0.5})
    assert find_checkpoints(tmp_path) == []


def test_checkpoints_come_oldest_first(fabric: Fabric, tmp_path: Path) -> None:
    state = begun(fabric, 3.0)
    for number in (10, 9, 100, 1):
        state.step = number
        keep(tmp_path, fabric, state, {"alpha": 0.5})
    steps = [int(path.name.removeprefix("step-")) for path in find_checkpoints(tmp_path)]
    assert steps == [1, 9, 10, 100]


def test_the_averaged_weights_have_the_names_of_the_network(fabric: Fabric, tmp_path: Path) -> None:
    state = begun(fabric, 3.0)
    averaged = read_averaged(keep(tmp_path, fabric, state, {"alpha": 0.5}))
    assert set(averaged) == set(state.network.state_dict())
    assert (averaged["0.weight"] == 6).all()

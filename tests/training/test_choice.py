"""The checkpoint that becomes the weights, and the file that is shipped."""

import json
from pathlib import Path
from shutil import copytree

import pytest
import torch
from learnt import learnt_network, write_checkpoint
from safetensors.torch import load_file

from smart_matte.engine.models.fba_compact import CHANNELS, build_fba_compact
from smart_matte.training.checkpoints import FIGURES
from smart_matte.training.choice import WEIGHTS_NAME, export, write_best


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four checkpoints: of the complete ones that of seed 1 has the lowest error of alpha."""
    folder = tmp_path_factory.mktemp("run")
    for seed, figures in enumerate(
        (
            {"alpha": 0.05, "guess": 0.01, "ratio": 0.1, "foreground": 0.01, "sad": 1},
            {"alpha": 0.03, "guess": 0.09, "ratio": 0.9, "foreground": 0.30, "sad": 9},
            {"alpha": 0.04, "guess": 0.02, "ratio": 0.2, "foreground": 0.02, "sad": 2},
            None,
        )
    ):
        text = None if figures is None else json.dumps(figures)
        write_checkpoint(folder / f"step-{seed:07}", learnt_network(seed), text)
    return folder


def test_the_lowest_error_of_alpha_decides_and_no_other_figure(run_folder: Path) -> None:
    best, weights = write_best(run_folder)
    assert best == run_folder / "step-0000001"
    assert weights == run_folder / WEIGHTS_NAME
    (run_folder / "step-0000002" / "alphamatting.json").write_text('{"alpha": 0}')
    assert write_best(run_folder)[0] == best


def test_a_figure_that_is_no_number_never_decides(run_folder: Path, tmp_path: Path) -> None:
    for seed, alpha in enumerate(("NaN", "0.5", "0.4")):
        source = run_folder / "step-0000001"
        copytree(source, tmp_path / f"step-{seed:07}")
        (tmp_path / f"step-{seed:07}" / FIGURES).write_text(f'{{"alpha": {alpha}}}')
    assert write_best(tmp_path)[0] == tmp_path / "step-0000002"


def test_what_is_shipped_answers_as_the_averaged_network_did(run_folder: Path) -> None:
    _best, path = write_best(run_folder)
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    generator = torch.Generator().manual_seed(0)
    channels = torch.rand(1, CHANNELS, 32, 48, generator=generator)
    answers = [learnt_network(seed)(channels) for seed in (1, 2)]
    assert (answers[0] - answers[1]).abs().mean() > 0.1
    torch.testing.assert_close(build_fba_compact(tensors)(channels), answers[0], rtol=0, atol=1e-2)


def test_the_file_is_at_most_16_megabytes(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS_NAME
    export(learnt_network(0).state_dict(), path)
    assert 1e5 < path.stat().st_size <= 16e6

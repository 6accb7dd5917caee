"""``smart-matte train`` as a user calls it."""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tiny_samples import TINY
from torch.utils.data import DataLoader

from smart_matte.cli.train import train_command
from smart_matte.engine.models.fba_compact import build_fba_compact
from smart_matte.errors import OptionError, PictureError
from smart_matte.training import loop as training_loop
from smart_matte.training import shards

LOOP = {
    "steps": 2,
    "batch": 2,
    "warm_up_steps": 1,
    "checkpoint_steps": 1,
    "precision": '"32-true"',
}


def write_config(folder: Path, **loop: object) -> Path:
    """TINY's samples and two steps."""
    path = folder / "run.toml"
    tables = {"samples": asdict(TINY), "loop": LOOP | loop}
    lines = [
        line
        for name, values in tables.items()
        for line in (f"[{name}]", *(f"{key} = {value}" for key, value in values.items()))
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def call(*arguments: object, data: Path | None = None) -> Result:
    environment = {"SMART_MATTE_DATA": None if data is None else str(data)}
    fixed = ("--accelerator", "cpu", "--workers", "1")
    words = [str(argument) for argument in (*fixed, *arguments)]
    return CliRunner().invoke(train_command, words, env=environment)


class InThisProcess(DataLoader[Any]):
    """Reads samples without processes, which take long to start."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        here = {"num_workers": 0, "multiprocessing_context": None}
        super().__init__(*arguments, **named | here)


def test_samples_are_rendered_weights_learnt_and_a_second_call_goes_on(
    tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, output = write_config(tmp_path), tmp_path / "run"
    first = call(config, "-o", output, "--photos", photo_folder, "--steps", 1)
    assert first.exit_code == 0, first.output
    sheet = output / "samples.jpg"
    assert f"Rendered 4 files of samples; some are shown in {sheet}." in first.output
    assert sheet.stat().st_size > 10_000
    assert "1/2: alpha 0." in first.output
    weights = output / "fba-compact.safetensors"
    assert f"{weights} has the weights of step-0000001." in first.output
    build_fba_compact(load_file(weights))
    names = sorted(path.name for path in (output / "samples").iterdir())
    assert names == ["held-back-00000.safetensors"] + [
        f"samples-0000{index}.safetensors" for index in range(3)
    ]
    assert any((output / "curves").iterdir())

    monkeypatch.setattr(training_loop, "DataLoader", InThisProcess)
    second = call(config, "-o", output)  # nothing is rendered, so no photos are needed
    assert second.exit_code == 0, second.output
    assert "Rendered" not in second.output
    assert "2/2: alpha 0." in second.output
    assert "1/2" not in second.output
    assert [path.name for path in sorted(output.glob("step-*"))] == ["step-0000001", "step-0000002"]


@pytest.mark.parametrize("missing", ["lightning_fabric", "tensorboard"])
def test_without_the_extra_it_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    result = call(write_config(tmp_path), "-o", tmp_path)
    assert isinstance(result.exception, OptionError)
    assert 'pip install "smart-matte[train]"' in str(result.exception)


def test_another_missing_module_is_not_taken_for_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "smart_matte.training.loop", None)
    result = call(write_config(tmp_path), "-o", tmp_path)
    assert isinstance(result.exception, ModuleNotFoundError)


def test_a_folder_without_photos_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(_missing: object, photos: Path, *_: object) -> None:
        shards._photos(photos)

    monkeypatch.setattr(shards, "render_missing", render)
    config = write_config(tmp_path)
    (tmp_path / "photos").mkdir()
    for arguments in (("--photos", tmp_path / "photos"), ()):
        result = call(config, "-o", tmp_path / "run", *arguments, data=tmp_path)
        assert isinstance(result.exception, PictureError)
        assert str(result.exception).startswith(f"“{tmp_path / 'photos'}” holds no photos;")


def test_nowhere_to_look_for_photos_is_told(tmp_path: Path) -> None:
    result = call(write_config(tmp_path), "-o", tmp_path / "run")
    assert isinstance(result.exception, OptionError)
    assert "--photos FOLDER" in str(result.exception)


@pytest.mark.parametrize(
    ("loop", "arguments", "sentence"),
    [
        ({"steps": -1}, (), "sets steps to -1; give more than 0"),
        ({"precision": '"33-true"'}, (), "sets precision to '33-true'; give one of 32-true"),
        ({}, ("--accelerator", "abacus"), r"Training can't begin: .*abacus"),
        ({}, ("--devices", "none"), r"Training can't begin: .*devices.* int > 0"),
        ({}, ("--start-from", "."), r"“\.” is no checkpoint; name a folder that has weights"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    loop: dict[str, object], arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    result = call(write_config(tmp_path, **loop), "-o", tmp_path / "run", *arguments)
    assert isinstance(result.exception, OptionError)
    assert re.search(sentence, str(result.exception))
    assert "\n" not in str(result.exception)

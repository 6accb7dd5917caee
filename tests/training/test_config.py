"""A run's file is read as it says, or refused with a sentence."""

from pathlib import Path

import pytest

import smart_matte.training
from smart_matte.errors import OptionError
from smart_matte.training.config import (
    LoopConfig,
    LossConfig,
    SampleConfig,
    TrainingConfig,
    read_config,
)

RUNS = sorted((Path(smart_matte.training.__file__).parent / "runs").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_says_is_taken_and_the_rest_is_as_usual(tmp_path: Path) -> None:
    text = """
        [samples]
        shards = 7
        size_px = 64
        [loop]
        learning_rate = 2
        precision = "32-true"
        [losses]
        colour_exclusion = 0
        alpha_l1 = 4
    """
    config = read_config(write(tmp_path, text))
    assert config.samples == SampleConfig(shards=7, size_px=64)
    assert config.loop == LoopConfig(learning_rate=2, precision="32-true")
    assert config.losses == LossConfig(colour_exclusion=0, alpha_l1=4)
    assert read_config(write(tmp_path, "")) == TrainingConfig()


def test_the_runs_that_come_with_the_program_are_read_and_say_something() -> None:
    assert RUNS
    assert TrainingConfig() not in [read_config(path) for path in RUNS]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[loop]\nsteps = ", r"The run .*run\.toml can't be read: "),
        ("[network]\nwidth = 3", r"has network; it may have \[samples\], \[loop\], \[losses\]\."),
        ("steps = 3", "has steps; it may have"),
        (
            "samples = 3",
            r"may have \[samples\], \[loop\], \[losses\], and values within these alone",
        ),
        ("[[loop]]\nsteps = 3", r"may have .*, and values within these alone"),
        ("[loop]\nstep = 3", "sets step, which is unknown; there are steps, batch, learning_rate"),
        ("[samples]\nbatch = 3", "sets batch, which is unknown; there are shards, "),
        ("[losses]\nalpha = 1", "sets alpha, which is unknown; there are alpha_l1, "),
        ("[losses]\nalpha_l1 = -0.5", "sets alpha_l1 to -0.5; give"),
        ("[loop]\nsteps = 3.0", r"sets steps to 3\.0; give int\."),
        ("[loop]\nsteps = true", "sets steps to True; give int"),
        ('[loop]\nlearning_rate = "high"', "sets learning_rate to 'high'; give float"),
        ("[loop]\nprecision = 32", "sets precision to 32; give str"),
        (
            '[loop]\nprecision = "16-mixed"',
            "sets precision to '16-mixed'; give one of",
        ),
        ("[loop]\nsteps = -1", r"sets steps to -1; give more than 0\."),
        ("[samples]\nshards = 0", "sets shards to 0; give more than 0"),
        ("[loop]\nlearning_rate = -1e-3", "sets learning_rate to -0.001; give more than 0"),
        ("[loop]\nlearning_rate = nan", "sets learning_rate to nan; give"),
        ("[loop]\nclip_norm = inf", "sets clip_norm to inf; give"),
        ("[samples]\nsize_px = 100", "sets size_px to 100; give a multiple of 16, at least 32"),
        ("[samples]\nsize_px = 16", "sets size_px to 16; give a multiple of 16, at least 32"),
        (
            "[samples]\nshards = 2\nper_shard = 5\n[loop]\nbatch = 11",
            "has batches of 11 but 10 samples",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(OptionError, match=sentence) as caught:
        read_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"The run .*absent\.toml can't be read: "):
        read_config(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(OptionError, match=r"The run .*latin\.toml can't be read: "):
        read_config(tmp_path / "latin.toml")

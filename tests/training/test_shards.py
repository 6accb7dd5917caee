"""Samples on disk: what is rendered is read again, turned, and never rendered twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tiny_samples import TINY

from smart_matte.engine.colour_prior import PLACE
from smart_matte.engine.fba_compact_inputs import Guess
from smart_matte.engine.fba_inputs import encode_inputs
from smart_matte.engine.models.fba_compact import CHANNELS, GUESS
from smart_matte.errors import OptionError, PictureError
from smart_matte.training import shards as module
from smart_matte.training.config import SampleConfig
from smart_matte.training.shards import (
    LEAST_SHARE,
    TURNS,
    SampleFiles,
    Shard,
    guess_sample,
    plan_shards,
    render_missing,
    render_shard,
    turned,
)
from smart_matte.training.synthesis import Samples


def test_turning_gives_48_different_samples_that_keep_picture_and_plane_together() -> None:
    plane = np.arange(25).reshape(5, 5)
    picture = 10 * plane[..., None] + np.arange(3)
    results = set()
    for turn in range(TURNS):
        turned_plane, turned_picture = turned(plane, turn), turned(picture, turn)
        np.testing.assert_array_equal(turned_picture // 10, np.dstack(3 * [turned_plane]))
        channels = turned_picture % 10
        assert (channels == channels[0, 0]).all()
        assert sorted(channels[0, 0]) == [0, 1, 2]
        results.add(turned_picture.tobytes())
    assert len(results) == TURNS == 48
    np.testing.assert_array_equal(turned(picture, 0), picture)


def test_held_back_files_have_other_names_and_seeds_than_those_learnt(tmp_path: Path) -> None:
    learnt, held_back = plan_shards(tmp_path, TINY)
    assert (len(learnt), len(held_back)) == (TINY.shards, TINY.held_back_shards)
    together = [*learnt, *held_back]
    assert len({shard.path for shard in together}) == len(together)
    streams = [np.random.default_rng(shard.seed).random() for shard in together]
    assert len(set(streams)) == len(together)


def test_other_samples_are_held_back_than_are_learnt(
    rendered: tuple[list[Shard], list[Shard]],
) -> None:
    learnt = [image for shard in rendered[0] for image in load_file(shard.path)["image"]]
    held_back = [image for shard in rendered[1] for image in load_file(shard.path)["image"]]
    assert len(learnt) == 12
    assert len(held_back) == 4
    different = {image.tobytes() for image in (*learnt, *held_back)}
    assert len(different) == 16


@pytest.mark.usefixtures("sparing_threads")
def test_a_file_is_made_by_its_seed_alone(
    rendered: tuple[list[Shard], list[Shard]], photo_folder: Path, tmp_path: Path
) -> None:
    shard = rendered[0][1]
    again = Shard(tmp_path / "again.safetensors", shard.seed)
    render_shard(again, photo_folder, TINY)
    expected = load_file(shard.path)
    for name, array in load_file(again.path).items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_file_holds_pictures_near_what_their_truth_composes_to(
    rendered: tuple[list[Shard], list[Shard]],
) -> None:
    errors = []
    for shard in rendered[0]:
        arrays = load_file(shard.path)
        assert {array.shape[:3] for array in arrays.values()} == {(4, 64, 64)}
        assert set(np.unique(arrays["trimap"])) <= {0, 128, 255}
        alpha = arrays["alpha"].astype(np.float32)[..., None]
        composed = alpha * arrays["foreground"] + (1 - alpha) * arrays["background"]
        errors += list(np.abs(composed - arrays["image"]).mean(axis=(1, 2, 3)))
    assert np.median(errors) < 0.05 * 255


class PoolOfThreads(ThreadPoolExecutor):
    """In place of processes, which take long to start."""

    def __init__(self, workers: int, **_named: Any) -> None:
        super().__init__(workers)


def mark(shard: Shard, config: SampleConfig) -> None:
    """Write a file without samples that says what it was rendered from."""
    save_file({"image": np.zeros(1)}, shard.path, {"origin": module._origin(shard, config)})


@pytest.mark.parametrize(
    "other", [{"seed": 9}, {"size_px": 128}, {"per_shard": 5}, {"foregrounds_per_shard": 3}]
)
def test_samples_of_another_run_are_refused(tmp_path: Path, other: dict[str, int]) -> None:
    (shard, *_), _ = plan_shards(tmp_path, replace(TINY, **other))
    mark(shard, replace(TINY, **other))
    (same, *_), _ = plan_shards(tmp_path, TINY)
    with pytest.raises(OptionError, match="holds samples that another run rendered"):
        render_missing([same], tmp_path, TINY, 1)


def test_samples_of_an_older_renderer_are_refused(
    rendered: tuple[list[Shard], list[Shard]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert render_missing(rendered[0], tmp_path, TINY, 1) == 0
    monkeypatch.setattr(module, "RENDERER", 2)
    with pytest.raises(OptionError, match="--samples, or delete this one"):
        render_missing(rendered[0], tmp_path, TINY, 1)


def test_more_files_of_the_same_samples_are_no_other_run(tmp_path: Path) -> None:
    (shard, *_), _ = plan_shards(tmp_path, TINY)
    mark(shard, TINY)
    assert render_missing([shard], tmp_path, replace(TINY, shards=1, held_back_shards=1), 1) == 0


def test_what_is_rendered_already_is_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt, held_back = plan_shards(tmp_path / "samples", TINY)
    together = [*learnt, *held_back]
    together[1].path.parent.mkdir()
    mark(together[1], TINY)
    before = together[1].path.read_bytes()
    jobs = []

    def render(shard: Shard, photos: Path, config: object) -> None:
        jobs.append((shard, photos, config))
        mark(shard, TINY)

    monkeypatch.setattr(module, "ProcessPoolExecutor", PoolOfThreads)
    monkeypatch.setattr(module, "render_shard", render)
    assert render_missing(together, tmp_path, TINY, 2) == len(together) - 1
    expected = [(shard, tmp_path, TINY) for shard in together if shard is not together[1]]
    assert sorted(jobs, key=str) == sorted(expected, key=str)
    assert together[1].path.read_bytes() == before
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    assert render_missing(together, tmp_path, TINY, 2) == 0


def test_a_failure_is_told_before_the_rest_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over, begun = threading.Event(), []

    class Pool(PoolOfThreads):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  (its signature)
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            is_over.set()
            super().shutdown(wait=wait)

    def render(shard: Shard, *_: object) -> None:
        begun.append(shard)
        if len(begun) == 1:
            raise PictureError("There are no photos.")
        is_over.wait()

    monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(module, "render_shard", render)
    shards = [Shard(tmp_path / f"{index}", (1, 0, index)) for index in range(20)]
    with pytest.raises(PictureError, match="no photos"):
        render_missing(shards, tmp_path, TINY, 1)
    assert len(begun) <= 2


@pytest.mark.usefixtures("sparing_threads")
def test_an_interrupted_file_leaves_nothing_of_its_name(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Shard(tmp_path / "samples-00000.safetensors", (1, 0, 0))

    def stop_halfway(_arrays: object, path: Path, _metadata: object) -> None:
        path.write_bytes(b"half of")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", stop_halfway)
        with pytest.raises(KeyboardInterrupt):
            render_shard(shard, photo_folder, TINY)
    assert list(tmp_path.glob("*.safetensors")) == []
    render_shard(shard, photo_folder, TINY)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".partial"] == [
        shard.path.name
    ]


def test_samples_are_guessed_as_parts_of_pictures_of_many_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places: list[float] = []
    monkeypatch.setattr(module, "guess_matte", lambda *_, place: places.append(place))
    image, trimap = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)
    random = np.random.default_rng(0)
    for _ in range(200):
        guess_sample(image, trimap, random)
    assert PLACE * LEAST_SHARE <= min(places) < 1.1 * PLACE * LEAST_SHARE
    assert 0.9 * PLACE < max(places) <= PLACE


def test_samples_without_both_sides_or_that_nobody_could_tell_come_last() -> None:
    trimap = torch.full((6, 1, 10, 10), 0.5)
    trimap[[0, 1, 4, 5], :, :2] = 0
    trimap[[1, 3, 4, 5], :, 5:] = 1
    colour, alpha = torch.zeros(6, 3, 10, 10), torch.zeros(6, 1, 10, 10)
    samples = Samples(colour.byte(), alpha, colour, colour, trimap)
    flat = np.zeros((10, 10, 3), np.float32)
    off = (0.0, 0.3, 0.0, 0.0, 0.05, 0.1)
    guesses = [Guess(np.full((10, 10), error, np.float32), flat, flat) for error in off]
    assert module._choose(samples, guesses, 2) == [4, 5]
    assert module._choose(samples, guesses, 4) == [4, 5, 0, 1]


@pytest.mark.parametrize("turn", [0, 29])
def test_a_sample_is_what_was_rendered(
    rendered: tuple[list[Shard], list[Shard]], turn: int
) -> None:
    samples = SampleFiles(rendered[0], TINY.per_shard)
    assert len(samples) == 12
    channels, truth = samples[6, turn]
    arrays = {
        name: turned(array[2], turn) for name, array in load_file(rendered[0][1].path).items()
    }
    image = (arrays["image"] / 255).astype(np.float32)
    is_unknown = arrays["trimap"] == 128
    trimap = np.where(is_unknown, 0.5, arrays["trimap"] / 255).astype(np.float32)
    assert 0.01 < is_unknown.mean() < 0.99
    assert channels.dtype == torch.float32
    assert channels.shape == (CHANNELS, 64, 64)
    np.testing.assert_array_equal(channels[:GUESS], encode_inputs(image, trimap))
    alpha = np.where(is_unknown, arrays["guessed_alpha"].astype(np.float32), trimap)
    np.testing.assert_array_equal(channels[GUESS], alpha)
    for place, name in ((GUESS + 1, "guessed_foreground"), (GUESS + 4, "guessed_background")):
        colour = (arrays[name] / 255).astype(np.float32).transpose(2, 0, 1)
        np.testing.assert_array_equal(channels[place : place + 3], colour)
    for name, expected in (
        ("image", image),
        ("alpha", arrays["alpha"][..., None]),
        ("foreground", arrays["foreground"] / 255),
        ("background", arrays["background"] / 255),
        ("is_unknown", is_unknown[..., None]),
    ):
        plane = getattr(truth, name)
        assert plane.dtype == torch.float32
        np.testing.assert_array_equal(plane, expected.astype(np.float32).transpose(2, 0, 1))


def test_samples_can_be_read_by_several_at_a_time(
    rendered: tuple[list[Shard], list[Shard]],
) -> None:
    samples = SampleFiles(rendered[0], TINY.per_shard)
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda index: samples[index, index], range(12)))
    for index, (channels, truth) in enumerate(together):
        alone, truth_alone = samples[index, index]
        assert torch.equal(channels, alone)
        assert torch.equal(truth.alpha, truth_alone.alpha)

"""Small samples, rendered once for all tests."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_samples import TINY

from smart_matte.training.shards import Shard, plan_shards, render_shard


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of coloured squares by chance."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        photo = np.kron(random.integers(0, 256, (12, 16, 3)), np.ones((8, 8, 1)))
        cv2.imwrite(str(folder / f"{name}.png"), photo.astype(np.uint8))
    return folder


@pytest.fixture
def sparing_threads() -> Iterator[None]:
    """Rendering keeps torch and OpenCV to one thread; other tests get theirs back."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """Where the samples of TINY are."""
    folder = tmp_path_factory.mktemp("samples")
    threads = torch.get_num_threads(), cv2.getNumThreads()
    for shards in plan_shards(folder, TINY):
        for shard in shards:
            render_shard(shard, photo_folder, TINY)
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])
    return folder


@pytest.fixture
def rendered(sample_folder: Path) -> tuple[list[Shard], list[Shard]]:
    """The files of samples to learn from, and of those held back."""
    return plan_shards(sample_folder, TINY)

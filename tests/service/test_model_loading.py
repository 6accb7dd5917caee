"""However many ask for a model at once, it is loaded once; a load that fails may be tried again."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_harness import Backend, running

from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Output, Plane

AT_ONCE = 16
RUN_LOADING = Path(__file__).with_name("run_loading.py")
IMAGE = Plane("image", 40, 30, "RGB", "u8", "srgb")
TRIMAP = Plane("trimap", 40, 30, "GRAY", "u8", "coverage")
PIXELS = bytes(range(200)) * 18
KINDS = (bytes(10) + b"\x80" * 20 + b"\xff" * 10) * 30
OPTIONS = {"matter": "fba", "segmenter": "selection"}


@pytest.fixture
def backend(folder: Path) -> Iterator[Backend]:
    command = (sys.executable, str(RUN_LOADING), "broker", str(folder / "log"))
    with running(folder, command=command) as backend:
        yield backend


def loads(backend: Backend) -> int:
    path = backend.folder / "loads"
    return len(path.read_text().splitlines()) if path.exists() else 0


def ask_all_at_once(backend: Backend) -> Counter[str]:
    """How the first requests of AT_ONCE new clients end."""
    barrier, ends = threading.Barrier(AT_ONCE), Counter[str]()

    def ask() -> None:
        with backend.client() as client:
            barrier.wait(20)
            try:
                answer = client.cutout(
                    [(IMAGE, PIXELS), (TRIMAP, KINDS)], [Output("alpha", "GRAY", "u8")], OPTIONS
                )
            except LinkError as error:
                ends[f"{error.code}: {error.sentence}"] += 1
            else:
                ends["right" if bytes(answer.planes["alpha"].pixels) == KINDS else "wrong"] += 1

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return ends


def test_a_model_is_loaded_once_for_all_who_ask_first(backend: Backend) -> None:
    assert ask_all_at_once(backend) == {"right": AT_ONCE}
    assert loads(backend) == 1


def test_a_load_that_fails_is_said_to_all_and_may_be_tried_again(backend: Backend) -> None:
    broken = backend.folder / "broken"
    broken.touch()
    sentence = "weights: These weights are broken; fetch them again."
    assert ask_all_at_once(backend) == {sentence: AT_ONCE}
    assert loads(backend) == AT_ONCE  # each was a try of its own
    broken.unlink()
    assert ask_all_at_once(backend) == {"right": AT_ONCE}
    assert loads(backend) == AT_ONCE + 1

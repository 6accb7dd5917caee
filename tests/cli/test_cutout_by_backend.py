"""``smart-matte cutout`` through the backend: the same files, and what happens without one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cutout_command import draw, one_sentence

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def smart_matte() -> Iterator[Run]:
    """The command with a backend of its own, which is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="smart-matte-") as folder:  # a short path: sockets
        environment = os.environ | {
            "SMART_MATTE_WEIGHTS": f"{folder}/weights",
            "SMART_MATTE_RUNTIME": f"{folder}/run",
            "XDG_STATE_HOME": f"{folder}/state",
        }

        def run(*arguments: object, **changes: str) -> subprocess.CompletedProcess[bytes]:
            command = [str(Path(sys.executable).with_name("smart-matte")), *map(str, arguments)]
            return subprocess.run(  # noqa: S603  (our own command)
                command, capture_output=True, check=False, timeout=120, env=environment | changes
            )

        yield run
        run("stop")


def test_the_backend_gives_the_same_files_as_this_process(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    rgba = np.dstack([np.asarray(Image.open(picture)), np.full((90, 120), 200, np.uint8)])
    Image.fromarray(rgba).save(picture)
    for out, mode in (("there", ()), ("here", ("--no-backend",))):
        result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path / out, *mode)
        assert result.returncode == 0, result.stderr
        assert b"this process" not in result.stderr
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()
    assert b"closed-form" in smart_matte("status").stdout


def test_the_engines_sentence_comes_through_with_its_exit_code(
    smart_matte: Run, tmp_path: Path
) -> None:
    picture, rough = draw(tmp_path)
    Image.fromarray(np.zeros((90, 120), np.uint8)).save(rough)
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path / "out")
    assert result.returncode == 4
    assert "The selection is empty" in one_sentence(result)


def test_without_a_backend_this_process_computes_and_says_so(
    smart_matte: Run, tmp_path: Path
) -> None:
    picture, rough = draw(tmp_path)
    (tmp_path / "file").touch()
    result = smart_matte(
        "cutout", picture, "-s", rough, "-o", tmp_path / "out",
        SMART_MATTE_RUNTIME=str(tmp_path / "file"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"this process instead of the backend: " in result.stderr


def test_stop_ends_it_and_status_says_that_none_runs(smart_matte: Run) -> None:
    smart_matte("serve", "--detach")
    assert smart_matte("status").returncode == 0
    assert smart_matte("stop").returncode == 0
    result = smart_matte("status")
    assert result.returncode == 1
    assert "smart-matte serve" in one_sentence(result)

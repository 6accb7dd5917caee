"""Krita 5 brings PyQt5 and Krita 6 PyQt6: the docker works under both."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("krita_bindings.py")
TIME_S = 60.0


@pytest.mark.parametrize("binding", ["PyQt5", "PyQt6"])
def test_the_docker_works_under_each_binding(binding: str, tmp_path: Path):
    if importlib.util.find_spec(binding) is None:
        pytest.skip(f"{binding} isn't installed; “make test” installs it")
    finished = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, str(PROGRAM), binding],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIME_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr

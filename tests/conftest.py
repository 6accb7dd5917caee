"""Fixtures that every part's tests share."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Pictures and true alphas that are not part of the project; absent on most machines."""
    folder = Path(os.environ.get("SMART_MATTE_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set SMART_MATTE_DATA to its folder")
    return folder

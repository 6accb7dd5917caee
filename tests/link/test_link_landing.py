"""Where the pixels of a result are put."""

import gc
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from smart_matte_link import memory
from smart_matte_link.errors import ProtocolError
from smart_matte_link.messages import Plane
from smart_matte_link.session import Landing

JOB = b"j" * 16
PLANES = (
    Plane("alpha", 30, 20, "GRAY", "u8", "coverage"),
    Plane("foreground", 30, 20, "RGB", "u8", "srgb"),
)
PIXELS = os.urandom(2400)


@pytest.fixture(params=["linux", "win32"])
def landing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Landing:
    if request.param == "linux" and sys.platform != "linux":
        pytest.skip("other systems have no such pages")
    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform=request.param))
    return Landing(JOB, PLANES)


def test_every_plane_lands_on_zeros_of_its_own_size(landing: Landing) -> None:
    assert [bytes(buffer) for buffer in landing.buffers] == [bytes(600), bytes(1800)]


def test_what_was_not_read_in_place_is_copied_across_the_planes(landing: Landing) -> None:
    for start in range(0, len(PIXELS), 700):
        landing.add(memoryview(PIXELS)[start : start + 700])
    assert b"".join(landing.buffers) == PIXELS


def test_what_was_read_in_place_is_only_counted(landing: Landing) -> None:
    place = landing.free_bytes(600)
    assert place is not None
    place[:] = PIXELS[:600]
    landing.add(place)
    assert landing.buffers[0] == PIXELS[:600]
    assert landing.inflow.received == 600
    assert landing.free_bytes(1801) is None


def test_one_byte_too_many_is_refused_and_written_nowhere(landing: Landing) -> None:
    landing.add(memoryview(PIXELS)[:2399])
    with pytest.raises(ProtocolError):
        landing.add(memoryview(b"ab"))
    assert landing.buffers[1][-1] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux maps it")
def test_memory_that_there_is_not_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        memory.zeros(1 << 46)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux maps it")
def test_a_result_nobody_holds_is_given_back_at_once() -> None:
    def used_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    gc.collect()
    before = used_bytes()
    plane = Plane("alpha", 8192, 8192, "GRAY", "u8", "coverage")
    landing = Landing(JOB, (plane,))
    landing.add(memoryview(bytes(plane.byte_count)))
    assert used_bytes() - before > plane.byte_count // 2
    pixels = landing.buffers[0]
    del landing
    assert used_bytes() - before > plane.byte_count // 2
    del pixels
    assert used_bytes() - before < plane.byte_count // 2

from dataclasses import dataclass

import numpy as np
import pytest

from smart_matte.engine.cutout import RawCutout
from smart_matte.engine.options import Options
from smart_matte.engine.report import Report
from smart_matte.service import kept as kept_module
from smart_matte.service.kept import Kept, KeptJob
from smart_matte.service.planes import source_image
from smart_matte_link.messages import Plane


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def small(width: int = 2) -> KeptJob:
    gray = np.zeros((1, width), np.float32)
    colour = np.zeros((1, width, 3), np.float32)
    image = source_image(
        Plane("image", width, 1, "GRAY", "u8", "srgb"), np.zeros((1, width, 1), np.uint8)
    )
    return KeptJob(image, RawCutout(colour, None, gray, gray, colour, Report()), Options())


def test_the_last_two_are_kept() -> None:
    kept = Kept(60)
    jobs = [small() for _ in range(3)]
    for name, job in zip((b"a", b"b", b"c"), jobs, strict=True):
        assert kept.keep(name, job)
    assert [kept.find(name) for name in (b"a", b"b", b"c")] == [None, *jobs[1:]]


def test_what_is_used_stays_longer() -> None:
    kept = Kept(60)
    kept.keep(b"a", small())
    kept.keep(b"b", small())
    kept.find(b"a")
    kept.keep(b"c", small())
    assert kept.find(b"a") is not None
    assert kept.find(b"b") is None


def test_one_result_under_many_names_counts_once() -> None:
    kept = Kept(60)
    kept.keep(b"a", small())
    job = small()
    for name in range(50):
        kept.keep(bytes([name]), job)
    assert kept.find(b"a") is not None
    assert kept.find(bytes([0])) is job


def test_all_go_together_when_none_is_asked_for_in_time() -> None:
    clock = Clock()
    kept = Kept(60, clock)
    assert kept.seconds_left() is None
    kept.keep(b"a", small())
    clock.now_s += 50
    assert kept.seconds_left() == 10
    kept.drop_idle()
    assert kept.find(b"a") is not None
    assert kept.seconds_left() == 60
    clock.now_s += 60
    kept.drop_idle()
    assert kept.find(b"a") is None
    assert kept.seconds_left() is None


def test_what_is_too_large_is_not_kept_and_pushes_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Kept(60)
    limit = small(2).byte_count * 2
    monkeypatch.setattr(kept_module, "MOST_BYTES", limit)
    kept.keep(b"a", small(2))
    assert not kept.keep(b"b", small(5))
    assert kept.find(b"a") is not None
    assert kept.keep(b"c", small(3))
    assert kept.find(b"a") is None

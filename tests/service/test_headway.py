"""A busy machine and a long call into a library are no hang; a deadlock and a held lock are."""

from types import SimpleNamespace

import pytest

from smart_matte.service.headway import Headway
from smart_matte.service.settings import Settings

LEASE_S = 15.0
SETTINGS = Settings(native_lease_s=120.0, pong_lease_s=5.0)


def is_lost(
    silence_s: float, *, worked_s: float | None, answers: bool, lease_s: float = LEASE_S
) -> bool:
    """A worker that was heard of its job at second 100, and what it did since then."""
    headway, now = Headway(), 100.0 + silence_s
    at_first = None if worked_s is None else 7.0
    worker = SimpleNamespace(worked_s=lambda: at_first, last_heard=100.0)
    assert not headway.is_lost(worker, 100.0, 100.0, lease_s, SETTINGS)
    worker.worked_s = lambda: None if worked_s is None else 7.0 + worked_s
    worker.last_heard = now if answers else 100.0
    return headway.is_lost(worker, 100.0, now, lease_s, SETTINGS)


def test_within_its_lease_nothing_is_lost() -> None:
    assert not is_lost(14.9, worked_s=0.0, answers=False)


@pytest.mark.parametrize("answers", [True, False])
def test_a_worker_that_uses_no_processor_is_blocked(*, answers: bool) -> None:
    assert is_lost(15.1, worked_s=0.1, answers=answers)


def test_a_library_may_compute_for_two_minutes() -> None:
    assert not is_lost(119.0, worked_s=118.0, answers=True)
    assert is_lost(121.0, worked_s=118.0, answers=True)


def test_a_worker_that_holds_the_interpreter_has_its_lease_in_processor_time() -> None:
    assert is_lost(15.2, worked_s=15.1, answers=False)
    assert not is_lost(60.0, worked_s=14.0, answers=False)  # on a busy machine


def test_loading_has_its_own_lease() -> None:
    assert not is_lost(119.0, worked_s=100.0, answers=False, lease_s=120.0)
    assert is_lost(140.0, worked_s=125.0, answers=False, lease_s=120.0)


@pytest.mark.parametrize("answers", [True, False])
def test_where_the_system_tells_no_processor_time_the_answers_decide(*, answers: bool) -> None:
    assert is_lost(16.0, worked_s=None, answers=answers) is not answers
    assert is_lost(121.0, worked_s=None, answers=answers)


def test_every_word_about_the_job_begins_anew() -> None:
    headway = Headway()
    worker = SimpleNamespace(worked_s=lambda: 5.0, last_heard=0.0)
    assert headway.is_lost(worker, 0.0, 16.0, LEASE_S, SETTINGS)
    assert not headway.is_lost(worker, 15.0, 16.0, LEASE_S, SETTINGS)

"""A connection that is used for years needs no more memory than one that is new."""

from pathlib import Path

import pytest
from client_jobs import IMAGE, OUTPUTS, PIXELS, client_for
from fake_backend import FakeBackend

from smart_matte_link import session


def test_a_connection_remembers_no_more_ended_jobs_than_it_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REMEMBERED_JOBS", 3)
    with FakeBackend(folder), client_for(folder) as client:
        answers = [client.cutout([(IMAGE, PIXELS)], OUTPUTS[1:], {}) for _ in range(5)]
        assert client._session is not None
        assert list(client._session._ended) == [answer.source for answer in answers[-3:]]

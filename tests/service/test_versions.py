"""Links and backends of three versions: each pair works, or says in a sentence what to update."""

from pathlib import Path

import pytest
from broker_harness import running
from versions import RANGES, client_of, command_of, meet

AGREED = {
    ("older", "older"): 1,
    ("older", "same"): 1,
    ("same", "older"): 1,
    ("same", "same"): 2,
    ("same", "newer"): 2,
    ("newer", "same"): 2,
    ("newer", "newer"): 3,
}
"""The newest version in common, by link and backend; the other two pairs have none."""


@pytest.mark.parametrize("backend", RANGES)
def test_each_link_works_with_a_backend_or_says_what_to_update(folder: Path, backend: str) -> None:
    with running(folder, command=command_of(RANGES[backend], folder)) as running_backend:
        for link in RANGES:  # the newer one last: it asks the older backend to make room
            meeting = meet(folder, RANGES[link])
            if (link, backend) in AGREED:
                assert meeting.outcome == "done"
                assert meeting.protocol == AGREED[link, backend]
            elif link == "older":
                assert meeting.outcome.startswith("version: This program is too old")
                assert "Update the plug-in" in meeting.hint
                assert running_backend.process.poll() is None
            else:
                assert meeting.outcome == "unreachable: No backend is running."
                assert "Start one" in meeting.hint
                assert running_backend.process.wait(5) == 0


def test_a_newer_link_replaces_an_older_backend_and_has_its_picture_cut_out(folder: Path) -> None:
    with running(folder, command=command_of(RANGES["older"], folder)) as old:
        meeting = meet(folder, RANGES["newer"], start=RANGES["newer"])
        assert (meeting.outcome, meeting.protocol) == ("done", 3)
        assert old.process.wait(5) == 0
        with client_of(folder, RANGES["newer"]) as client:
            assert client.shutdown()

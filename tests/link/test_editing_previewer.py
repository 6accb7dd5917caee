"""The thread that keeps a preview up to date, with a client that the test plays."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest

from smart_matte_link.editing.previewer import Previewer, Wish
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Answer, Wishes
from smart_matte_link.messages import Output, Plane, Progress

PATIENCE_S = 10.0
IMAGE = Plane("image", 2, 1, "RGBA", "u8", "srgb")
PLANES = [(IMAGE, bytes(8))]


def answer(number: int, *, kept: bool = True) -> Answer:
    return Answer(bytes([number]) * 16, IMAGE, {}, {}, kept)


class PlayedClient:
    """A client whose calls wait until the test says what comes of them."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[str, Any, list[Output], dict, Wishes]] = queue.Queue()
        self.outcomes: queue.Queue[Answer | LinkError] = queue.Queue()
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()

    def client(self, application: str) -> "PlayedClient":
        assert application == "gimp"
        return self

    def explained(self, error: LinkError) -> LinkError:
        return LinkError(error.code, f"Explained: {error.sentence}")

    def cutout(self, planes, outputs, options, wishes, *, keep):
        assert keep
        return self._outcome("cutout", planes, outputs, options, wishes)

    def refine(self, before, outputs, options, wishes):
        return self._outcome("refine", before, outputs, options, wishes)

    def _outcome(self, *call):
        self.calls.put(call)
        outcome = self.outcomes.get(timeout=PATIENCE_S)
        if isinstance(outcome, LinkError):
            raise outcome
        return outcome

    def next_call(self):
        return self.calls.get(timeout=PATIENCE_S)


class Played:
    """A previewer, its client, and what it told."""

    def __init__(self) -> None:
        self.client = PlayedClient()
        self.news: queue.Queue = queue.Queue()
        self.previewer = Previewer(self.client, "gimp", self.news.put)

    def ask(self, planes=PLANES, **options: Any):
        """Ask, and wait until the client is called."""
        self.previewer.ask(Wish(planes, options))
        return self.client.next_call()

    def told(self):
        return self.news.get(timeout=PATIENCE_S)


@pytest.fixture
def played() -> Iterator[Played]:
    played = Played()
    yield played
    played.previewer.close()
    played.client.outcomes.put(LinkError("cancelled", "The test is over."))
    assert played.client.closed.wait(PATIENCE_S)


def test_a_wish_becomes_an_answer(played: Played):
    name, planes, outputs, options, _ = played.ask(matter="fba")
    assert (name, planes, options) == ("cutout", PLANES, {"matter": "fba"})
    assert [output.role for output in outputs] == ["alpha", "foreground", "trimap"]
    played.client.outcomes.put(answer(1))
    assert played.told() == answer(1)


@pytest.mark.parametrize(
    ("order", "wanted"), [("GRAY", "GRAY"), ("GRAYA", "GRAY"), ("RGB", "RGB"), ("RGBA", "RGB")]
)
def test_the_foreground_is_wanted_without_opacity(played: Played, order: str, wanted: str):
    image = Plane("image", 2, 1, order, "u8", "srgb")
    outputs = played.ask([(image, b"")])[2]
    assert outputs[1] == Output("foreground", wanted, "u8")


@pytest.mark.parametrize("option", ["decontaminate", "shift_edge"])
def test_finishing_refines_the_kept_result(played: Played, option: str):
    played.ask(matter="fba")
    played.client.outcomes.put(answer(1))
    played.told()
    name, before, _, options, _ = played.ask(matter="fba", **{option: 10.0})
    assert (name, before) == ("refine", answer(1))
    assert options == {"matter": "fba", option: 10.0}
    played.client.outcomes.put(answer(1))
    assert played.told() == answer(1)


def test_other_options_and_other_pixels_are_computed_anew(played: Played):
    for planes, options in ((PLANES, {}), (PLANES, {"holes": False}), (list(PLANES), {})):
        assert played.ask(planes, **options)[0] == "cutout"
        played.client.outcomes.put(answer(1))
        played.told()


def test_what_is_not_kept_is_computed_anew(played: Played):
    played.ask()
    played.client.outcomes.put(answer(1))
    played.told()
    assert played.ask(shift_edge=5.0)[0] == "refine"
    played.client.outcomes.put(LinkError("not_kept", "Gone."))
    assert played.client.next_call()[0] == "cutout"
    played.client.outcomes.put(answer(2, kept=False))
    assert played.told() == answer(2, kept=False)
    assert played.ask(shift_edge=6.0)[0] == "cutout"


def test_a_newer_wish_cancels_and_replaces_an_older_one(played: Played):
    wishes = played.ask(matter="fba")[4]
    assert not wishes.cancel.is_set()
    for matter in ("second", "third"):
        played.previewer.ask(Wish(PLANES, {"matter": matter}))
    assert wishes.cancel.is_set()
    played.client.outcomes.put(LinkError("cancelled", "The job was cancelled."))
    assert played.client.next_call()[3] == {"matter": "third"}
    assert not wishes.cancel.is_set()
    played.client.outcomes.put(answer(3))
    assert played.told() == answer(3)
    assert played.news.empty()


def test_an_error_is_told_explained_and_the_next_wish_is_done(played: Played):
    played.ask()
    played.client.outcomes.put(LinkError("unreachable", "No backend."))
    assert str(played.told()) == "Explained: No backend."
    assert played.ask(holes=False)[0] == "cutout"
    played.client.outcomes.put(answer(2))
    assert played.told() == answer(2)


def test_progress_is_told(played: Played):
    wishes = played.ask()[4]
    wishes.progress(Progress("matting", 0.5))
    assert played.told() == Progress("matting", 0.5)


def test_after_closing_the_job_is_cancelled_and_nothing_is_told(played: Played):
    wishes = played.ask()[4]
    played.previewer.close()
    assert wishes.cancel.is_set()
    played.client.outcomes.put(answer(1))
    assert played.client.closed.wait(PATIENCE_S)
    assert played.news.empty()


def test_closing_before_any_wish_ends_the_thread(played: Played):
    played.previewer.close()
    assert played.client.closed.wait(PATIENCE_S)

"""What goes wrong between Krita and the backend: a sentence, and a document left alone."""

import json
import signal
from typing import Any

import numpy as np
import pytest
from backends import EditorBackend
from krita_plug_in import Hands, install, noise, open_krita
from krita_program import Krita
from programs import Editors, wait_for
from screen import Screen

from smart_matte.install.folders import facts_for

SIZE = (160, 64)
SLOW_S = 1.5
EVER_S = 60.0
CANCEL_S = 10.0
"""Generous: two seconds are wanted, and five programs may share a core."""

DESKTOP = {"dbus-launch", "dbus-daemon"}
"""What Krita starts for itself where there is no desktop."""


def open_picture(hands: Hands) -> None:
    hands.new_document(*SIZE, noise(*SIZE))
    hands.select(rectangle=(10, 10, 20, 20))


def begin_slowly(hands: Hands, backend: EditorBackend, seconds: float = SLOW_S) -> None:
    """Begin a job and come back when the backend computes."""
    backend.order(seconds=seconds)
    hands.begin()
    wait_for(backend.jobs_running, "the job runs")


def names(hands: Hands) -> list[str]:
    told = hands.tell(with_pixels=False)["layers"]
    return [node["name"] for node in told if node["type"] != "selectionmask"]


def test_a_document_that_was_closed_meanwhile_is_missed(hands: Hands, answering: EditorBackend):
    hands.new_document(60, 40, noise(60, 40))
    other = hands.tell()
    open_picture(hands)
    begin_slowly(hands, answering)
    hands.close_document()
    assert hands.end() == "The document was closed while Smart Matte worked on it."
    assert hands.tell() == other


def test_a_layer_that_was_removed_meanwhile_is_missed(hands: Hands, answering: EditorBackend):
    open_picture(hands)
    hands.add_layer("second", noise(40, 40), (0, 0, 40, 40))
    begin_slowly(hands, answering)
    hands.remove("second")
    left = hands.tell()
    assert hands.end() == "The layer was removed while Smart Matte worked on it."
    assert hands.tell() == left


@pytest.mark.parametrize("how", ["moved", "painted", "grown"])
def test_a_layer_that_is_not_what_it_was_is_left_alone(
    hands: Hands, answering: EditorBackend, how: str
):
    open_picture(hands)
    begin_slowly(hands, answering)
    if how == "moved":
        hands.move("subject", 3, 0)
    elif how == "painted":
        hands.paint("subject", np.uint8([1, 2, 3, 4]), (50, 60, 1, 1))
    else:
        hands.paint("subject", np.uint8([1, 2, 3, 4]), (-5, 60, 1, 1))
    left = hands.tell()
    assert hands.end() == "The layer was changed while Smart Matte worked on it; run it once more."
    assert hands.tell() == left


def test_what_changes_elsewhere_and_where_the_layer_hangs_is_no_matter(
    hands: Hands, answering: EditorBackend
):
    open_picture(hands)
    hands.add_layer("group", kind="grouplayer")
    hands.activate("subject")
    begin_slowly(hands, answering)
    hands.script(
        """
        subject = hands.find("subject")
        subject.remove()
        hands.find("group").addChildNode(subject, None)
        subject.setName("renamed")
        """
    )
    assert hands.end().startswith("Done")
    (group,) = [node for node in hands.tell()["layers"] if node["name"] == "group"]
    assert [node["name"] for node in group["children"]] == ["renamed cut out", "renamed"]


def test_cancel_answers_at_once_and_stops_the_backend(hands: Hands, answering: EditorBackend):
    open_picture(hands)
    before = hands.tell()
    begin_slowly(hands, answering, EVER_S)
    took_s, said = hands.cancel()
    assert took_s < CANCEL_S
    assert said == "Cancelled; nothing was changed."
    wait_for(lambda: not answering.jobs_running(), "the backend stops", CANCEL_S)
    assert hands.tell() == before
    answering.order(foreground="pattern")
    assert hands.run().startswith("Done")


def test_cancelling_while_the_result_is_put_in_takes_it_out_again(hands: Hands):
    side = 3000
    hands.new_document(side, side)
    hands.select()
    hands.begin()
    assert hands.cancel_at("subject cut out")
    wait_for(lambda: names(hands) == ["subject"], "the layer is taken out")


def test_closing_the_document_while_the_result_is_put_in_does_no_harm(hands: Hands):
    side = 3000
    hands.new_document(side, side)
    hands.begin()
    assert hands.close_at("subject cut out")
    assert hands.end() == "The document was closed while Smart Matte worked on it."


def test_what_the_backend_refuses_is_said_in_the_docker(hands: Hands, answering: EditorBackend):
    open_picture(hands)
    before = hands.tell()
    answering.order(do="fail", code="option")
    assert hands.run() == "It can't be done."
    assert hands.tell() == before
    copied = hands.details().splitlines()
    assert copied[0].startswith("Smart Matte ")
    assert ", Krita " in copied[0]
    assert copied[1].startswith("PyQt")
    assert copied[2] == "option: It can't be done."
    assert len(copied) == 3
    assert "picture" not in "".join(copied)  # the document's name
    answering.order(foreground="pattern")
    assert hands.run().startswith("Done")
    assert hands.details() == ""


@pytest.fixture
def own_hands(krita: Krita, display: Screen, fake_backend: EditorBackend) -> Any:
    """A Krita whose backend may be harmed; none can be started in its place."""
    install(krita, {**facts_for(None), "command": ["/nowhere/smart-matte"]})
    with open_krita(krita, display, fake_backend.env) as hands:
        yield hands


def test_a_backend_that_dies_or_is_not_there_is_told_of(
    own_hands: Hands, fake_backend: EditorBackend
):
    hands = own_hands
    open_picture(hands)
    before = hands.tell()

    fake_backend.order(do="die")
    assert hands.run().startswith("The process that computes died")
    assert hands.tell() == before
    assert hands.details().splitlines()[2].startswith("worker_died: ")

    begin_slowly(hands, fake_backend, EVER_S)
    fake_backend.process.send_signal(signal.SIGKILL)
    said = hands.end()
    assert said.startswith("“/nowhere/smart-matte” can't be started: ")
    assert hands.tell() == before
    assert hands.run() == said  # and again
    assert str(hands.home) not in hands.details()
    assert hands.tell() == before


def test_krita_closes_in_the_middle_of_a_job_and_leaves_only_the_backend(
    own_hands: Hands, fake_backend: EditorBackend, editors: Editors
):
    hands = own_hands
    open_picture(hands)
    hands.script("krita.activeDocument().setModified(False)")
    begin_slowly(hands, fake_backend, EVER_S)
    hands.screen.close_window(hands.screen.wait_for_window("Krita"))
    with hands.screen.kept_on_failure():
        wait_for(lambda: not hands.running.program.is_running(), "Krita ends", CANCEL_S)
    assert hands.running.program.wait(0).code == 0
    wait_for(lambda: not fake_backend.jobs_running(), "the backend forgets the job", CANCEL_S)
    assert fake_backend.process.poll() is None
    assert set(editors.processes(hands.home).values()) <= DESKTOP


def test_a_backend_that_is_not_there_is_started_and_outlives_krita(
    krita: Krita, display: Screen, editors: Editors
):
    install(krita)
    connection = krita.home / "run" / "connection.json"
    with open_krita(krita, display, {}, with_checkout=True) as hands:
        open_picture(hands)
        hands.begin(matter="closed-form")
        wait_for(connection.exists, "the backend is there", EVER_S)
    pid = json.loads(connection.read_text())["pid"]
    left = editors.processes(krita.home)
    assert pid in left
    assert "krita" not in left.values()

"""
The dialog in the real window, driven by keys and the mouse; pictures of it are in build/editors.

One GIMP and one backend, which answers at once, serve all tests; each has an image of its own.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import FAKE, EditorBackend, running
from gimp_plug_in import NAME, gimp_for_a_module, install
from gimp_program import Gimp
from PIL import Image
from programs import Editors, wait_for
from screen import SIZE, TOOLS, Screen
from scripting import Running

DIALOG, MESSAGE, MAIN = "^Smart Matte$", "^GIMP Message$", "GIMP$|^GNU Image"
SHORTCUT = "ctrl+alt+m"
SHORTCUTS = '(file-version 1)\n(action "plug-in-smart-matte" "<Primary><Alt>m")\n'
CANCEL_AT = (SIZE[0] - 283, SIZE[1] - 18)
"""GIMP's own Cancel button, to the right of its progress bar."""

PREVIEW_MAX_PX = 560
DECONTAMINATE, RADIUS, OUTPUT = "alt+d", "alt+e", "alt+u"
STOPS_S = 4.0
"""A job whose plug-in was killed: 2 s are promised, and as much again for a busy machine."""

BACKEND_FACTS = {"command": ["/nowhere/smart-matte"], "version": "test"}
"""Nothing can start a backend, so that a killed one stays away."""

NEW_IMAGE = """
image = Gimp.Image.new(*size, kind)
layer = Gimp.Layer.new(image, "subject", *size, 2 * kind, 100, Gimp.LayerMode.NORMAL)
image.insert_layer(layer, None, 0)
count = (3 if kind == 0 else 1) * size[0] * size[1]
pixels = bytes(range(200)) * (count // 200 + 1)
coded = "R'G'B' u8" if kind == 0 else "Y' u8"
layer.get_buffer().set(Gegl.Rectangle.new(0, 0, *size), coded, pixels[:count])
layer.get_buffer().flush()
quarter = [side // 4 for side in size]
image.select_ellipse(Gimp.ChannelOps.REPLACE, *quarter, *(2 * side for side in quarter))
Gimp.Display.new(image)
Gimp.displays_flush()
print(image.get_id())
"""
LOOK = """
import json
from hashlib import sha256
image = Gimp.Image.get_by_id(number)
def bytes_of(drawable):
    buffer = drawable.get_buffer()
    return buffer.get(buffer.get_extent(), 1.0, None, Gegl.AbyssPolicy.NONE)
def describe(layer):
    mask = layer.get_mask()
    pixels = sha256(bytes_of(layer) + (bytes_of(mask) if mask else b"")).hexdigest()
    return [layer.get_name(), layer.get_visible(), mask is not None, pixels]
layers = [describe(layer) for layer in image.get_layers()]
chosen = [layer.get_name() for layer in image.get_selected_layers()]
channels = [channel.get_name() for channel in image.get_channels()]
print(json.dumps([layers, chosen, channels]))
"""
CLIPBOARD = """
import gi
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk
Gtk.init([])
print(Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text())
"""


@dataclass
class Window:
    """A GIMP with a window and an image, and what the user does there."""

    gimp: Gimp
    screen: Screen
    running: Running
    backend: EditorBackend
    image: int = 0
    main: int = 0
    jobs_before: int = 0

    def new_image(self, width: int, height: int, *, is_gray: bool = False) -> None:
        """Open an image of one layer, "subject", and an ellipse that is selected."""
        said = self.running.script(NEW_IMAGE, size=[width, height], kind=int(is_gray))
        self.image = int(said)
        self.main = self.screen.wait_for_window(rf"{width}x{height} . GIMP")
        self.screen.maximise(self.main)
        self.screen.focus(self.main)

    def look(self) -> Any:
        """What is in the image: [name, visible, masked, pixels] of each layer; the chosen ones."""
        return json.loads(self.running.script(LOOK, number=self.image))

    def names(self) -> list[str]:
        """The layers from the top."""
        return [layer[0] for layer in self.look()[0]]

    def jobs(self) -> list[dict[str, Any]]:
        """What the backend was asked since the image was opened."""
        return self.backend.seen()[self.jobs_before :]

    def wait_for_jobs(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many jobs have come since the image was opened, and are done."""
        wait_for(lambda: len(self.jobs()) >= count, f"{count} jobs")
        wait_for(lambda: not self.backend.jobs_running(), "the jobs are done")
        return self.jobs()

    def open_dialog(self) -> int:
        """By the shortcut that the test's user has given it."""
        self.screen.focus(self.main)
        self.screen.key(SHORTCUT)
        return self.screen.wait_for_window(DIALOG)

    def set_number(self, field: str, value: int) -> None:
        """Type a number into a field of the dialog."""
        self.screen.key(field, "ctrl+a")
        self.screen.type(f"{value}\t")

    def press_ok(self) -> None:
        self.screen.key("alt+o")  # Return would unfold a list that has the focus
        self.screen.wait_until_gone(DIALOG)

    def message(self) -> str:
        """Wait for GIMP's message, read it as a user would copy it, and close it."""
        window = self.screen.wait_for_window(MESSAGE)
        self.screen.focus(window)
        self.screen.key("Tab", "Tab", "ctrl+a", "ctrl+c")
        said = self.running.script(CLIPBOARD)
        self.screen.key("Escape")
        self.screen.wait_until_gone(MESSAGE)
        return said

    def plug_ins(self) -> list[int]:
        """Processes of the plug-in."""
        needle = f"{NAME}.py".encode()
        found = self.gimp.editors.processes(self.gimp.home)
        return [pid for pid in found if needle in command_line(pid)]

    def tidy(self) -> None:
        """Close what a test has left open."""
        for title in (MESSAGE, DIALOG):
            while (window := self.screen.find_window(title)) is not None:
                self.screen.focus(window)
                self.screen.key("Escape")
                self.screen.wait_until_gone(title)
        self.running.script(
            "[Gimp.Display.get_by_id(n).delete() for n in range(99) if Gimp.Display.id_is_valid(n)]"
        )


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def opened(editors: Editors) -> Iterator[Window]:
    """A GIMP with a window, and a backend that follows orders."""
    if reason := editors.place.lacks("gimp", *TOOLS):
        pytest.skip(reason)
    with gimp_for_a_module(editors) as gimp, Screen(editors) as screen, running(FAKE) as backend:
        install(gimp, BACKEND_FACTS)
        (gimp.home / "gimp" / "shortcutsrc").write_text(SHORTCUTS)
        with gimp.window(screen, env=backend.env) as program:
            yield Window(gimp, screen, program, backend)


@pytest.fixture
def window(opened: Window, request: pytest.FixtureRequest) -> Iterator[Window]:
    """The window with an image of this test's own; a picture is kept of how the test ended."""
    opened.backend.order()
    opened.jobs_before = len(opened.backend.seen())
    opened.new_image(300, 200)
    yield opened
    opened.screen.screenshot(f"gimp-dialog-{request.node.name}")
    opened.tidy()


def test_from_the_menu_to_a_layer_with_mask_and_one_undo_step(window: Window):
    before = window.look()
    window.screen.key("alt+r", "Up")  # Filters, and its last entry
    window.screen.screenshot("gimp-dialog-1-menu")
    window.screen.key("Return")
    window.screen.wait_for_window(DIALOG)
    (preview,) = window.wait_for_jobs(1)
    assert preview["keep"]
    window.screen.screenshot("gimp-dialog-2-preview")
    window.screen.key("Return")  # OK has the focus from the start
    wait_for(lambda: len(window.names()) > 1, "the result")
    after = window.look()
    (new, original), chosen, channels = after
    assert new[:3] == ["subject cut out", True, True]
    assert original == ["subject", False, *before[0][0][2:]]
    assert (chosen, channels) == (["subject cut out"], [])
    _, full = window.jobs()
    assert not full["keep"]
    window.screen.screenshot("gimp-dialog-3-result")

    window.screen.key("ctrl+z")
    wait_for(lambda: window.look() == before, "all is undone")
    window.screen.screenshot("gimp-dialog-4-undone")
    window.screen.key("ctrl+y")
    wait_for(lambda: window.look() == after, "all is done again")

    window.screen.key("ctrl+z", "ctrl+f")  # once more, without a dialog
    wait_for(lambda: window.look() == after, "the result of the repetition")
    assert len(window.jobs()) == 3
    assert window.screen.find_window(DIALOG) is None


def test_the_action_search_finds_the_dialog_and_escape_leaves_no_trace(window: Window):
    before = window.look()
    window.screen.key("slash")
    window.screen.type("smart matte")
    window.screen.screenshot("gimp-dialog-search")
    wait_for(lambda: pressed_return(window), "the dialog")
    window.backend.order(seconds=60)
    window.set_number(RADIUS, 9)
    wait_for(window.backend.jobs_running, "a preview is computed")
    window.screen.key("Escape")
    window.screen.wait_until_gone(DIALOG)
    wait_for(lambda: not window.plug_ins(), "the plug-in ends")
    wait_for(lambda: not window.backend.jobs_running(), "the backend stops", STOPS_S)
    assert window.look() == before


def pressed_return(window: Window) -> bool:
    """Choose what the search has found; it takes its time to find something."""
    window.screen.key("Return")
    try:
        return bool(window.screen.wait_for_window(DIALOG, 3))
    except AssertionError:
        return False


def test_only_what_the_network_decides_is_computed_anew(window: Window):
    before = window.look()
    window.open_dialog()
    (preview,) = window.wait_for_jobs(1)
    window.set_number(DECONTAMINATE, 40)
    _, refined = window.wait_for_jobs(2)
    assert "planes" not in refined
    assert refined["options"]["decontaminate"] == 40
    window.set_number(RADIUS, 12)
    _, _, anew = window.wait_for_jobs(3)
    assert anew["planes"] == preview["planes"]
    assert anew["options"]["outer_radius_px"] == 12
    window.screen.key("Escape")
    window.screen.wait_until_gone(DIALOG)
    assert window.look() == before


def test_the_three_views_differ(window: Window):
    window.open_dialog()
    window.wait_for_jobs(1)
    window.screen.key(OUTPUT, "shift+Tab")
    pictures = []
    for view in ("result", "matte", "trimap"):
        path = window.screen.screenshot(f"gimp-dialog-view-{view}")
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB"))[300:500, 300:600])
        window.screen.key("Right")
    result, matte, trimap = (picture.astype(int) for picture in pictures)
    assert np.ptp(matte, axis=2).max() == 0  # grey
    assert np.ptp(trimap, axis=2).mean() > np.ptp(result, axis=2).mean()


def test_a_painted_trimap_opens_the_dialog_for_a_new_layer(window: Window):
    window.open_dialog()
    window.wait_for_jobs(1)
    window.screen.key(OUTPUT, "space", "End", "Return")
    window.screen.screenshot("gimp-dialog-trimap-output")
    window.press_ok()
    wait_for(lambda: window.names() == ["subject trimap", "subject"], "the trimap")
    window.open_dialog()
    preview = window.wait_for_jobs(3)[-1]
    assert {plane["role"] for plane in preview["planes"]} == {"image", "trimap"}
    window.screen.screenshot("gimp-dialog-of-trimap")
    window.press_ok()
    wait_for(lambda: "subject cut out" in window.names(), "the result")
    layers = {name: is_visible for name, is_visible, *_ in window.look()[0]}
    assert layers == {"subject trimap": False, "subject cut out": True, "subject": False}


def start_slow_run(window: Window) -> None:
    """Press OK, while the backend takes its time."""
    window.open_dialog()
    window.wait_for_jobs(1)
    window.backend.order(seconds=60)
    window.press_ok()
    wait_for(window.backend.jobs_running, "the job runs")


def test_gimps_own_cancel_button_stops_the_job_and_leaves_the_image(window: Window):
    before = window.look()
    start_slow_run(window)
    window.screen.screenshot("gimp-dialog-progress")
    window.screen.click(*CANCEL_AT)
    wait_for(lambda: not window.plug_ins(), "the plug-in ends")
    wait_for(lambda: not window.backend.jobs_running(), "the backend stops", STOPS_S)
    assert window.look() == before
    assert window.screen.find_window(MESSAGE) is None


PAINT = "Gimp.Image.get_by_id(number).get_layers()[0].fill(Gimp.FillType.WHITE)"
DELETE = "image = Gimp.Image.get_by_id(number); image.remove_layer(image.get_layers()[0])"


@pytest.mark.parametrize(
    ("do", "says"),
    [(PAINT, "was changed"), (DELETE, "was removed")],
    ids=["painted", "deleted"],
)
def test_a_layer_that_is_not_what_it_was_stays_as_it_is(window: Window, do: str, says: str):
    window.open_dialog()
    window.wait_for_jobs(1)
    window.backend.order(seconds=3)
    window.press_ok()
    wait_for(window.backend.jobs_running, "the job runs")
    window.running.script(do, number=window.image)
    before = window.look()
    assert says in window.message()
    assert window.look() == before


def test_a_layer_deleted_under_the_open_dialog_gives_a_sentence(window: Window):
    window.open_dialog()
    window.wait_for_jobs(1)
    window.running.script(DELETE, number=window.image)
    window.press_ok()
    assert "was removed" in window.message()


def test_what_the_backend_refuses_is_said_in_gimps_message(window: Window):
    before = window.look()
    window.open_dialog()
    window.wait_for_jobs(1)
    window.backend.order(do="fail", code="option")
    window.press_ok()
    window.screen.wait_for_window(MESSAGE)
    window.screen.screenshot("gimp-dialog-message")
    assert "It can't be done." in window.message()
    assert window.look() == before


def test_every_shape_of_layer_has_a_preview(window: Window):
    for number, size in enumerate([(20, 20), (3000, 60), (60, 3000), (2400, 1600)], start=1):
        window.new_image(*size, is_gray=number == 1)
        window.open_dialog()
        image, selection = window.wait_for_jobs(number)[-1]["planes"]
        assert max(image["width"], image["height"]) <= PREVIEW_MAX_PX
        assert min(image["width"], image["height"]) > 0
        assert (image["width"], image["height"]) == (selection["width"], selection["height"])
        window.screen.screenshot("gimp-dialog-{}x{}".format(*size))
        window.screen.key("Escape")
        window.screen.wait_until_gone(DIALOG)


def test_a_backend_that_dies_under_the_open_dialog_is_told_of(window: Window):
    before = window.look()
    dialog = window.open_dialog()
    window.wait_for_jobs(1)
    place = window.screen.place_of(dialog)
    window.backend.process.kill()
    window.backend.process.wait()
    window.set_number(RADIUS, 7)
    wait_for(lambda: window.screen.place_of(dialog) != place, "the sentence takes its room")
    window.screen.screenshot("gimp-dialog-backend-gone")
    window.press_ok()
    assert "can't be started" in window.message()
    assert window.look() == before
    wait_for(lambda: not window.plug_ins(), "the plug-in ends")

"""The environment for the editors' tests: the real programs run in it and leave nothing behind."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from backends import EditorBackend
from editor_worker import pattern
from gimp_program import Gimp
from krita_program import Krita
from programs import EditorError, Editors, wait_for
from root import NATIVE
from screen import Screen

from smart_matte_link.errors import LinkError
from smart_matte_link.messages import Output, Plane


def test_gimp_3_runs_a_batch_script(gimp: Gimp, tmp_path: Path):
    output = gimp.batch(
        """
        image = Gimp.Image.new(30, 20, Gimp.ImageBaseType.RGB)
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path), None)
        print(Gimp.version(), image.get_width())
        """,
        path=tmp_path / "empty.xcf",
    )
    version, width = output.split()
    assert version.startswith("3.")
    assert width == "30"
    assert (tmp_path / "empty.xcf").read_bytes().startswith(b"gimp xcf")


def test_a_batch_script_that_fails_gives_its_traceback_without_noise(gimp: Gimp):
    with pytest.raises(EditorError, match="ZeroDivisionError") as caught:
        gimp.batch("1 / 0")
    assert "WARNING" not in str(caught.value)


def test_gimp_and_krita_have_no_numpy_and_no_zmq(gimp: Gimp, krita: Krita, display: Screen):
    if gimp.editors.place.name == NATIVE:
        pytest.skip("what is installed beside a native editor is its owner's business")
    script = """
        import importlib.util
        print([name for name in ("numpy", "zmq", "gi") if importlib.util.find_spec(name)])
        """
    assert gimp.batch(script).strip() == "['gi']"
    assert krita.script(display, script).strip() == "['gi']"


def test_krita_runs_a_script_and_gives_its_exit_code(krita: Krita, display: Screen):
    assert krita.script(display, "print(krita.version()[0], word)", word="ü") == "5 ü\n"
    with pytest.raises(EditorError, match="ZeroDivisionError"):
        krita.script(display, "1 / 0")
    with pytest.raises(EditorError, match="code=7"):
        krita.script(display, "import os; os._exit(7)")


def test_a_window_opens_under_the_virtual_screen(gimp: Gimp, display: Screen, tmp_path: Path):
    path = tmp_path / "picture.xcf"
    gimp.batch(
        """
        image = Gimp.Image.new(60, 40, Gimp.ImageBaseType.RGB)
        layer = Gimp.Layer.new(image, "one", 60, 40, 0, 100, Gimp.LayerMode.NORMAL)
        image.insert_layer(layer, None, 0)
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path), None)
        """,
        path=path,
    )
    with gimp.window(display, [path]) as running:
        window = display.wait_for_window(r"picture.*GIMP")
        display.maximise(window)
        display.focus(window)
        count = "print(len(Gimp.get_images()[0].get_layers()))"
        assert running.script(count) == "1\n"
        display.key("ctrl+d")  # duplicates the image
        wait_for(lambda: running.script("print(len(Gimp.get_images()))") == "2\n", "a second image")
        picture = display.screenshot("gimp-window")
    assert picture.read_bytes().startswith(b"\x89PNG")
    display.wait_until_gone("GIMP")


def test_a_running_krita_does_one_script_after_the_other(krita: Krita, display: Screen):
    with krita.window(display) as running:
        new = 'd = krita.createDocument(30, 20, "new", "RGBA", "U8", "", 120.0)'
        running.script(f"{new}; krita.activeWindow().addView(d)")
        assert running.script("print(krita.activeDocument().width())") == "30\n"
        display.wait_for_window("Krita")
        display.screenshot("krita-window")


def test_what_a_program_writes_outside_the_shared_folder_is_forgotten(editors: Editors):
    if editors.place.root is None:
        pytest.skip("the editors are installed on this machine")
    home = editors.make_home()
    assert editors.run(["touch", "/usr/bin/new", "/etc/new"], home).code == 0
    assert editors.run(["ls", "/usr/bin/new"], home).code != 0
    assert not (editors.place.root / "usr/bin/new").exists()


def test_no_mount_is_left_when_a_program_is_killed(editors: Editors):
    home = editors.make_home()
    with editors.start(["sleep", "600"], home) as program:
        wait_for(lambda: "sleep" in editors.processes(home).values(), "it runs")
        program.kill()
    wait_for(lambda: not editors.processes(home), "it is gone")
    assert str(editors.place.cache) not in Path("/proc/mounts").read_text()


def test_a_program_past_its_deadline_is_killed_with_its_words(editors: Editors):
    home = editors.make_home()
    with pytest.raises(EditorError, match="half way"):
        editors.run(["sh", "-c", "echo half way; sleep 600"], home, timeout_s=5)
    wait_for(lambda: not editors.processes(home), "it is gone")


def test_programs_die_with_the_process_that_started_them(editors: Editors):
    home = editors.make_home()
    command = editors.place.command(["sleep", "600"], [], [])
    starts_and_ends = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); input()"
    starter = subprocess.Popen(  # noqa: S603  (our own words)
        [sys.executable, "-c", starts_and_ends, *command],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
    )
    wait_for(lambda: "sleep" in editors.processes(home).values(), "it runs")
    starter.kill()
    starter.communicate()
    wait_for(lambda: not editors.processes(home), "it is gone")


def test_what_a_killed_run_left_is_swept_up(editors: Editors):
    ended = subprocess.Popen(["true"])  # noqa: S607  (the system's own)
    ended.wait()
    left = Path(tempfile.mkdtemp(prefix=f"editor-{ended.pid}-"))
    home = editors.make_home()
    Editors(editors.place)
    assert not left.exists()
    assert home.exists()


def test_a_backend_outside_is_reached_from_inside(editors: Editors, fake_backend: EditorBackend):
    script = (
        "from smart_matte_link.client import Client\n"
        "with Client('test', '0', start=False) as client: print(client.status().pid)\n"
    )
    link = Path(__file__).resolve().parents[2] / "backend"
    finished = editors.run(
        ["python3", "-c", script],
        editors.make_home(),
        {**fake_backend.env, "PYTHONPATH": str(link)},
        with_checkout=True,
    )
    assert finished.stdout == f"{fake_backend.process.pid}\n", finished.stderr


def test_the_fake_backend_answers_with_its_patterns(fake_backend: EditorBackend):
    image = Plane("image", 20, 10, "RGBA", "u8", "srgb")
    rough = Plane("selection", 20, 10, "GRAY", "u8", "coverage")
    pixels = bytes(range(200)) * 4
    wanted = [Output("foreground", "RGBA", "u8"), Output("alpha", "GRAY", "f32")]
    with fake_backend.client() as client:
        answer = client.cutout([(image, pixels), (rough, bytes(200))], wanted, {"word": 1})
    assert bytes(answer.planes["foreground"].pixels) == pixels
    alpha = np.frombuffer(answer.planes["alpha"].pixels, np.float32).reshape(10, 20)
    np.testing.assert_array_equal(np.round(alpha * 255), pattern("alpha", 20, 10))
    assert fake_backend.seen()[0]["options"] == {"word": 1}


def test_the_fake_backend_follows_orders(fake_backend: EditorBackend):
    image = Plane("image", 2, 1, "GRAY", "u8", "srgb")
    fake_backend.order(do="fail", code="option")
    with fake_backend.client() as client, pytest.raises(LinkError, match="can't be done"):
        client.cutout([(image, b"ab")], [Output("alpha", "GRAY", "u8")])


def test_the_projects_own_python_runs_inside(editors: Editors):
    script = "import sys, numpy, torch, cv2; print(sys.version_info[:2], torch.ones(2).sum())"
    argv = [sys.executable, "-c", script]
    finished = editors.run(argv, editors.make_home(), with_checkout=True)
    assert finished.stdout == f"{sys.version_info[:2]} tensor(2.)\n", finished.stderr


def test_the_backend_starts_inside_and_outlives_who_started_it(editors: Editors):
    home = editors.make_home()
    env = {
        "SMART_MATTE_BACKEND": str(Path(sys.executable).with_name("smart-matte")),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "backend"),
    }
    script = (
        "from smart_matte_link.client import Client\n"
        "with Client('test', '0') as client: print(client.status().pid)\n"
    )
    for _ in range(4):  # on a busy machine it may take longer than a plug-in waits
        finished = editors.run(["python3", "-c", script], home, env, with_checkout=True)
        if "didn't start within" not in finished.stderr:
            break
    assert finished.code == 0, finished.stderr
    assert int(finished.stdout) in editors.processes(home)
    connection = json.loads((home / "run" / "connection.json").read_text())
    assert connection["pid"] == int(finished.stdout)

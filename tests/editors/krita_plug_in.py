"""The plug-in in a Krita of the tests, and hands in there."""

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from homes import krita_home
from krita_program import Krita
from programs import Editors
from screen import Screen
from scripting import Running

from smart_matte.install import kritarc
from smart_matte.install.folders import facts_for, plugin_source, put

SCRIPTS = Path(__file__).with_name("krita_scripts")
NAME = "smart_matte"
TYPES = {"U8": np.uint8, "U16": np.uint16, "F16": np.float16, "F32": np.float32}
CHANNELS = {"GRAYA": 2, "RGBA": 4}
SCRIPT_S = 90.0
CHOICES = {"output": "layer", "radius": 0, "shift_edge": 0, "decontaminate": 100}
"""What a new docker shows."""


class Hands:
    """
    A Krita that runs with the plug-in; every function of krita_scripts/hands.py is a method.

    Attributes:
        running: the Krita.
        screen: its screen.
        home: its home.
    """

    def __init__(self, running: Running, screen: Screen, home: Path) -> None:
        self.running = running
        self.screen = screen
        self.home = home

    def __getattr__(self, name: str) -> Any:
        def do(*args: Any, **values: Any) -> Any:
            with self.screen.kept_on_failure():
                said = self.script(
                    "print(json.dumps(getattr(hands, name)(*args, **values)))",
                    name=name,
                    args=[as_text(value) for value in args],
                    values={key: as_text(value) for key, value in values.items()},
                )
            return json.loads(said)

        return do

    def script(self, text: str, **values: Any) -> str:
        """Run a script that knows hands.py as "hands", and give what it printed."""
        start = "import sys, json\nsys.path[:0] = [] if folder in sys.path else [folder]\n"
        script = f"{start}import hands\n{dedent(text)}"
        return self.running.script(
            script, folder=str(self.home / "tmp" / "hands"), timeout_s=SCRIPT_S, **values
        )

    def tidy_up(self) -> None:
        """Close all documents; fail if Krita shows that a script of the plug-in failed."""
        with self.screen.kept_on_failure():
            failure = self.screen.find_window("Script error")
            if failure is not None:
                self.screen.screenshot("script-error")
                self.screen.close_window(failure)
            self.close_all()
            self.choose(**CHOICES)
        assert failure is None, "build/editors shows it: script-error.png"


def as_text(value: Any) -> Any:
    """Arrays and bytes as hands.py takes them."""
    if isinstance(value, np.ndarray):
        value = value.tobytes()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def install(krita: Krita, facts: Mapping[str, Any] | None = None) -> Path:
    """Install the plug-in as ``smart-matte install krita`` does, with other facts where given."""
    source = plugin_source("krita", NAME)
    target = krita.plug_ins / NAME
    put(source, target, facts_for(None) if facts is None else facts)
    shutil.copy(source.with_suffix(".desktop"), krita.plug_ins)
    kritarc.enable(krita.settings)
    return target


@contextmanager
def open_krita(
    krita: Krita, screen: Screen, env: Mapping[str, str], *, with_checkout: bool = False
) -> Iterator[Hands]:
    """Start an installed Krita; the docker comes into sight with the first document."""
    folder = krita.home / "tmp" / "hands"
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    with krita.window(screen, env=env, with_checkout=with_checkout) as running:
        hands = Hands(running, screen, krita.home)
        screen.maximise(screen.wait_for_window("Krita"))
        yield hands


@contextmanager
def krita_for_a_session(editors: Editors, env: Mapping[str, str]) -> Iterator[Hands]:
    """A Krita with the plug-in, for many tests."""
    home = editors.make_home(krita_home(editors))
    try:
        krita = Krita(editors, home)
        install(krita)
        with Screen(editors) as screen, open_krita(krita, screen, env) as hands:
            yield hands
    finally:
        editors.drop_home(home)


def layer(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A layer of a document that was told of."""
    return next(node for node in told["layers"] if node["name"] == name)


def pixels(node: Mapping[str, Any]) -> np.ndarray:
    """A layer's or a mask's pixels as they lie in memory, (H, W, C)."""
    model, depth, _ = node["colours"]
    is_mask = node["type"].endswith("mask")
    kind = np.uint8 if is_mask else TYPES[depth]
    flat = np.frombuffer(base64.b64decode(node["pixels"]), kind)
    return flat.reshape(node["at"][3], node["at"][2], 1 if is_mask else CHANNELS[model])


def noise(width: int, height: int, model: str = "RGBA", depth: str = "U8") -> np.ndarray:
    """Pixels with all bits in use, (H, W, C); floats go a little beyond 0 ... 1."""
    chance = np.random.default_rng(width * 31 + height)
    shape, kind = (height, width, CHANNELS[model]), TYPES[depth]
    if np.issubdtype(kind, np.integer):
        return chance.integers(0, np.iinfo(kind).max + 1, shape, kind)
    colours = chance.uniform(-0.5, 1.5, shape).astype(kind)
    colours[..., -1] = chance.uniform(0, 1, shape[:2])
    return colours


def bits(array: np.ndarray) -> np.ndarray:
    """To compare floats bit by bit."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")

"""A small job for the client, and what comes back of it."""

from pathlib import Path
from typing import Any

from fake_backend import FakeBackend

from smart_matte_link.client import Client
from smart_matte_link.job import Answer, Wishes
from smart_matte_link.messages import Output, Plane

IMAGE = Plane("image", 64, 48, "RGBA", "u8", "srgb")
SELECTION = Plane("selection", 64, 48, "GRAY", "u8", "coverage")
PIXELS = bytes(range(256)) * 48
COVERAGE = bytes(range(64)) * 48
SOURCES = [(IMAGE, PIXELS), (SELECTION, COVERAGE)]
OUTPUTS = [Output("alpha", "GRAY", "u8"), Output("foreground", "RGBA", "u8")]


def client_for(folder: Path) -> Client:
    return Client("test", "1.0", folder=folder, start=False)


def cut_out(client: Client, wishes: Wishes | None = None, **options: Any) -> Answer:
    return client.cutout(SOURCES, OUTPUTS, options, wishes or Wishes())


def assert_is_right(answer: Answer) -> None:
    assert list(answer.planes) == ["alpha", "foreground"]
    assert answer.planes["alpha"].pixels == COVERAGE
    assert answer.planes["foreground"].pixels == PIXELS
    assert answer.planes["foreground"].plane == Plane("foreground", 64, 48, "RGBA", "u8", "srgb")


class SmallChunks(FakeBackend):
    """Cuts everything into 4 KiB, so that a few KiB need several chunks."""

    chunk_bytes = 4096

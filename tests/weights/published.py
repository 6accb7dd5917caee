"""Small weights to publish, and what the manifest would say of them."""

import hashlib
import io
from dataclasses import replace

import torch

from smart_matte.weights.manifest import Entry, WeightsFile

NOWHERE = ("https://localhost/",)
STATE_DICT = {
    "encoder.weight": torch.arange(288, dtype=torch.float32).reshape(8, 4, 3, 3) / 7,
    "encoder.bias": torch.arange(8, dtype=torch.float32),
}


def pth_bytes(content: object) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def describe_file(
    content: bytes, urls: tuple[str, ...] = NOWHERE, name: str = "tiny.pth"
) -> WeightsFile:
    return WeightsFile(name, len(content), hashlib.sha256(content).hexdigest(), urls)


def describe(content: bytes, urls: tuple[str, ...] = NOWHERE, **changes: object) -> Entry:
    """An entry called tiny, of one file."""
    entry = Entry(
        name="tiny",
        summary="Tiny.",
        licence="MIT",
        commercial_use=True,
        source="https://localhost/",
        format="torch-state-dict",
        files=(describe_file(content, urls),),
    )
    return replace(entry, **changes)


PTH = pth_bytes(STATE_DICT)

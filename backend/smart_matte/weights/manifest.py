"""What weights exist and where they come from: weights/manifest.json, read strictly."""

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smart_matte.errors import WeightsError

VERSION = 1
SHIPPED = "shipped"
"""Format of weights that come with the program: one safetensors file beside the manifest."""

FORMATS = ("torch-state-dict", "torchvision-deeplabv3", "openvino-ir", SHIPPED)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # becomes a file name
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class WeightsFile:
    """
    One published file.

    Attributes:
        name: its file name, without a folder.
        bytes: its size.
        sha256: its SHA-256, 64 lower-case hexadecimal digits.
        urls: where to get it, the best first; none for what is shipped.
    """

    name: str
    bytes: int
    sha256: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """
    Weights that a model can be loaded with.

    Attributes:
        name: what commands and models call them.
        summary: one sentence that says what they are good for.
        licence: SPDX identifier, or the terms in a few words.
        commercial_use: whether the licence allows it; if not, the user must accept it once.
        source: page of the people who published them.
        format: how the files are read, one of FORMATS.
        files: what they are published as, in the order their reader expects.
    """

    name: str
    summary: str
    licence: str
    commercial_use: bool
    source: str
    format: str
    files: tuple[WeightsFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all published files together."""
        return sum(file.bytes for file in self.files)


def manifest_path() -> Path:
    """Find the manifest: inside an installed package, or at the top of a checkout."""
    here = Path(__file__).resolve()
    shipped = here.parent / "shipped" / "manifest.json"
    return shipped if shipped.is_file() else here.parents[3] / "weights" / "manifest.json"


def shipped_path(name: str) -> Path:
    """Where the file of an entry lies that comes with the program, if one does."""
    return manifest_path().parent / f"{name}.safetensors"


def entries() -> tuple[Entry, ...]:
    """
    Every entry of the manifest, in its order.

    Raises:
        WeightsError: the manifest is missing or damaged.
    """
    path = manifest_path()
    try:
        return parse_manifest(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"The list of weights {path} can't be used ({error}); install Smart Matte again."
        ) from error


def find_entry(name: str) -> Entry:
    """
    Find one entry by its name.

    Raises:
        WeightsError: there is none of that name.
    """
    for entry in entries():
        if entry.name == name:
            return entry
    raise WeightsError(f"There are no weights called “{name}”; see: smart-matte weights list")


def parse_manifest(text: str) -> tuple[Entry, ...]:
    """
    Read a manifest strictly: nothing unknown, nothing missing, nothing twice.

    Raises:
        ValueError: says what is wrong and where.
    """
    root = json.loads(text)
    if not isinstance(root, dict) or root.keys() != {"version", "weights"}:
        raise ValueError("the manifest must hold version and weights")
    if root["version"] != VERSION:
        raise ValueError(f"version {root['version']!r} instead of {VERSION}")
    parsed = tuple(_parse_entry(item) for item in _list_in(root, "weights"))
    _demand_unique("name", [entry.name for entry in parsed])
    _demand_unique("sha256", [file.sha256 for entry in parsed for file in entry.files])
    return parsed


def is_allowed_url(url: str) -> bool:
    """Whether *url* may be fetched from: https, or http to this very machine."""
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _parse_entry(item: object) -> Entry:
    values = _fields_of(item, Entry)
    for key in ("summary", "licence", "source"):
        _demand(isinstance(values[key], str) and values[key], key, values[key])
    _demand(_matches(NAME, values["name"]), "name", values["name"])
    _demand(isinstance(values["commercial_use"], bool), "commercial_use", values["commercial_use"])
    _demand(values["format"] in FORMATS, "format", values["format"])
    files = tuple(_parse_file(file) for file in _list_in(values, "files"))
    for file in files:
        _demand(bool(file.urls) != (values["format"] == SHIPPED), "urls", file.urls)
    if values["format"] == SHIPPED:
        named = [file.name for file in files]
        _demand(named == [f"{values['name']}.safetensors"], "file name", named)
    _demand_unique("file name", [file.name for file in files])
    return Entry(**{**values, "files": files})


def _parse_file(item: object) -> WeightsFile:
    values = _fields_of(item, WeightsFile)
    _demand(_matches(FILE_NAME, values["name"]), "name", values["name"])
    _demand(type(values["bytes"]) is int and values["bytes"] > 0, "bytes", values["bytes"])
    _demand(_matches(SHA256, values["sha256"]), "sha256", values["sha256"])
    _demand(isinstance(values["urls"], list), "urls", values["urls"])
    urls = tuple(values["urls"])
    for url in urls:
        _demand(isinstance(url, str) and is_allowed_url(url), "url", url)
    return WeightsFile(**{**values, "urls": urls})


def _fields_of(item: object, kind: type[Entry | WeightsFile]) -> dict[str, Any]:
    wanted = {field.name for field in fields(kind)}
    if not isinstance(item, dict) or item.keys() != wanted:
        raise ValueError(f"an item must hold exactly {sorted(wanted)}, not {item!r}")
    return item


def _list_in(values: dict[str, Any], key: str) -> list[Any]:
    _demand(isinstance(values[key], list) and values[key], key, values[key])
    items: list[Any] = values[key]
    return items


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _demand(is_right: object, key: str, value: object) -> None:
    if not is_right:
        raise ValueError(f"{key} can't be {value!r}")


def _demand_unique(key: str, values: list[str]) -> None:
    for value in values:
        _demand(values.count(value) == 1, f"a second {key}", value)

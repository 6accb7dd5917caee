"""The shipped manifest says what is true, and a damaged one is refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torchvision.models.segmentation import (
    DeepLabV3_MobileNet_V3_Large_Weights,
    DeepLabV3_ResNet50_Weights,
    DeepLabV3_ResNet101_Weights,
)

import smart_matte
from smart_matte.errors import WeightsError
from smart_matte.weights import manifest
from smart_matte.weights.files import sha256_of
from smart_matte.weights.manifest import entries, find_entry, is_allowed_url, parse_manifest

TORCHVISION = {
    "deeplabv3-resnet101": DeepLabV3_ResNet101_Weights,
    "deeplabv3-resnet50": DeepLabV3_ResNet50_Weights,
    "deeplabv3-mobilenet": DeepLabV3_MobileNet_V3_Large_Weights,
}


def test_the_manifest_lists_the_weights_of_every_network() -> None:
    assert {entry.name for entry in entries()} == {
        "fba",
        "fba-compact",
        "deeplabv3-mobilenetv2",
        *TORCHVISION,
    }


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_weights_are_those_that_torchvision_names(name: str) -> None:
    published = TORCHVISION[name].COCO_WITH_VOC_LABELS_V1
    (file,) = find_entry(name).files
    assert file.urls == (published.url,)
    assert published.url.endswith(f"/{file.name}")
    assert file.bytes / 2**20 == pytest.approx(published.meta["_file_size"], abs=0.001)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_file_names_begin_their_sha256(name: str) -> None:
    (file,) = find_entry(name).files
    in_name = re.search(r"-([0-9a-f]{8})\.pth$", file.name)
    assert in_name
    assert file.sha256.startswith(in_name[1])


def test_only_the_published_fba_forbids_commercial_use() -> None:
    assert [entry.name for entry in entries() if not entry.commercial_use] == ["fba"]


def test_the_openvino_files_are_those_of_the_shared_data(shared_data: Path) -> None:
    entry = find_entry("deeplabv3-mobilenetv2")
    assert [Path(file.name).suffix for file in entry.files] == [".xml", ".bin"]
    for file in entry.files:
        path = shared_data / "deeplabv3_mobilenetv2_voc" / file.name
        assert (path.stat().st_size, sha256_of(path)) == (file.bytes, file.sha256)


def test_every_address_is_https() -> None:
    urls = [url for entry in entries() for file in entry.files for url in file.urls]
    assert [url for url in urls if not url.startswith("https://")] == []


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://example.com/x", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://[::1]/x", True),
        ("http://example.com/x", False),
        ("http://127.0.0.1.example.com/x", False),
        ("http://127.0.0.1@example.com/x", False),
        ("ftp://example.com/x", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("", False),
    ],
)
def test_addresses_are_https_or_this_machine(url: str, *, is_allowed: bool) -> None:
    assert is_allowed_url(url) is is_allowed


def test_an_unknown_name_is_a_sentence() -> None:
    with pytest.raises(WeightsError, match=r"“fbaa”.*smart-matte weights list"):
        find_entry("fbaa")


def shipped() -> dict[str, Any]:
    root: dict[str, Any] = json.loads(manifest.manifest_path().read_text())
    return root


FAULTS = {
    "an entry's key is unknown": lambda root: root["weights"][0].update(url="https://x/"),
    "an entry's key is missing": lambda root: root["weights"][0].pop("licence"),
    "a file's key is missing": lambda root: root["weights"][0]["files"][0].pop("sha256"),
    "a root key is unknown": lambda root: root.update(more=1),
    "the version is another": lambda root: root.update(version=2),
    "a name leaves the folder": lambda root: root["weights"][0].update(name="../fba"),
    "a name comes twice": lambda root: root["weights"][1].update(name="fba"),
    "a name is no text": lambda root: root["weights"][0].update(name=["fba"]),
    "a summary is empty": lambda root: root["weights"][0].update(summary=""),
    "commercial use is a word": lambda root: root["weights"][0].update(commercial_use="no"),
    "the format is unknown": lambda root: root["weights"][0].update(format="pickle"),
    "there are no files": lambda root: root["weights"][0].update(files=[]),
    "a file is no object": lambda root: root["weights"][0].update(files=["FBA.pth"]),
    "a file comes twice": lambda root: root["weights"][0]["files"].append(
        root["weights"][0]["files"][0]
    ),
    "a file name leaves the folder": lambda root: first_file(root).update(name="../FBA.pth"),
    "a size is negative": lambda root: first_file(root).update(bytes=-1),
    "a size is a truth value": lambda root: first_file(root).update(bytes=True),
    "a SHA-256 is short": lambda root: first_file(root).update(sha256="f3f8a2b6"),
    "a SHA-256 is upper case": lambda root: first_file(root).update(sha256="F" * 64),
    "there are no addresses": lambda root: first_file(root).update(urls=[]),
    "an address is http": lambda root: first_file(root).update(urls=["http://example.com/"]),
    "an address is a number": lambda root: first_file(root).update(urls=[1]),
}


def first_file(root: dict[str, Any]) -> dict[str, Any]:
    file: dict[str, Any] = root["weights"][0]["files"][0]
    return file


@pytest.mark.parametrize("fault", FAULTS)
def test_a_manifest_is_refused_when(fault: str) -> None:
    root = shipped()
    parse_manifest(json.dumps(root))
    FAULTS[fault](root)
    with pytest.raises(ValueError, match=r"."):
        parse_manifest(json.dumps(root))


@pytest.mark.parametrize("text", ["", "[]", "1", '{"version": 1', '{"version": 1, "weights": 1}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_manifest(text)


def test_a_damaged_manifest_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(b"\xff{}")
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    with pytest.raises(WeightsError, match="install Smart Matte again"):
        entries()


def test_a_checkout_uses_the_manifest_at_its_top() -> None:
    top = Path(__file__).resolve().parents[2]
    assert manifest.manifest_path() == top / "weights" / "manifest.json"


def test_an_installed_package_uses_the_manifest_inside_it(tmp_path: Path) -> None:
    package = Path(smart_matte.__file__).parent
    installed = tmp_path / "site-packages" / "smart_matte"
    shutil.copytree(package, installed, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(manifest.manifest_path().parent, installed / "weights" / "shipped")
    script = "from smart_matte.weights import manifest; print(manifest.manifest_path())"
    done = subprocess.run(  # noqa: S603  (our own interpreter and script)
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(installed.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(installed / "weights" / "shipped" / "manifest.json")

"""Files that somebody might pass off as weights, and what happens to good ones on the way."""

import builtins
import io
import json
import os
import pickle
import random
import struct
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from published import PTH, STATE_DICT
from safetensors.torch import save

SAFETENSORS = save(STATE_DICT)


class _Reduces:
    """Pickled as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def _gadgets(canary: Path) -> Iterator[tuple[str, bytes]]:
    touch = f"touch {canary}"
    program = f"open({str(canary)!r}, 'w').close()"
    calls = {
        "os.system": _Reduces(os.system, touch),
        "os.popen": _Reduces(os.popen, touch),
        "exec": _Reduces(exec, program),
        "eval": _Reduces(eval, f"open({str(canary)!r}, 'w')"),
        "open": _Reduces(builtins.open, str(canary), "w"),
        "subprocess": _Reduces(subprocess.call, ["/bin/touch", str(canary)]),
        "os.mkdir": _Reduces(os.mkdir, str(canary)),
        "pickle in a pickle": _Reduces(pickle.loads, pickle.dumps(_Reduces(os.system, touch))),
        "torch.hub": _Reduces(torch.hub.load, str(canary.parent), "main"),
    }
    for name, gadget in calls.items():
        for protocol in (0, 2, 4):
            if name != "os.system" and protocol != 2:
                continue
            content = {"weight": torch.ones(1), "gadget": gadget}
            yield f"{name}, protocol {protocol}.pth", pickle.dumps(content, protocol=protocol)
    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(1), "gadget": _Reduces(os.system, touch)}, buffer)
    yield "os.system in an archive.pth", buffer.getvalue()
    yield "os.system named.safetensors", pickle.dumps(_Reduces(os.system, touch))
    yield "INST.pth", f"(S'{touch}'\nios\nsystem\n.".encode()
    yield "nested lists.pth", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."


def _pth(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _packed(zeros: int) -> bytes:
    """PTH with its first tensor's bytes replaced by many zeros, packed."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(PTH)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            is_data = member.filename.endswith("data/0")
            new.writestr(member.filename, bytes(zeros) if is_data else old.read(member))
    return buffer.getvalue()


def _slip(canary: Path) -> bytes:
    buffer = io.BytesIO(PTH)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(f"../../../../../../../..{canary}", b"slipped")
        archive.writestr("archive/data.pkl/../../x", b"slipped")
    return buffer.getvalue()


def _overlapping() -> bytes:
    """An archive that says of one member that it holds 3 GB."""
    content = bytearray(PTH)
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 20 : directory + 28] = struct.pack("<II", 3 << 30, 3 << 30)
    return bytes(content)


def _archives(canary: Path) -> Iterator[tuple[str, bytes]]:
    yield "zip bomb.pth", _packed(64 << 20)
    yield "zip that overlaps.pth", _overlapping()
    yield "zip slip.pth", _slip(canary)
    yield "cut short.pth", PTH[: len(PTH) // 2]
    yield "stretched.pth", _pth({**STATE_DICT, "encoder.bias": torch.ones(1).expand(10**10)})
    yield "sparse.pth", _pth({"weight": torch.eye(3).to_sparse()})
    yield "nested.pth", _pth({"state_dict": STATE_DICT})
    yield "NaN.pth", _pth({**STATE_DICT, "encoder.bias": torch.full((8,), torch.nan)})
    yield "empty.pth", b""


def _header(values: object, data: bytes = bytes(8), length: int | None = None) -> bytes:
    header = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _tensor(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def _safetensors() -> Iterator[tuple[str, bytes]]:
    yield "header of 2**63", _header({}, length=1 << 63)
    yield "header of 100 MB and 1", _header(b" " * (100_000_001 - 2) + b"{}")
    yield "header longer than the file", _header({}, length=1000)
    yield "header of nothing", _header(b"")
    yield "header that is no JSON", _header(b"{'weight': 1}")
    yield "header that is no UTF-8", _header(b'{"\xff": 1}')
    yield "overlap", _header({"a": _tensor([2], 0, 8), "b": _tensor([1], 4, 8)})
    yield "hole", _header({"a": _tensor([1], 0, 4), "b": _tensor([1], 8, 12)}, bytes(12))
    yield "outside", _header({"a": _tensor([4], 0, 16)})
    yield "backwards", _header({"a": _tensor([2], 8, 0)})
    yield "negative", _header({"a": _tensor([2], -8, 0)})
    yield "shape overflow", _header({"a": _tensor([2**32, 2**32], 0, 8)})
    yield "shape of less", _header({"a": _tensor([1], 0, 8)})
    yield "unheard-of type", _header({"a": _tensor([2], 0, 8, "OBJECT")})
    yield "more behind", SAFETENSORS + b"behind"
    twice = json.dumps({"a": _tensor([1], 0, 4)})[:-1] + ', "a": {"dtype": "F32",'
    yield (
        "the same name twice",
        _header(f'{twice} "shape": [1], "data_offsets": [4, 8]}}}}'.encode()),
    )
    yield "NaN", save({**STATE_DICT, "encoder.bias": torch.full((8,), torch.nan)})
    yield "infinite", save({**STATE_DICT, "encoder.bias": torch.full((8,), -torch.inf)})
    yield "whole numbers", save({name: value.to(torch.int32) for name, value in STATE_DICT.items()})
    yield "another shape", save({**STATE_DICT, "encoder.bias": torch.ones(9)})
    yield "one too few", save({"encoder.bias": STATE_DICT["encoder.bias"]})
    yield "one too many", save({**STATE_DICT, "more": torch.ones(1)})
    yield "none", save({})


def write_malicious(folder: Path, canary: Path) -> list[Path]:
    """
    Write the files, and what isn't even one.

    Args:
        folder: where to.
        canary: a path that appears when code out of one of them runs.
    """
    contents = [*_gadgets(canary), *_archives(canary)]
    contents += [(f"{name}.safetensors", content) for name, content in _safetensors()]
    paths = []
    for name, content in contents:
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    for name, target in (
        ("endless", "/dev/zero"),
        ("dangling", "nothing"),
        ("circle", "circle.safetensors"),
    ):
        paths.append(folder / f"{name}.safetensors")
        paths[-1].symlink_to(target)
    paths.append(folder / "pipe.safetensors")
    os.mkfifo(paths[-1])
    paths.append(folder / "folder.safetensors")
    paths[-1].mkdir()
    return paths


def truncated(content: bytes, points: int) -> Iterator[bytes]:
    """Cut short at places evenly spread, the first and the last byte among them."""
    for point in range(points):
        yield content[: point * (len(content) - 1) // (points - 1)]


def flipped(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """With one bit wrong, each time another."""
    chance = random.Random(seed)  # noqa: S311  (to be repeated, not to be secret)
    for bit in chance.sample(range(8 * len(content)), count):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)

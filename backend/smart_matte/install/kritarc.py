"""One line of Krita's kritarc that enables a plug-in; every other byte stays as it is."""

import re
from pathlib import Path

from smart_matte.install.folders import write_whole

GROUP = b"[python]"
KEY = b"enable_smart_matte"


def enable(path: Path) -> None:
    """Enable the plug-in in the kritarc at *path*, which need not exist yet."""
    _change(path, value=b"true")


def forget(path: Path) -> None:
    """Remove what ``enable`` wrote."""
    _change(path, value=None)


def with_value(content: bytes, value: bytes | None) -> bytes:
    """
    Set the one key, or remove it.

    Args:
        content: of a kritarc.
        value: None removes the key.
    """
    lines = content.splitlines(keepends=True)
    line_end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    own = [] if value is None else [KEY + b"=" + value + line_end]
    start = next((index for index, line in enumerate(lines) if line.strip() == GROUP), None)
    if start is None:
        if not own:
            return content
        if lines and not lines[-1].endswith(line_end):
            lines[-1] += line_end
        gap = [line_end] if lines else []
        return b"".join([*lines, *gap, GROUP + line_end, *own])
    if not lines[start].endswith(b"\n") and own:
        lines[start] += line_end
    rest = range(start + 1, len(lines))
    end = next((index for index in rest if lines[index].startswith(b"[")), len(lines))
    is_ours = re.compile(rb"\s*" + KEY + rb"\s*=").match
    group = [line for line in lines[start + 1 : end] if not is_ours(line)]
    return b"".join([*lines[: start + 1], *own, *group, *lines[end:]])


def _change(path: Path, value: bytes | None) -> None:
    content = path.read_bytes() if path.exists() else b""
    changed = with_value(content, value)
    if changed != content:
        write_whole(path.resolve(), changed)

"""A picture's memory, without a moment in which all of it is cleared."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress


def zeros(byte_count: int) -> memoryview:
    """
    Memory that holds zeros; on Linux cleared when it is first used, in large pages if there are.

    To have a picture's memory cleared in small pages takes the system several times as long as
    to copy the pixels there; and to have it cleared at once stops an editor's own thread.

    Raises:
        MemoryError: there isn't so much.
    """
    if sys.platform != "linux":
        return memoryview(bytearray(byte_count))
    try:
        pages = mmap.mmap(-1, byte_count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError from error
    with suppress(OSError):  # a system without large pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)

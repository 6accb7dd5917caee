"""How the C library of broker and worker deals with memory that was freed."""

import ctypes
import sys
from contextlib import suppress

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
"""mallopt(3): larger blocks are mapped one by one; so much may stay free at the heap's end."""

M_ARENA_MAX = -8

MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
"""What glibc gets to by itself, when blocks of this size are freed: DEFAULT_MMAP_THRESHOLD_MAX."""

TRIM_THRESHOLD_BYTES = 2 * MMAP_THRESHOLD_BYTES
"""As glibc does it; more than all chunks of a job that are under way."""


def keep_freed_memory() -> None:
    """
    Let the 4 MiB of a chunk come from memory that this process has already.

    Left to itself, glibc gives it back at every pause between two chunks, and a page that the
    system has to clear anew costs several times the copy into it. Done here and not by
    variables of the environment, so that it holds however the process was started.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # only glibc has it
            libc = ctypes.CDLL(None)
            libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
            libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)


def use_one_heap() -> None:
    """
    Let all threads take memory from one heap; to be called before there are any.

    Of every other heap, malloc_trim leaves what is free at its end, up to 64 MiB of a flood.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # as above
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Give all that is free back to the system; for when nothing will be needed for a while."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # as above
            ctypes.CDLL(None).malloc_trim(0)

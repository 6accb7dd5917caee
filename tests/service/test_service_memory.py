"""What chunks are received into: memory that was there before."""

import subprocess
import sys

import pytest

CHUNK_BYTES = 4 * 1024 * 1024

FAULTS_CODE = f"""
import ctypes, resource, sys
from smart_matte.service.memory import give_back_memory, keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
def take_several():
    chunks = [libc.malloc({CHUNK_BYTES}) for _ in range(4)]
    for chunk in chunks:
        ctypes.memset(chunk, 1, {CHUNK_BYTES})
    for chunk in chunks:
        libc.free(chunk)
take_several()
if sys.argv[2] == "given back":
    give_back_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take_several()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(*how: str) -> int:
    """Pages that four chunks take from the system, after four others were freed."""
    command = (sys.executable, "-c", FAULTS_CODE, *how)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")


@linux_only
def test_freed_chunks_are_used_again_without_asking_the_system() -> None:
    assert count_faults("kept", "") < 100 < count_faults("left alone", "")


@linux_only
def test_memory_that_was_given_back_has_to_be_asked_for_again() -> None:
    assert count_faults("kept", "given back") > 1000

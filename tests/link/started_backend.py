"""
A program that the link may start: ``started_backend.py LOG MODE serve``.

Serves like FakeBackend until it is asked to go, and writes into LOG what it found at its start.
"""

import json
import os
import sys
import time
from pathlib import Path

log, mode, verb = sys.argv[1:]
with Path(log).open("a") as file:
    facts = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "cwd": str(Path.cwd()),
        "stdio": [str(Path(f"/proc/self/fd/{number}").readlink()) for number in range(3)],
        "variables": sorted(os.environ),
        "verb": verb,
    }
    file.write(json.dumps(facts) + "\n")
if mode == "fails":
    sys.exit(3)
if mode == "leaves" or (mode == "leaves once" and len(Path(log).read_text().splitlines()) == 1):
    sys.exit(0)
if mode == "says nothing":
    time.sleep(60)

sys.path[:0] = os.environ["LINK_TEST_PATH"].split(os.pathsep)
from fake_backend import FakeBackend  # noqa: E402  (the path has to be set before)

folder = Path(os.environ["SMART_MATTE_RUNTIME"])
with FakeBackend(folder, f"ipc://{folder}/{os.getpid()}") as backend:
    backend._thread.join(60)

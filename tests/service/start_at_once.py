"""Starts twenty brokers in the same moment: ``start_at_once.py FOLDER``; prints how they ended."""

import json
import os
import signal
import sys
from pathlib import Path

from run_broker import FAKE_WORKER

from smart_matte.service.lifecycle import serve
from smart_matte.service.settings import Settings

COUNT = 20


def main() -> None:
    settings = Settings(log_folder=Path(sys.argv[1]) / "log")
    waiting, go = os.pipe()
    children = set()
    for _ in range(COUNT):
        child = os.fork()  # before any of them has a ZeroMQ context
        if child == 0:
            os.close(go)
            os.read(waiting, 1)
            os._exit(serve(settings, (sys.executable, str(FAKE_WORKER))))
        children.add(child)
    os.close(go)  # the starting shot
    codes = []
    while len(children) > 1:
        child, status = os.wait()
        children.remove(child)
        codes.append(os.waitstatus_to_exitcode(status))
    (winner,) = children
    sys.stdout.write(json.dumps({"losers": codes, "winner": winner}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os.kill(winner, signal.SIGTERM)
    os.wait()


if __name__ == "__main__":
    main()

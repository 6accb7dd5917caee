"""
Twenty clients at once, none of which finds a backend: ``fault_starts.py FOLDER COMMAND_AS_JSON``.

Prints as JSON how each of them ended. It has no thread and no ZeroMQ context: it forks.
"""

import json
import os
import sys
import time
from pathlib import Path

from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Answer
from smart_matte_link.messages import Output, Plane

COUNT = 20
BUSY_S = 0.3
IMAGE = Plane("image", 64, 48, "RGBA", "u8", "srgb")


def use(folder: Path, command: list[str], number: int) -> dict[str, object]:
    """Be a client that wants one picture cut out."""
    pixels = bytes([number]) * IMAGE.byte_count
    began, epoch = time.monotonic(), ""
    try:
        with Client("faults", "0", start_command=command, folder=folder) as client:
            epoch = client.connect().epoch
            answer = _cutout(client, pixels)
            code = "done" if bytes(answer.planes["foreground"].pixels) == pixels else "wrong"
    except LinkError as error:
        code = f"{error.code}: {error.sentence}"
    return {"code": code, "epoch": epoch, "seconds": time.monotonic() - began}


def _cutout(client: Client, pixels: bytes) -> Answer:
    """More come at once than may wait: who is told so comes again."""
    while True:
        try:
            return client.cutout([(IMAGE, pixels)], [Output("foreground", "RGBA", "u8")])
        except LinkError as error:
            if error.code != "busy":
                raise
            time.sleep(BUSY_S)


def main() -> None:
    folder, command = Path(sys.argv[1]), json.loads(sys.argv[2])
    waiting, go = os.pipe()
    listening, said = os.pipe()
    for number in range(COUNT):
        if os.fork() == 0:
            os.close(go)
            os.read(waiting, 1)
            os.write(said, json.dumps(use(folder, command, number)).encode() + b"\n")
            os._exit(0)
    os.close(said)
    os.close(go)  # the starting shot
    for _ in range(COUNT):
        os.wait()
    with os.fdopen(listening) as lines:
        sys.stdout.write(json.dumps([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()

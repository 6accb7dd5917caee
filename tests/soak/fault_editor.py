"""
An editor for others to kill: ``fault_editor.py FOLDER COMMAND_AS_JSON STAGE SEED``.

Wants a picture cut out; with a stage it kills itself at a random moment there. Else it says when
its job is computed, which takes a second, and how it ended.
"""

import json
import os
import signal
import sys
from pathlib import Path
from random import Random

from fault_requests import LARGE, OUTPUTS, Strike, WatchedClient, make_pixels, request

from smart_matte_link.errors import LinkError
from smart_matte_link.job import Wishes
from smart_matte_link.messages import Progress

SECONDS = 1.0


def die() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def compute(client: WatchedClient, rng: Random) -> None:
    said = set()

    def note(progress: Progress) -> None:
        if progress.stage not in said:
            said.add(progress.stage)
            say(progress.stage)

    pixels = make_pixels(LARGE, rng)
    try:
        client.cutout([(LARGE, pixels)], OUTPUTS, {"seconds": SECONDS}, Wishes(progress=note))
        say("done")
    except LinkError as error:
        say(error.code)


def main() -> None:
    folder, command, stage, seed = sys.argv[1:]
    rng = Random(seed)  # noqa: S311  (to be repeated)
    client = WatchedClient("editor", "0", start_command=json.loads(command), folder=Path(folder))
    with client:
        if stage:
            request(client, rng, Strike(stage, rng, die))
            say("done")
        else:
            compute(client, rng)


if __name__ == "__main__":
    main()

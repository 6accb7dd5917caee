"""A worker whose answer is a function of every byte that came, and which keeps a ledger."""

import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

import fake_worker
from fake_worker import CHUNK, FakeWorker, Task, plane_of

from smart_matte_link.messages import Begin, End, Refine, Result

INVERTED = bytes(255 - value for value in range(256))


def expected_planes(image: bytes, everything: bytes, alpha_bytes: int) -> tuple[bytes, bytes]:
    """The alpha and the foreground that come of a job: a hash of all, the image inverted."""
    digest = hashlib.blake2b(everything).digest()
    repeats = alpha_bytes // len(digest) + 1
    return (digest * repeats)[:alpha_bytes], image.translate(INVERTED)


class SoakWorker(FakeWorker):
    def __init__(self, first_line: dict) -> None:
        super().__init__(first_line)
        self.ledger = os.open(first_line["ledger"], os.O_WRONLY | os.O_APPEND)

    def note(self, event: str, task: Task) -> None:
        os.write(self.ledger, f"{event} {task.options.get('request', -1)}\n".encode())

    def begin(self, job: bytes, body: Begin | Refine) -> None:
        super().begin(job, body)
        self.note("begun", self.task)

    def end(self, body: object) -> None:
        if isinstance(body, End):
            self.note("done", self.task)
        super().end(body)

    def send_result(self, task: Task) -> None:
        alpha, foreground = (plane_of(output, task.image) for output in task.outputs)
        image = bytes(memoryview(task.pixels)[: task.image.byte_count])
        pixels = b"".join(expected_planes(image, task.pixels, alpha.byte_count))
        self.send(Result((alpha, foreground), {"device": "cpu"}, "0" * 32), task.job)
        task.chunks = [pixels[start : start + CHUNK] for start in range(0, len(pixels), CHUNK)]


if __name__ == "__main__":
    fake_worker.FakeWorker = SoakWorker
    fake_worker.main()

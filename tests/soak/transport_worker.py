"""A worker that sends every byte back: the image as the foreground, the selection as the alpha."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

import fake_worker
from fake_worker import FROM_BROKER, FakeWorker, Task, plane_of

from smart_matte_link.envelope import decode
from smart_matte_link.messages import CHUNK_BYTES_MAX, Result


class EchoWorker(FakeWorker):
    def read(self) -> None:
        frame = self.socket.recv(copy=False)
        self.take(decode(frame.buffer, FROM_BROKER, 1))

    def send_result(self, task: Task) -> None:
        planes = tuple(plane_of(output, task.image) for output in task.outputs)
        pixels = memoryview(task.pixels)
        image_bytes = task.image.byte_count
        parts = {"foreground": pixels[:image_bytes], "alpha": pixels[image_bytes:]}
        self.send(Result(planes, {"device": "cpu"}, "0" * 32), task.job)
        task.chunks = [
            parts[plane.role][start : start + CHUNK_BYTES_MAX]
            for plane in planes
            for start in range(0, plane.byte_count, CHUNK_BYTES_MAX)
        ]


if __name__ == "__main__":
    fake_worker.FakeWorker = EchoWorker
    fake_worker.main()

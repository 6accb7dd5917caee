"""
A backend for editors that computes nothing, at once, and what the test wants: ``serve`` or worker.

Alpha and trimap are patterns (see ``pattern``), a foreground is the image as it came. The file
that SMART_MATTE_TEST_BEHAVIOUR names may hold further options of every job, as JSON; see
tests/service/fake_worker.py: {"seconds": 3}, {"do": "fail", "code": "option"}, {"do": "die"}, …;
{"foreground": "pattern"} makes that one a pattern too; {"seconds": 60, "until": path} lets a job
take until there is such a file, at most a minute.
Beside it, seen.jsonl tells of each job: planes, outputs, options; came-0, came-1, … hold the
pixels of those that were answered.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))
import fake_worker

from smart_matte.service.lifecycle import serve
from smart_matte.service.settings import Settings
from smart_matte_link.messages import CHANNELS, Begin, Plane, Refine, Result

BEHAVIOUR = "SMART_MATTE_TEST_BEHAVIOUR"


def pattern(role: str, width: int, height: int) -> np.ndarray:
    """
    What is answered, as u8.

    Every alpha of 0 … 255 (H, W), a trimap's three values in stripes of 8 pixels (H, W), or
    colours (H, W, 3).
    """
    x = np.arange(width).astype(np.uint8)[None]  # all counting is modulo 256
    y = np.arange(height).astype(np.uint8)[:, None]
    if role == "foreground":
        return np.stack([x * 5 + y * 11, x * 3 + y * 7 + 85, 255 - x * 5 + y], axis=-1)
    if role == "trimap":
        stripes = np.array([0, 128, 255], np.uint8)[np.arange(width) // 8 % 3]
        return np.tile(stripes, (height, 1))
    return x * 7 + y * 13


def colours_of(order: str, width: int, height: int) -> np.ndarray:
    """A foreground's pattern in so many channels (H, W, C); an opacity is alpha's pattern."""
    planes = [pattern("foreground", width, height), pattern("alpha", width, height)[..., None]]
    return np.concatenate(planes, axis=-1)[..., : CHANNELS[order]]


def samples(values_u8: np.ndarray, sample: str) -> bytes:
    """The same fractions of one in another sample type."""
    if sample == "u8":
        return values_u8.tobytes()
    if sample == "u16":
        return (values_u8.astype(np.uint16) * 257).tobytes()
    kind = {"f16": np.float16, "f32": np.float32}[sample]
    return (values_u8.astype(np.float32) / 255).astype(kind).tobytes()


class EditorWorker(fake_worker.FakeWorker):
    """The service's fake worker with patterns for answers, and orders from a file."""

    def begin(self, job: bytes, body: Begin | Refine) -> None:
        file = Path(os.environ[BEHAVIOUR])
        with file.with_name("seen.jsonl").open("a") as seen:
            seen.write(json.dumps(dataclasses.asdict(body), default=str) + "\n")
        orders = json.loads(file.read_text()) if file.exists() else {}
        super().begin(job, dataclasses.replace(body, options={**body.options, **orders}))

    def go_on(self) -> None:
        task = self.task
        if task and task.until and Path(task.options.get("until", "/nowhere")).exists():
            task.until = 0.0
        super().go_on()

    def send_result(self, task: fake_worker.Task) -> None:
        file = Path(os.environ[BEHAVIOUR])
        number = file.with_name("seen.jsonl").read_text().count("\n") - 1
        file.with_name(f"came-{number}").write_bytes(task.pixels)
        planes = [fake_worker.plane_of(output, task.image) for output in task.outputs]
        self.send(Result(tuple(planes), {"device": "cpu"}, "0" * 32, task.keep), task.job)
        pixels = [self._pixels(plane, task) for plane in planes]
        size = fake_worker.CHUNK
        task.chunks = [p[at : at + size] for p in pixels for at in range(0, len(p), size)]

    @staticmethod
    def _pixels(plane: Plane, task: fake_worker.Task) -> bytes:
        if plane.role == "foreground" and task.options.get("foreground") == "pattern":
            return samples(colours_of(plane.order, plane.width, plane.height), plane.sample)
        if plane.role == "foreground":
            return bytes(task.pixels[: plane.byte_count]).ljust(plane.byte_count, b"\0")
        return samples(pattern(plane.role, plane.width, plane.height), plane.sample)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        log = Path(os.environ[BEHAVIOUR]).with_name("log")
        sys.exit(serve(Settings(log_folder=log), (sys.executable, __file__)))
    fake_worker.FakeWorker = EditorWorker
    fake_worker.main()

"""Where a job of the command line is computed: in the user's backend, or in this process."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import smart_matte
from smart_matte.api import cutout
from smart_matte.engine.cutout import Cutout
from smart_matte.engine.options import Options
from smart_matte.engine.report import Fallback, Report
from smart_matte.engine.types import FloatArray, Progress
from smart_matte.errors import (
    Cancelled,
    OptionError,
    PictureError,
    SelectionError,
    SmartMatteError,
    WeightsError,
)
from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError
from smart_matte_link.job import PlanePixels, Wishes
from smart_matte_link.messages import Output, Plane
from smart_matte_link.messages import Progress as LinkProgress

Compute = Callable[[FloatArray, FloatArray | None, Options, Progress], Cutout]
"""As smart_matte.cutout: a float32 image, a selection or None, options, progress."""

ORDERS = {3: "RGB", 4: "RGBA"}

OUTPUTS = (
    Output("alpha", "GRAY", "f32"),
    Output("foreground", "RGB", "f32"),
    Output("trimap", "GRAY", "f32"),
)

ERRORS: dict[str, type[SmartMatteError]] = {
    error.code: error
    for error in (Cancelled, OptionError, PictureError, SelectionError, WeightsError)
}
"""What the engine raised in the backend is raised again here."""


@contextmanager
def open_compute(*, use_backend: bool) -> Iterator[Compute]:
    """
    Find the user's backend, or start it; where neither can be, compute in this process and say so.

    Args:
        use_backend: False computes in this process without looking for a backend.
    """
    if not use_backend:
        yield cutout
        return
    command = Path(sys.executable).with_name("smart-matte")
    with Client("cli", smart_matte.__version__, start_command=[str(command)]) as client:
        try:
            client.connect()
        except LinkError as error:
            yield _instead_of_backend(Fallback("the backend", "this process", str(error)))
        else:
            yield _by_backend(client)


def _instead_of_backend(fallback: Fallback) -> Compute:
    def compute(
        image: FloatArray, selection: FloatArray | None, options: Options, progress: Progress
    ) -> Cutout:
        result = cutout(image, selection, options, progress)
        result.report.fallbacks.append(fallback)
        return result

    return compute


def _by_backend(client: Client) -> Compute:
    def compute(
        image: FloatArray, selection: FloatArray | None, options: Options, progress: Progress
    ) -> Cutout:
        planes = [_plane("image", image, ORDERS[image.shape[2]], "srgb")]
        if selection is not None:
            planes.append(_plane("selection", selection, "GRAY", "coverage"))

        def tell(progress_there: LinkProgress) -> None:
            progress(progress_there.stage, progress_there.fraction)

        try:
            answer = client.cutout(planes, OUTPUTS, options.as_dict(), Wishes(tell))
        except LinkError as error:
            raise ERRORS.get(error.code, SmartMatteError)(str(error)) from error
        alpha, foreground, trimap = (_array(answer.planes[output.role]) for output in OUTPUTS)
        return Cutout(alpha[..., 0], foreground, trimap[..., 0], Report.from_dict(answer.report))

    return compute


def _plane(role: str, samples: FloatArray, order: str, encoding: str) -> tuple[Plane, memoryview]:
    plane = Plane(role, samples.shape[1], samples.shape[0], order, "f32", encoding)
    return plane, np.ascontiguousarray(samples, "<f4").data.cast("B")


def _array(received: PlanePixels) -> FloatArray:
    plane = received.plane
    return np.frombuffer(received.pixels, "<f4").reshape(plane.height, plane.width, -1)

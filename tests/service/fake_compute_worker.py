"""A worker whose computing is told by the job's ``classes`` what to do instead."""

import time

import numpy as np

from smart_matte import errors
from smart_matte.engine.cutout import RawCutout
from smart_matte.engine.options import Options
from smart_matte.engine.report import Report
from smart_matte.engine.types import AnyArray, Progress
from smart_matte.service.worker import run_worker

STAGES = ("loading", "segmentation", "trimap", "matting", "foreground")


def compute(
    image: AnyArray, selection: AnyArray | None, options: Options, progress: Progress
) -> RawCutout:
    what, *arguments = options.classes or ("quick",)
    for stage in STAGES:
        progress(stage, 0.0)
    if what == "slow":  # looks up now and then, as the engine does
        for step in range(int(100 * float(arguments[0]))):
            progress("matting", step * 0.01 / float(arguments[0]))
            time.sleep(0.01)
    elif what == "deaf":  # as a long native call
        time.sleep(float(arguments[0]))
    elif what == "raise":
        raise getattr(errors, arguments[0])(arguments[1])
    elif what == "break":
        raise {"MemoryError": MemoryError, "RuntimeError": RuntimeError, "KeyError": KeyError}[
            arguments[0]
        ](arguments[1])
    shape = image.shape[:2]
    trimap = np.zeros(shape, np.float32) if selection is None else selection > 0
    return RawCutout(
        colour=np.zeros((*shape, 3), np.float32),
        own_alpha=None,
        trimap=trimap.astype(np.float32),
        alpha=trimap.astype(np.float32),
        foreground=np.zeros((*shape, 3), np.float32),
        report=Report(matter="fake"),
    )


if __name__ == "__main__":
    run_worker(compute)

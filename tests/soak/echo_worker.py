"""
The real worker, which computes nothing: the image is the foreground, the selection the alpha.

Only an image without opacity, or with full opacity, comes back as it went; where there is no
selection, the alpha is the image's first channel.
"""

from smart_matte.engine.cutout import Cutout
from smart_matte.engine.report import Report
from smart_matte.service import worker
from smart_matte.service.line import JobTask


class EchoWorker(worker.Worker):
    def _run(self, task: JobTask) -> None:
        image = task.inputs.take_image()
        selection = task.inputs.take_selection()
        alpha = image.samples[..., 0] if selection is None else selection
        cutout = Cutout(alpha, image.samples[..., : image.channels], alpha, Report(matter="echo"))
        self._send_result(task.ticket, image, cutout, task.request.outputs, is_kept=False)


if __name__ == "__main__":
    worker.Worker = EchoWorker
    worker.run_worker()

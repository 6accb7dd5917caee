"""
The real broker and worker with a matting model that counts how often it is loaded.

``run_loading.py broker LOG`` or ``run_loading.py worker``. In the runtime folder a line is added to
"loads" for each load; as long as there is "broken", loads fail.
"""

import os
import sys
import time
from pathlib import Path

from smart_matte import loading
from smart_matte.engine.matting import Matte
from smart_matte.errors import WeightsError
from smart_matte.service.lifecycle import serve
from smart_matte.service.settings import Settings
from smart_matte.service.worker import run_worker
from smart_matte.weights import store

FOLDER = Path(os.environ["SMART_MATTE_RUNTIME"])


class CountedMatter:
    name = "fba"
    device = "cpu"
    precision = "float32"

    def matte(self, image, trimap, _progress: object) -> Matte:
        return Matte(trimap.copy(), image.copy())


def load(_state_dict: object, _device: str) -> CountedMatter:
    with (FOLDER / "loads").open("a") as file:
        file.write("a load\n")
    time.sleep(0.1)
    if (FOLDER / "broken").exists():
        raise WeightsError("These weights are broken; fetch them again.")
    return CountedMatter()


if __name__ == "__main__":
    if sys.argv[1] == "broker":
        settings = Settings(log_folder=Path(sys.argv[2]))
        sys.exit(serve(settings, (sys.executable, __file__, "worker")))
    loading.MATTER_BUILDERS["fba"] = load
    store.load_state_dict = lambda _name: {}
    run_worker()

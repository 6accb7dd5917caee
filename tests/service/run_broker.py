"""The real broker with the fake worker: ``run_broker.py SETTINGS_AS_JSON``."""

import json
import sys
from pathlib import Path

from smart_matte.service.lifecycle import ServeError, serve
from smart_matte.service.settings import Settings

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")


def main() -> int:
    values = json.loads(sys.argv[1])
    settings = Settings(**values, log_folder=Path(sys.argv[2]))
    try:
        return serve(settings, (sys.executable, str(FAKE_WORKER)))
    except ServeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""
The broker, or its fake worker, as of other protocol versions.

``run_version.py broker LOW HIGH LOG`` or ``run_version.py worker LOW HIGH``; further words of
whoever starts it ("serve") don't matter.
"""

import sys
from pathlib import Path

from smart_matte_link import messages

role, low, high, *rest = sys.argv[1:]
# Everything else takes these figures from here as it is imported.
messages.PROTOCOL_MIN, messages.PROTOCOL_MAX = int(low), int(high)

import fake_worker  # noqa: E402

from smart_matte.service.lifecycle import serve  # noqa: E402
from smart_matte.service.settings import Settings  # noqa: E402

if role == "broker":
    worker = (sys.executable, __file__, "worker", low, high)
    sys.exit(serve(Settings(log_folder=Path(rest[0])), worker))
fake_worker.main()

#!/usr/bin/env python3
"""What GIMP starts for Filters → Smart Matte; the work is in the modules beside it."""

import sys
from pathlib import Path

# As it was called, not where links lead: a development install links here from GIMP's folder,
# and smart_matte_link lies beside the link.
sys.path.insert(0, str(Path(__file__).absolute().parent))

from procedure_host import main

main()

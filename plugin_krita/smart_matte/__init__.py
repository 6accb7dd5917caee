"""What Krita loads: the Smart Matte docker and its action."""

import sys
from pathlib import Path

# smart_matte_link lies in this folder, in a development install as a link.
sys.path.append(str(Path(__file__).absolute().parent))

from smart_matte.plugin_host import register

register()

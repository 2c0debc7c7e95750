"""All that needs an NVIDIA GPU, prepared so that it runs there in one command.

Where the package is not installed, as on a machine that a checkout was copied to, it is imported
from the checkout.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

SOURCES = ("pipelines", "service", "client", "trainer", ".")
ROOT = Path(__file__).resolve().parents[2]

if find_spec("augfeed") is None:
    sys.path[:0] = [str(ROOT / name) for name in SOURCES]

"""Compiled loops; the only package that imports Numba.

Numba keys its cache on disk by the file of the compiled function alone, so a change in a function
that it calls would go unnoticed. `SOURCES`, a checksum of all files of this package, stands in the
closure of every cached function that calls into other files, and closures are part of the key.
"""

import zlib
from pathlib import Path

SOURCES: int = zlib.crc32(
    b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
)

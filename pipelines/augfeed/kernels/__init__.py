"""Compiled loops; the only package that imports Numba.

Numba keys its cache on disk by the file of the compiled function alone, so a change in a function
that it calls would go unnoticed. `SOURCES`, a checksum of all files of this package, stands in the
closure of every cached function that calls into other files, and closures are part of the key.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

SOURCES: int = zlib.crc32(
    b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
)


def compiled(*, nogil: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function and keeps the code on disk where it can.

    Where no folder can be written (a read-only installation, no home), each process compiles.
    Functions of a few microseconds keep the GIL: giving it up means waiting for it afterwards.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return njit(nogil=nogil, cache=True)(function)
        except RuntimeError:  # Numba: "no locator available"
            return njit(nogil=nogil)(function)

    return compile_

"""Compiled loops; the only package that imports Numba.

Numba keys its cache on disk by the file of the compiled function alone, so a change in a function
that it calls would go unnoticed. `SOURCES`, a checksum of all files of this package, stands in the
closure of every cached function that calls into other files, and closures are part of the key.
"""

import zlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import njit

from augfeed.kernels.once import compile_once

LARGE = 6000  # elements of an array that takes long enough to let other threads run meanwhile

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
            return compile_once(njit(nogil=nogil, cache=True)(function))
        except RuntimeError:  # Numba: "no locator available"
            return njit(nogil=nogil)(function)

    return compile_


def compiled_by_size(function: Callable[..., Any]) -> Callable[..., None]:
    """Compile a function, whose last argument is an array that it fills, once for either size.

    The one for large arrays gives up the GIL, so that threads draw plans side by side.
    """
    # A name of its own gives it a file of its own in the cache, whose key does not tell them apart.
    name = f"{function.__name__}_large"
    other = FunctionType(function.__code__, function.__globals__, name, None, function.__closure__)
    other.__qualname__ = f"{function.__qualname__}_large"
    small, large = compiled(nogil=False)(function), compiled(nogil=True)(other)

    @wraps(function)
    def sized(*given: Any) -> None:
        (large if given[-1].size > LARGE else small)(*given)

    return sized

"""Memory in huge pages: a fork copies an entry for each page, and tests fork hundreds of times."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

SIDE = 2 << 20  # bytes
COLLAPSE = 25  # MADV_COLLAPSE, of Linux 6.1; others refuse the number, which does no harm


def use_huge_pages() -> None:
    """Have the system join pages of this process that hold what was allocated so far."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, end in _writable():
        for at in range(-(-start // SIDE) * SIDE, end - SIDE + 1, SIDE):
            libc.madvise(at, SIDE, COLLAPSE)


def _writable() -> Iterator[tuple[int, int]]:
    # Private memory that is of no file.
    for line in Path("/proc/self/maps").read_text().splitlines():
        places, access, _, _, file, *name = line.split(maxsplit=5)
        if access == "rw-p" and file == "0" and name in ([], ["[heap]"]):
            start, end = places.split("-")
            yield int(start, 16), int(end, 16)

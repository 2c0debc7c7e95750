"""Memory that is free goes back to the system: glibc keeps it otherwise, in every thread's heap."""

import ctypes
import sys
import threading
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # of mallopt(3)
LARGE = 1 << 20  # bytes; larger blocks are mapped by themselves, and unmapped when they are free
EVERY = 32 << 20  # bytes that were taken and given back between two looks at the heaps


class Allocator:
    """Returns free memory to the system after so much of it was used; of one process."""

    def __init__(self) -> None:
        """Set the bounds; without glibc this does nothing."""
        self._used = 0
        self._lock = threading.Lock()
        self._libc = _glibc()
        if self._libc is not None:
            for name, value in (
                (MMAP_THRESHOLD, LARGE), (TRIM_THRESHOLD, LARGE), (ARENA_MAX, 4),
            ):  # fmt: skip
                self._libc.mallopt(name, value)

    def used(self, nbytes: int) -> None:
        """Note that so many bytes were used and are free now."""
        if self._libc is None:
            return
        with self._lock:
            self._used += nbytes
            if self._used < EVERY:
                return
            self._used = 0
        self._libc.malloc_trim(0)


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None)
        return libc if libc.mallopt and libc.malloc_trim else None
    except (OSError, AttributeError):  # another C library
        return None

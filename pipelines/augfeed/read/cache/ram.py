"""Decoded images in the memory of this process and of those forked from it."""

import threading

import numpy as np

from augfeed.read.cache.image_cache import Count, Picture, Stats, checked, on_fork
from augfeed.read.cache.memory_limit import available_memory

BLOCK = 64 << 20  # bytes; few large blocks do not fragment the heap, and the system backs them late


class RamCache:
    """Images side by side in a few blocks of memory.

    A forked process sees the images there were, and keeps further ones for itself. A copy, in
    another process too, starts empty.
    """

    def __init__(self, channels: int, limit: int | None = None) -> None:
        """Take no memory yet. `limit` is in bytes; None is half of what is available now."""
        self.channels = channels
        self.limit = available_memory() // 2 if limit is None else limit
        self._asked = limit
        self._empty()
        on_fork(self, RamCache._renew)

    def _empty(self) -> None:
        self._kept: dict[str, Picture] = {}
        self._coming: set[str] = set()
        self._block = np.empty(0, np.uint8)
        self._used = self._bytes = 0  # of the block; of all images
        self._full = False
        self._count = Count()
        self._lock = threading.Lock()

    def _renew(self) -> None:
        self._lock, self._coming = threading.Lock(), set()

    def __reduce__(self) -> tuple[type["RamCache"], tuple[int, int | None]]:
        return RamCache, (self.channels, self._asked)

    def get(self, identity: str) -> Picture | None:
        """Return an image, read-only uint8 `[h, w, C]`, or None if it is not kept."""
        found = self._kept.get(identity)
        self._count.add(found is not None, found is None)
        return found

    def put(self, identity: str, picture: Picture) -> None:
        """Keep a copy of an image if it fits; raise `InputError` for another shape or type."""
        picture = checked(picture, self.channels)
        place = self._place(identity, picture.size)
        if place is None:
            return
        kept = place.reshape(picture.shape)
        kept[...] = picture
        kept.flags.writeable = False
        with self._lock:
            self._kept[identity] = kept
            self._coming.discard(identity)

    def _place(self, identity: str, size: int) -> Picture | None:
        with self._lock:
            if identity in self._kept or identity in self._coming:
                return None
            left = self._left()
            if size > left:
                self._full = True
                return None
            if self._used + size > self._block.size:
                self._block = np.empty(max(size, min(BLOCK, left)), np.uint8)
                self._used = 0
            place = self._block[self._used : self._used + size]
            self._used += size
            self._bytes += size
            self._coming.add(identity)
            return place

    def _left(self) -> int:
        return self.limit - self._bytes

    def refresh(self) -> None:
        """Do nothing: no other process keeps images here."""

    def close(self) -> None:
        """Let go of all images; those that are held stay valid."""
        with self._lock:
            self._kept, self._block = {}, np.empty(0, np.uint8)
            self._used = self._bytes = 0

    @property
    def stats(self) -> Stats:
        """How it did so far, and what it holds."""
        count = self._count
        return Stats(count.hits, count.misses, len(self._kept), self._bytes, self._full)

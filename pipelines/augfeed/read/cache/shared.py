"""One cache of decoded images for many pipelines, within one limit."""

import threading
import weakref
from dataclasses import dataclass, field

from augfeed.read.cache.disk import DiskCache, Key
from augfeed.read.cache.image_cache import ImageCache
from augfeed.read.cache.memory_limit import available_memory
from augfeed.read.cache.ram import RamCache
from augfeed.read.cache.settings import Cache


class CacheBySize:
    """Images by the side they are kept at: each side is kept as long as a pipeline uses it."""

    def __init__(self, cache: Cache) -> None:
        """Open nothing yet; `cache` is "ram" or "disk", its limit that of all sides together."""
        self.cache = cache
        self.limit = cache.limit
        if cache.kind == "ram" and self.limit is None:
            self.limit = available_memory() // 2
        self.lock = threading.Lock()
        self._opening = threading.Lock()
        self._open: weakref.WeakValueDictionary[Key, ImageCache] = weakref.WeakValueDictionary()

    def open(self, key: Key) -> ImageCache:
        """Return the images that are kept in one way, the same ones for all who ask."""
        with self._opening:
            if (found := self._open.get(key)) is not None:
                return found
            made: ImageCache
            if self.cache.kind == "ram":
                made = _Shared(key.channels, self)
            else:
                made = DiskCache(self.cache.place(), key, self.limit)
            self._open[key] = made
            return made

    @property
    def opened(self) -> list[ImageCache]:
        """What is open now."""
        return list(self._open.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all images that are kept; on disk, of those that are known of here."""
        return sum(pictures.stats.bytes for pictures in self.opened)


class _Shared(RamCache):
    # Room is what all of the shelf leave; one lock, so that two never take the same.

    def __init__(self, channels: int, shelf: CacheBySize) -> None:
        self._shelf = shelf
        super().__init__(channels, shelf.limit)

    def _empty(self) -> None:
        super()._empty()
        self._lock = self._shelf.lock

    def _left(self) -> int:
        assert self._shelf.limit is not None
        return self._shelf.limit - self._shelf.nbytes


@dataclass(frozen=True, slots=True)
class SharedCache(Cache):
    """A cache that every pipeline opens on the same shelf."""

    shelf: CacheBySize | None = field(default=None, compare=False)

    @classmethod
    def of(cls, cache: Cache) -> "SharedCache":
        """Return a cache whose images are shared by all that are given it."""
        return cls(cache.kind, cache.side, cache.limit, cache.folder, CacheBySize(cache))

"""Decoded images, kept so that later epochs need not decode: in RAM, on disk, on the device.

Nothing is thrown out to make room: every epoch reads every image once, and of what does not fit,
the images that came first serve as many reads as any choice could; rules such as
least-recently-used would throw out each image just before it is read again.
"""

from augfeed.errors import InputError
from augfeed.read.cache.image_cache import ImageCache as ImageCache
from augfeed.read.cache.image_cache import Stats as Stats
from augfeed.read.cache.settings import Cache as Cache
from augfeed.read.cache.settings import cache_of as cache_of
from augfeed.read.cache.settings import default_side as default_side


def open_cache(cache: Cache, *, side: int, channels: int, version: str) -> ImageCache:
    """Return the images of a cache in RAM or on disk, kept with a short side of `side` pixels.

    `version` names the reader and the libraries that decode: images on disk that were kept under
    another version, side or number of channels are not found. Raises `InputError` for "gpu", whose
    images are a `device.DeviceCache`.
    """
    from augfeed.read.cache.shared import SharedCache

    if isinstance(cache, SharedCache) and cache.shelf is not None:
        from augfeed.read.cache.disk import Key as Kept

        return cache.shelf.open(Kept(side, channels, version))
    match cache.kind:
        case "ram":
            from augfeed.read.cache.ram import RamCache

            return RamCache(channels, cache.limit)
        case "disk":
            from augfeed.read.cache.disk import DiskCache, Key

            return DiskCache(cache.place(), Key(side, channels, version), cache.limit)
        case "gpu":
            raise InputError(
                "cache='gpu' keeps images on a device: open it as "
                "augfeed.read.cache.device.DeviceCache(device, channels, limit)"
            )

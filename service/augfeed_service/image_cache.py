"""Decoded images kept for all plans, as the loader's `cache=` keeps them for one."""

from functools import partial

from prometheus_client import Gauge

from augfeed.read.cache import Cache
from augfeed.read.cache.shared import CacheBySize, SharedCache
from augfeed_service.budget import Budget
from augfeed_service.settings import Settings


def image_cache(settings: Settings, budget: Budget) -> SharedCache | None:
    """Return the cache of decoded images that all pipelines share, None if there is to be none.

    In memory it is part of the budget; on disk the same limit is for the folder. Raises
    `InputError` for a folder without `image_cache="disk"`.
    """
    if settings.image_cache is None:
        return None
    cache = SharedCache.of(
        Cache(settings.image_cache, settings.image_cache_side, settings.image_cache_bytes,
              settings.image_cache_folder)
    )  # fmt: skip
    shelf = cache.shelf
    assert shelf is not None
    if settings.image_cache == "ram":
        budget.show("images", lambda: shelf.nbytes)
    for name, text in (("bytes", "Bytes of decoded images kept"),
                       ("pictures", "Decoded images kept"),
                       ("hits", "Images that were found decoded"),
                       ("misses", "Images that had to be decoded")):  # fmt: skip
        shown = "images" if name == "pictures" else name
        gauge = Gauge(f"augfeed_image_cache_{shown}", text, registry=budget.registry)
        gauge.set_function(partial(_sum, shelf, name))
    return cache


def _sum(shelf: CacheBySize, name: str) -> float:
    return float(sum(getattr(pictures.stats, name) for pictures in shelf.opened))

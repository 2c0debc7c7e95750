"""How files are read: from which cache, within which limit, and what if one is broken."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from augfeed.errors import InputError
from augfeed.integers import whole_number
from augfeed.read.cache import Cache, cache_of
from augfeed.read.decode import MAX_PIXELS

OnError = Literal["raise", "replace", "skip"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How encoded pictures are read; without effect on arrays.

    `on_error`: a file that cannot be read or decoded is an error ("raise"), has its place taken by
    another sample, label included, that seed, epoch and sample number choose ("replace"), or is
    left out, so that its batch is smaller ("skip"). `cache`: "ram", "disk" or a `Cache` keeps
    decoded pictures. `max_pixels` is how many a file may declare. Raises `InputError`.
    """

    on_error: OnError = "raise"
    cache: Any = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        """Check all values."""
        if self.on_error not in get_args(OnError):
            raise InputError(
                f"on_error={self.on_error!r} is unknown: use one of {get_args(OnError)}"
            )
        whole_number("max_pixels", self.max_pixels, 1)
        object.__setattr__(self, "cache", cache_of(self.cache))
        if self.cache is not None and self.cache.kind == "gpu":
            raise InputError(
                "cache='gpu' is not read from yet: use cache='ram', or 'disk'; arrays in memory "
                "stay on a GPU with resident=True"
            )

    @property
    def kept(self) -> Cache | None:
        """The cache that is asked for."""
        cache: Cache | None = self.cache
        return cache

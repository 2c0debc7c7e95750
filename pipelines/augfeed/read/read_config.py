"""How files are read: from which cache, within which limit, and what if one is broken."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from augfeed.errors import InputError
from augfeed.memory_pool import Memory
from augfeed.read.cache import Cache, cache_of
from augfeed.read.decode import MAX_PIXELS
from augfeed.whole_number import whole_number

OnError = Literal["raise", "replace", "skip"]
Reader = Literal["auto", "dali", "cpu"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How encoded images are read; without effect on arrays.

    `on_error`: a file that cannot be read or decoded is an error ("raise"), has its place taken by
    another sample, label included, that seed, epoch and sample number choose ("replace"), or is
    left out, so that its batch is smaller ("skip"). `cache`: "ram", "disk", "gpu" or a `Cache`
    keeps decoded images. `max_pixels` is how many a file may declare. `reader` decodes JPEGs:
    "dali" is NVIDIA DALI, "cpu" libjpeg-turbo and Pillow, "auto" DALI where batches are made on an
    NVIDIA GPU and it is installed. `memory` is where pixels go, and may be shared; None is a
    pipeline's own. Raises `InputError`.
    """

    on_error: OnError = "raise"
    cache: Any = None
    max_pixels: int = MAX_PIXELS
    reader: Reader = "auto"
    memory: Memory | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        if self.on_error not in get_args(OnError):
            raise InputError(
                f"on_error={self.on_error!r} is unknown: use one of {get_args(OnError)}"
            )
        if self.reader not in get_args(Reader):
            raise InputError(f"reader={self.reader!r} is unknown: use one of {get_args(Reader)}")
        whole_number("max_pixels", self.max_pixels, 1)
        object.__setattr__(self, "cache", cache_of(self.cache))

    @property
    def kept(self) -> Cache | None:
        """The cache that is asked for."""
        cache: Cache | None = self.cache
        return cache

"""What a user asks of a cache of decoded images."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from augfeed.errors import InputError, InputTypeError
from augfeed.policy import Policy, Resize
from augfeed.read.cache_dir import asked_folder, expanded
from augfeed.whole_number import whole_number

Kind = Literal["ram", "disk", "gpu"]
LONGEST = 65535  # pixels of a side


@dataclass(frozen=True, slots=True)
class Cache:
    """Where decoded images are kept, how large, and how many bytes of them.

    `kind` is "ram" (this process and those forked from it), "disk" (shared by all processes, and
    there in the next run) or "gpu" (the device's memory). `side` is the short side in pixels at
    which images are kept, smaller ones as they are; None takes `default_side` of the policy.
    `limit` is in bytes of pixels; None is half of what is available: of the machine's memory (or
    the container's), of the folder's file system (what the cache holds already counts as
    available), of the device's free memory. What does not fit is decoded in every epoch. `folder`
    is for "disk"; None is `pictures` in the folder that the environment variable `AUGFEED_CACHE`
    names, else in `augfeed` in the user's cache folder; `~` in front is the home folder. Raises
    `InputError`.
    """

    kind: Kind
    side: int | None = None
    limit: int | None = None
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        if not isinstance(self.kind, str) or self.kind not in get_args(Kind):
            raise InputError(f"cache={self.kind!r} is unknown: use one of {get_args(Kind)}")
        for name in ("side", "limit"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, value, 1))
        if self.side is not None and self.side > LONGEST:
            raise InputError(f"side={self.side!r} is more than {LONGEST}: give a smaller side")
        if self.folder is None:
            if self.kind == "disk":
                self.place()
            return
        if not isinstance(self.folder, str | os.PathLike) or not os.fspath(self.folder):
            raise InputTypeError(f"folder={self.folder!r} is not a path: give a folder's path")
        if self.kind != "disk":
            raise InputError(
                f"folder={self.folder!r} is for the cache on disk and this one is {self.kind!r}: "
                "use Cache('disk', folder=...), or leave it out"
            )

    def place(self) -> Path:
        """Return the folder of a cache on disk."""
        if self.folder is not None:
            return Path(expanded(self.folder))
        return asked_folder("pictures", "cache='disk'")


def cache_of(value: Any) -> Cache | None:
    """Return the cache that a value asks for: a `Cache`, its kind as a text, or None for none.

    Raises `InputError` for any other text and `InputTypeError` for any other type.
    """
    if value is None or isinstance(value, Cache):
        return value
    if isinstance(value, str):
        return Cache(value)  # type: ignore[arg-type]  # checked there
    raise InputTypeError(f"cache={value!r} is not a cache: use one of {get_args(Kind)}, or a Cache")


def default_side(policy: Policy, source: tuple[int, int] | None = None) -> int:
    """Return the short side, in pixels, at which images are kept for a policy.

    That of a `Resize(int)`, so that nothing is resized twice; without one, 8/7 of the short side
    of what comes out, rounded up to a multiple of 8: 256 for 224. `source` is the (height, width)
    of the images, if all have one. Raises `PolicyError` if the output's size is not known.
    """
    resize = policy.find(Resize)
    if resize is not None and isinstance(resize.size, int):
        return resize.size
    side = min(policy.size(source))
    return min(-(-side // 7) * 8, LONGEST)

"""What a cache of decoded images has, and what all of them share."""

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stats:
    """How a cache did in this process since it was opened, and what it holds.

    `hits` and `misses` count what was asked for, `pictures` and `bytes` what is kept: on disk all
    that is known of what other processes keep. `full` says that an image was not kept for lack of
    room.
    """

    hits: int
    misses: int
    pictures: int
    bytes: int
    full: bool


class ImageCache(Protocol):
    """Decoded images by the identity of their file; threads may use one side by side."""

    def get(self, identity: str) -> Picture | None:
        """Return an image, uint8 `[h, w, C]`, or None if it is not kept.

        It is a read-only view of the cache's own memory, valid as long as it is held.
        """

    def put(self, identity: str, picture: Picture) -> None:
        """Keep a copy of an image, uint8 `[h, w, C]`; nothing happens if there is no room.

        Raises `InputError` for images of another shape or type.
        """

    def refresh(self) -> None:
        """Look for what other processes have kept; to be called when an epoch begins."""

    def close(self) -> None:
        """Let go of everything; images that are held stay valid."""

    @property
    def stats(self) -> Stats:
        """How it did so far, and what it holds."""


class Count:
    """Hits and misses, counted by threads side by side."""

    def __init__(self) -> None:
        """Start at zero."""
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        on_fork(self, Count._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def add(self, hits: int, misses: int = 0) -> None:
        """Count some images that were asked for."""
        with self._lock:
            self.hits += hits
            self.misses += misses


def checked(picture: Any, channels: int) -> Picture:
    """Return an image, C-contiguous; raise `InputError` unless it is uint8 `[h, w, channels]`."""
    array: Picture = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != channels or not array.size:
        raise InputError(
            f"an image of {array.dtype} and shape {array.shape!r} cannot be kept: "
            f"give uint8 of shape (height, width, {channels}), none of them 0"
        )
    return np.ascontiguousarray(array)


def on_fork(thing: Any, renew: Callable[[Any], None]) -> None:
    """Have `renew(thing)` called in every process that is forked while the thing lives.

    A lock that another thread holds at that moment would never be released there.
    """
    _RENEWED[thing] = renew


_RENEWED: "weakref.WeakKeyDictionary[Any, Callable[[Any], None]]" = weakref.WeakKeyDictionary()


def _after_fork() -> None:
    for thing, renew in list(_RENEWED.items()):
        renew(thing)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)

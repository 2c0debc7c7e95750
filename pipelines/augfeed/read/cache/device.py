"""Decoded images in a device's memory, cut and resized there."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.memory_pool import writable
from augfeed.plan.windows import Windows
from augfeed.read.cache.image_cache import Count, Picture, Stats, checked, on_fork
from augfeed.read.cache.memory_limit import available_memory
from augfeed.read.cache.resizing import Batch, Source, resize

SMALLEST = 64 << 20  # bytes of the first block; each further one doubles what there is
Flags = NDArray[np.bool_]


class Slot(NamedTuple):
    """Where an image lies: the block, the first byte in it, height and width."""

    block: int
    at: int
    height: int
    width: int


class CachedImage(NamedTuple):
    """An image that is kept: what it is found by, and its (height, width)."""

    identity: str
    size: tuple[int, int]


class DeviceCache:
    """Images side by side in few blocks of a device's memory; of one process.

    Batches are made of them by `frames`, on the device's current stream. Threads may use it side by
    side. A copy, in another process too, starts empty.
    """

    def __init__(self, device: torch.device | str, channels: int, limit: int | None = None) -> None:
        """Take no memory yet.

        `limit` is in bytes; None is half of what is free on the device now, and has to be given
        for devices that do not tell (`InputError`).
        """
        self.device, self.channels = torch.device(device), channels
        self.limit = _free(self.device) // 2 if limit is None else limit
        self._asked = limit
        self._kept: dict[str, Slot] = {}
        self._blocks: list[torch.Tensor] = []
        self._reserved = self._used = self._bytes = 0  # of all blocks; of the last; of images
        self._full = False
        self._stream: Any = None
        self._count = Count()
        self._lock = threading.Lock()
        on_fork(self, DeviceCache._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        if self.device.type == "cuda":  # a forked process cannot use it
            self._kept, self._blocks = {}, []

    def __reduce__(self) -> tuple[type["DeviceCache"], tuple[torch.device, int, int | None]]:
        return DeviceCache, (self.device, self.channels, self._asked)

    def put(self, identity: str, picture: Picture) -> None:
        """Keep a copy of an image if it fits; raise `InputError` for another shape or type.

        It is there for all streams when this returns.
        """
        picture = checked(picture, self.channels)
        with self._lock, self._aside():
            if identity in self._kept:
                return
            if not self._reserve(picture.size):
                self._full = True
                return
            place = self._blocks[-1][self._used : self._used + picture.size]
            place.copy_(torch.from_numpy(writable(picture.reshape(-1))))
            height, width = picture.shape[:2]
            self._kept[identity] = Slot(len(self._blocks) - 1, self._used, height, width)
            self._used += picture.size
            self._bytes += picture.size

    def _aside(self) -> AbstractContextManager[Any]:
        # A copy from pageable memory waits for its stream: so not for the one that is trained on.
        if self.device.type != "cuda":
            return nullcontext()
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        context: AbstractContextManager[Any] = torch.cuda.stream(self._stream)
        return context

    def _reserve(self, size: int) -> bool:
        if self._blocks and self._used + size <= self._blocks[-1].numel():
            return True
        left = self.limit - self._reserved
        if size > left:
            return False
        length = max(size, min(max(SMALLEST, self._reserved), left))
        try:
            self._blocks.append(torch.empty(length, dtype=torch.uint8, device=self.device))
        except torch.OutOfMemoryError:
            return False
        self._reserved += length
        self._used = 0
        return True

    def get(self, identity: str) -> Picture | None:
        """Return a copy of an image on the host, uint8 `[h, w, C]`, or None if it is not kept."""
        slot = self._kept.get(identity)
        if slot is None:
            return None
        length = slot.height * slot.width * self.channels
        with self._aside():
            flat = self._blocks[slot.block][slot.at : slot.at + length].cpu()
        copy: Picture = flat.numpy().reshape(slot.height, slot.width, self.channels)
        return copy

    def find(self, identity: str) -> CachedImage | None:
        """Return what is kept of an image, or None; it counts as a hit or a miss."""
        slot = self._kept.get(identity)
        self._count.add(slot is not None, slot is None)
        return None if slot is None else CachedImage(identity, (slot.height, slot.width))

    def holds(self, identities: Sequence[str]) -> Flags:
        """Return which images are kept, bool `[N]`; they count as hits and misses."""
        kept = np.array([identity in self._kept for identity in identities], np.bool_)
        self._count.add(int(kept.sum()), int((~kept).sum()))
        return kept

    def sizes(self, identities: Sequence[str]) -> NDArray[np.int64]:
        """Return (height, width) of images, `[N, 2]`; raise `InputError` if one is not kept."""
        return np.array([self._slot(i)[2:] for i in identities], np.int64).reshape(-1, 2)

    def _slot(self, identity: str) -> Slot:
        try:
            return self._kept[identity]
        except KeyError:
            raise InputError(f"{identity!r} is not in the cache: ask holds() before") from None

    def frames(
        self, identities: Sequence[str], windows: Windows, size: tuple[int, int]
    ) -> torch.Tensor:
        """Return images cut and resized, uint8 `[N, height, width, C]` on the device.

        `windows` are those of the images at their `sizes`; none may need padding (`fits`). The
        pixels are those of `kernels.resample.resample`. Nothing waits for the device. Raises
        `InputError` for an image that is not kept, or a window that is not inside it.
        """
        slots = np.array([self._slot(i) for i in identities], np.int64).reshape(-1, 4)
        box = windows.box.astype(np.int64)
        inside = (box[:, :2] >= 0) & (box[:, 2:] > 0) & (box[:, :2] + box[:, 2:] <= slots[:, 2:])
        wrong = np.flatnonzero(~(inside.all(axis=1) & fits(windows, size)))
        if wrong.size:
            k = int(wrong[0])
            raise InputError(
                f"the window of {identities[k]!r}, box={box[k].tolist()!r} resized to "
                f"{windows.resized[k].tolist()!r} from {windows.offset[k].tolist()!r} on, does not "
                f"hold {size!r} pixels within an image of {slots[k, 2:].tolist()!r}: "
                "give windows for which fits() is true, made for sizes()"
            )
        order = np.argsort(slots[:, 0], kind="stable")
        ends = np.searchsorted(slots[order, 0], np.arange(len(self._blocks)), side="right")
        sources = [
            Source(block, rows)
            for block, rows in zip(self._blocks, np.split(order, ends[:-1]), strict=False)
            if rows.size
        ]
        batch = Batch(slots[:, 1], slots[:, 3], box, windows.resized, windows.offset,
                      windows.filters, size)  # fmt: skip
        return resize(batch, sources, self.channels, self.device)

    def refresh(self) -> None:
        """Do nothing: no other process keeps images here."""

    def close(self) -> None:
        """Let go of the memory; batches that were made stay valid."""
        with self._lock:
            self._kept, self._blocks = {}, []
            self._reserved = self._used = self._bytes = 0

    @property
    def stats(self) -> Stats:
        """How it did so far, and what it holds."""
        count = self._count
        return Stats(count.hits, count.misses, len(self._kept), self._bytes, self._full)


def fits(windows: Windows, size: tuple[int, int]) -> Flags:
    """Return which windows hold an output of `size` (height, width) without padding, bool `[N]`."""
    offset, resized = windows.offset, windows.resized
    inside: Flags = ((offset >= 0) & (offset + np.array(size) <= resized)).all(axis=1)
    return inside


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        return available_memory()
    raise InputError(
        f"limit=None: {str(device)!r} does not tell how much memory is free: give a limit in bytes"
    )

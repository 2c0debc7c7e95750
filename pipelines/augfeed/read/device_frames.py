"""Frames made of many files at once on a device: by DALI, or from images kept in its memory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError, MissingExtraError
from augfeed.memory_pool import Memory
from augfeed.operation import Scene
from augfeed.plan import Plan, Windows
from augfeed.read.arrays import ArraySource
from augfeed.read.cache.device import CachedImage
from augfeed.read.dali import DaliDecoder, available, is_installed
from augfeed.read.frames import Found, Frames, Ready
from augfeed.read.image_frame import Encoded
from augfeed.read.protocols import Source
from augfeed.read.read_config import Reading
from augfeed.read.read_errors import RowSources

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DeferredFrame:
    """A row of a batch of frames that the device is to make, of image `k` of those found."""

    row: int
    ready: Ready
    k: int

    @property
    def found(self) -> Found:
        """The image."""
        return self.ready.found[self.k]


class DeviceFrames:
    """Makes the frames of a source on a device as far as it can, and the others on the host."""

    def __init__(self, frames: Frames, device: torch.device, reader: str) -> None:
        """Start nothing yet; `reader` is "dali" or "cpu"."""
        size = frames.size
        self.frames, self.device, self.size = frames, device, size
        self.decoder: DaliDecoder | None = None
        if reader == "dali" and not isinstance(frames.source, ArraySource):
            self.decoder = DaliDecoder(device, _threads(), frames.source.channels, size)

    def prepare(
        self, plan: Plan, rows: Ids, taken: RowSources, out: NDArray[np.uint8], first: int
    ) -> list[DeferredFrame]:
        """Fill frames that the host makes, `out` uint8 `[len(rows), H, W, C]`; return the others.

        `first` is the number of the first of these rows in the batch. Any thread may do it.
        """
        waiting, ready = [], self.frames.prepare(plan, rows, taken)
        inside = ready.windows.inside(self.size)
        for k in range(len(rows)):
            if inside[k] and self._makes(ready, k):
                waiting.append(DeferredFrame(first + k, ready, k))
            else:
                self.frames.fill(ready, k, out[k])
        return waiting

    def _makes(self, ready: Ready, k: int) -> bool:
        found = ready.found[k]
        if isinstance(found, CachedImage):
            return True
        if self.decoder is None or not isinstance(found, Encoded) or found.header.jpeg is None:
            return False
        return self.decoder.takes(found.header.jpeg, found.data, ready.view(k))

    def join(self, waiting: list[DeferredFrame], host: torch.Tensor) -> torch.Tensor:
        """Return all frames on the device, those that waited and those that `host` holds.

        Raises `ReadError` naming a file that nobody can decode, if errors are to be raised.
        """
        waiting = sorted(waiting, key=lambda item: item.row)
        kept = [item for item in waiting if isinstance(item.found, CachedImage)]
        encoded = [item for item in waiting if not isinstance(item.found, CachedImage)]
        made = []
        if kept:
            made.append((kept, self._from_memory(kept)))
        if encoded:
            made.append(self._decoded(encoded, host))
        if len(made) == 1 and len(made[0][0]) == len(host):
            return made[0][1]
        frames = host.to(self.device, non_blocking=True)  # itself, if it is there already
        for items, pixels in made:
            rows = torch.tensor([item.row for item in items], device=self.device)
            frames.index_copy_(0, rows, pixels)
        return frames

    def _from_memory(self, items: list[DeferredFrame]) -> torch.Tensor:
        names = [item.found.identity for item in items if isinstance(item.found, CachedImage)]
        return self.frames.on_device.frames(names, _windows(items), self.size)

    def _decoded(
        self, items: list[DeferredFrame], host: torch.Tensor
    ) -> tuple[list[DeferredFrame], torch.Tensor]:
        # A file that DALI refuses is for the host to judge, which knows what happens then.
        assert self.decoder is not None
        found: list[Any] = [item.found for item in items]
        orientation = np.array([each.header.orientation for each in found], np.int64)
        sizes = np.array([each.header.upright for each in found], np.int64)
        made = self.decoder.frames(
            [each.data for each in found], _windows(items), orientation, sizes
        )
        if not made.failed.size:
            return items, made.frames
        failed = set(made.failed.tolist())
        for k in failed:
            self.frames.fill(items[k].ready, items[k].k, host[items[k].row].numpy())
        well = [k for k in range(len(items)) if k not in failed]
        return [items[k] for k in well], made.frames[torch.tensor(well, dtype=torch.int64)]

    def read(self, plan: Plan, rows: Ids, taken: RowSources, memory: Memory) -> NDArray[np.uint8]:
        """Return the frames of some rows of a plan on the host, `[len(rows), H, W, C]`."""
        shape = (len(rows), *plan.size, self.frames.source.channels)
        out = memory.take(shape, np.uint8)
        waiting = self.prepare(plan, rows, taken, out, 0)
        frames: NDArray[np.uint8] = self.join(waiting, torch.from_numpy(out)).numpy()
        return frames


def reader_for(
    reading: Reading, source: Source, device: torch.device, scenes: Sequence[Scene] = ()
) -> str:
    """Return who decodes the files of a source for a device: "dali" or "cpu".

    "auto" is DALI on an NVIDIA GPU, where it is installed, and the CPU reader elsewhere, also for
    `scenes`, which show several images in one. Raises `InputError` or `MissingExtraError` for a
    reader that cannot be used.
    """
    if isinstance(source, ArraySource):
        return "cpu"
    if scenes:
        on_gpu = reading.kept is not None and reading.kept.kind == "gpu"
        if on_gpu or reading.reader == "dali":
            given = "cache='gpu'" if on_gpu else "reader='dali'"
            raise InputError(
                f"{given} makes frames of one image each, and {scenes[0].op!r} shows several in "
                "one: use reader='cpu', and cache='ram' or 'disk'"
            )
        return "cpu"
    if reading.reader == "auto":
        usable = device.type == "cuda" and reading.kept is None and is_installed()
        return "dali" if usable else "cpu"
    if reading.reader == "dali":
        if reading.kept is not None:
            raise InputError(
                "reader='dali' decodes what is shown of an image, and a cache keeps whole ones: "
                "leave out cache, or reader"
            )
        if device.type not in ("cpu", "cuda"):
            raise InputError(
                f"reader='dali' does not run on device={str(device)!r}: use reader='cpu'"
            )
        if reason := available():
            raise (
                MissingExtraError("NVIDIA DALI", "dali")
                if not is_installed()
                else InputError(f"reader='dali': {reason}")
            )
    return reading.reader


def _windows(items: list[DeferredFrame]) -> Windows:
    parts = [item.ready.windows.take(np.array([item.k])) for item in items]
    return Windows(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in ("box", "resized", "offset", "filters")))  # fmt: skip


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

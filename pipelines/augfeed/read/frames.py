"""Frames of samples: read, decoded, cut and resized; what happens to files that are broken."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import indexed
from augfeed.errors import InputError, ReadError
from augfeed.kernels.resample import resample
from augfeed.kernels.shown import show_pictures
from augfeed.memory import Memory, writable
from augfeed.plan import Plan, Windows
from augfeed.plan.fixed import Fixed
from augfeed.plan.rows import samples_of
from augfeed.policy import Policy, Resize, resized
from augfeed.read.arrays import ArraySource
from augfeed.read.cache import Pictures, default_side, open_cache
from augfeed.read.cache.device import DevicePictures, Kept
from augfeed.read.cut import View
from augfeed.read.decode import reader_version
from augfeed.read.encoded import EncodedSource, Source
from augfeed.read.picture import Encoded
from augfeed.read.reading import Reading
from augfeed.read.turbo import decode_frames
from augfeed.read.unread import Taken, Unread, UnreadLog, candidates, no_substitute

Indices = NDArray[np.int64]
# A file whose header is read, a picture decoded before, or one that is kept on the device.
Found = Encoded | NDArray[Any] | Kept


class Frames:
    """Makes the frames of a source in the threads that ask for them.

    `side` is the short side at which a cache keeps pictures; 0 without a cache. `size` is (height,
    width) of a frame. `device` is where a cache of the kind "gpu" keeps them.
    """

    def __init__(
        self, source: Source, policy: Policy, memory: Memory, reading: Reading, log: UnreadLog,
        device: torch.device = torch.device("cpu"),  # noqa: B008  (immutable)
    ) -> None:  # fmt: skip
        """Read nothing yet, and open no cache."""
        self.device, self.size = device, policy.size(source.sizes)
        self.source, self.fixed = source, Fixed.of(policy, source.channels)
        self.memory, self.reading, self.log = memory, reading, log
        cache = None if isinstance(source, ArraySource) else reading.kept
        self.side = 0 if cache is None else cache.side or default_side(policy, source.sizes)
        self._cache, self._pictures = cache, None if cache is None else _Later(self._open)

    def _open(self) -> Pictures:
        assert self._cache is not None
        if self._cache.kind == "gpu":
            return DevicePictures(indexed(self.device), self.source.channels, self._cache.limit)
        return open_cache(
            self._cache, side=self.side, channels=self.source.channels, version=reader_version()
        )

    @property
    def on_device(self) -> DevicePictures:
        """The pictures in the device's memory; only of a cache of the kind "gpu"."""
        assert self._pictures is not None
        pictures = self._pictures.get()
        assert isinstance(pictures, DevicePictures)
        return pictures

    def begin(self) -> None:
        """See, at the start of an epoch, what other processes have put into the cache."""
        if self._pictures is not None:
            self._pictures.get().refresh()

    def read(
        self, plan: Plan, rows: Indices, taken: Taken, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Return the frames of some rows of a plan, `[len(rows), H, W, C]`, cut and resized.

        uint8, or float32 for a source of floats; in `out` if that is given. `taken` says whose
        pictures they are, and is changed where a file cannot be read. Raises `ReadError` naming the
        file, if errors are to be raised or nothing can take the file's place.
        """
        source = self.source
        dtype = source.images.dtype if isinstance(source, ArraySource) else np.uint8
        shape = (len(rows), *plan.size, source.channels)
        frames = self.memory.take(shape, dtype) if out is None else out
        if isinstance(source, ArraySource):
            windows = plan.window.take(rows).at(*source.sizes)
            places = source.rows(taken.ids[rows])
            for k, (place, view) in enumerate(zip(places, views_of(windows), strict=True)):
                self._show(source.images[place], view, frames[k])
            return frames
        made = self.prepare(plan, rows, taken)
        there = self._at_once(made, frames)
        for k, ready in enumerate(made):
            if k not in there:
                self.fill(ready, frames[k])
        return frames

    def _at_once(self, made: list["Ready"], frames: NDArray[Any]) -> set[int]:
        # Writes those frames that a call of compiled code can make, and returns their numbers.
        kept, kept_views, files, file_views = [], [], [], []
        for k, ready in enumerate(made):
            found, view = ready.found, ready.view
            if isinstance(found, np.ndarray) and found.flags.c_contiguous:
                address: int = found.__array_interface__["data"][0]
                kept.append((address, *found.shape[:2], k))
                kept_views.append(view)
            elif isinstance(found, Encoded) and found.shows_lines(view, self.size):
                assert found.look.header is not None
                files.append((found.data, found.look.header, k))
                file_views.append(view)
        there = {k for _, _, _, k in kept}
        if kept:
            show, pad = windows_of(kept_views), (self.fixed.pad_mode, self.fixed.pad_fill)
            table = np.array(kept, np.int64)
            show_pictures(table, show.box, show.resized, show.offset, *pad, frames)
        if files:
            done = decode_frames(files, windows_of(file_views), frames)
            there |= {k for (_, _, k), well in zip(files, done, strict=True) if well}
        return there

    def prepare(self, plan: Plan, rows: Indices, taken: Taken) -> list["Ready"]:
        """Return what the frames of some rows are to be made of: files are read, not decoded."""
        source = self.source
        assert not isinstance(source, ArraySource)
        samples = samples_of(plan.ids[rows]).tolist()
        places = [Place(plan, row, sample, taken)
                  for row, sample in zip(rows.tolist(), samples, strict=True)]  # fmt: skip
        found = [self._find(source, place) for place in places]
        views = self._views(source, places, found)
        return [Ready(*parts) for parts in zip(places, found, views, strict=True)]

    def fill(self, ready: "Ready", out: NDArray[Any]) -> None:
        """Write a frame to `out`, uint8 `[H, W, C]`, of another sample if the file is broken."""
        try:
            self._show(ready.found, ready.view, out)
        except ReadError as error:
            assert not isinstance(self.source, ArraySource)
            self._substitute(self.source, ready.place, error, out)

    def _find(self, source: EncodedSource, place: "Place") -> Found:
        # The picture of a row, or that of the sample that takes its place.
        try:
            return self._look(source, place.sample)
        except ReadError as error:
            return self._substitute(source, place, error)[0]

    def _views(
        self, source: EncodedSource, places: list["Place"], found: list[Found]
    ) -> list[View]:
        sizes = np.array([_size(item) for item in found], np.int64).reshape(-1, 2)
        rows = np.array([place.row for place in places], np.int64)
        try:
            windows = places[0].plan.window.take(rows).at(sizes[:, 0], sizes[:, 1])
            return views_of(windows)
        except InputError:  # a picture that is smaller than its crop: one by one, to name it
            return [self._view_at(source, place, found, k) for k, place in enumerate(places)]

    def _view_at(self, source: EncodedSource, place: "Place", found: list[Found], k: int) -> View:
        try:
            return place.view(found[k])
        except InputError as error:
            reason = f"{source.path(place.standing)}: {error}"
            if self.reading.on_error == "raise":
                raise InputError(reason) from error
            found[k], view = self._substitute(source, place, ReadError(reason))
            return view

    def _look(self, source: EncodedSource, sample: int) -> Found:
        if self._pictures is None:
            return self._encoded(source, sample)
        pictures, identity = self._pictures.get(), source.identity(sample)
        if isinstance(pictures, DevicePictures):
            held = pictures.find(identity)
            if held is not None:
                return held
        elif (there := pictures.get(identity)) is not None:
            return there
        encoded = self._encoded(source, sample)
        picture = encoded.shrunk(kept_size(encoded.look.upright, self.side))
        pictures.put(identity, picture)
        return picture

    def _encoded(self, source: EncodedSource, sample: int) -> Encoded:
        data, name = source.read(sample), source.path(sample)
        return Encoded(data, name, source.channels, self.memory, self.reading.max_pixels)

    def _show(self, found: Found, view: View, out: NDArray[Any]) -> None:
        pad = self.fixed.pad_mode, self.fixed.pad_fill
        if isinstance(found, Encoded):
            found.show(view, out, pad)
        elif isinstance(found, Kept):
            resample(self.on_device.get(found.identity), *view, *pad, out)
        else:
            resample(writable(found), *view, *pad, out)

    def _substitute(
        self,
        source: EncodedSource,
        place: "Place",
        error: ReadError,
        out: NDArray[Any] | None = None,
    ) -> tuple[Found, View]:
        # With `out` it is decoded at once, as a header alone does not tell whether it can be.
        if self.reading.on_error == "raise":
            raise error
        plan, sample = place.plan, place.sample
        others = candidates(plan.seed, plan.epoch, int(plan.ids[place.row]), len(source))
        path = source.path(sample)
        for other in others:
            try:
                found = self._look(source, other)
                view = place.view(found)
                if out is not None:
                    self._show(found, view, out)
            except (InputError, ReadError):
                continue
            place.take(other)
            self.log.add(Unread(plan.epoch, sample, path, str(error), other))
            return found, view
        raise no_substitute(path, str(error), len(others)) from error


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a plan, to be filled with the picture of the sample that it was planned for, or of
    another."""

    plan: Plan
    row: int
    sample: int
    taken: Taken

    @property
    def standing(self) -> int:
        """The sample whose picture stands there."""
        return int(self.taken.ids[self.row])

    def take(self, other: int) -> None:
        """Note that the picture of another sample stands there."""
        self.taken.ids[self.row], self.taken.unread[self.row] = other, True

    def view(self, found: Found) -> View:
        """Return what is shown of a picture in this row."""
        height, width = _size(found)
        one = np.array([self.row], np.int64)
        return views_of(self.plan.window.take(one).at([height], [width]))[0]


@dataclass(frozen=True, slots=True)
class Ready:
    """A row, the picture that is to stand there, and what is shown of it."""

    place: Place
    found: Found
    view: View


def views_of(windows: Windows) -> list[View]:
    """Return windows one by one."""
    parts = windows.box.tolist(), windows.resized.tolist(), windows.offset.tolist()
    rows: Any = zip(*parts, strict=True)
    return [View(tuple(box), tuple(resized), tuple(offset)) for box, resized, offset in rows]


def windows_of(views: Sequence[View]) -> Windows:
    """Return some windows as arrays."""
    box, resized, offset = (np.array([view[part] for view in views], np.int32) for part in range(3))
    return Windows(box, resized, offset)


class _Later:
    # Opened by the first thread that needs it; a copy in another process opens its own.

    def __init__(self, open_: Callable[[], Pictures]) -> None:
        self._open = open_
        self._held: Pictures | None = None
        self._lock = threading.Lock()

    def get(self) -> Pictures:
        with self._lock:
            if self._held is None:
                self._held = self._open()
            return self._held

    def __reduce__(self) -> tuple[type["_Later"], tuple[Any]]:
        return _Later, (self._open,)


def kept_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return `(height, width)` at which a cache keeps a picture: a short side of `side`, or its
    own size if that is smaller."""
    return resized(Resize(side), size) if min(size) > side else size


def _size(found: Found) -> tuple[int, int]:
    if isinstance(found, Encoded):
        return found.look.upright
    if isinstance(found, Kept):
        return found.size
    return found.shape[0], found.shape[1]

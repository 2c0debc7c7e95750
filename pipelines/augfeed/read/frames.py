"""Frames of samples: read, decoded, cut and resized; what happens to files that are broken."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import check_places, indexed
from augfeed.errors import InputError, ReadError
from augfeed.fields.kinds import Boxes
from augfeed.kernels.resample import resample
from augfeed.kernels.resample_many import show_pictures
from augfeed.memory_pool import Memory, writable
from augfeed.plan import Plan, Windows
from augfeed.plan.batch_rows import samples_of
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Policy, Resize, resized
from augfeed.policy.images import check_levels
from augfeed.read.annotation import Note, check_fit, check_kept_fit, is_annotated, pixel_parts
from augfeed.read.arrays import ArraySource
from augfeed.read.cache import ImageCache, default_side, open_cache
from augfeed.read.cache.device import CachedImage, DeviceCache
from augfeed.read.crop import View
from augfeed.read.decode import reader_version
from augfeed.read.image_frame import Encoded
from augfeed.read.jpeg_crop import decode_frames
from augfeed.read.protocols import EncodedSource, Source
from augfeed.read.read_config import Reading
from augfeed.read.read_errors import (
    ReadFailure,
    ReadFailureLog,
    RowSources,
    candidates,
    no_substitute,
)
from augfeed.read.row_windows import row_windows

Indices = NDArray[np.int64]
# A file whose header is read, an image decoded before, or one that is kept on the device.
Found = Encoded | NDArray[Any] | CachedImage


class Frames:
    """Makes the frames of a source in the threads that ask for them.

    `side` is the short side at which a cache keeps images; 0 without a cache. `size` is (height,
    width) of a frame. `device` is where a cache of the kind "gpu" keeps them.
    """

    def __init__(
        self, source: Source, policy: Policy, memory: Memory, reading: Reading, log: ReadFailureLog,
        device: torch.device = torch.device("cpu"),  # noqa: B008  (immutable)
    ) -> None:  # fmt: skip
        """Read nothing yet, and open no cache."""
        self.device, self.size = device, policy.size(source.sizes)
        self.source, self.fixed = source, PolicyConstants.of(policy, source.channels)
        if isinstance(source, ArraySource) and source.sixteen_bits:
            check_levels(policy)
        self.memory, self.reading, self.log = memory, reading, log
        self._annotated = source if is_annotated(source) else None
        cache = None if isinstance(source, ArraySource) else reading.kept
        self.side = 0 if cache is None else cache.side or default_side(policy, source.sizes)
        self._cache, self._pictures = cache, None if cache is None else _Later(self._open)

    def _open(self) -> ImageCache:
        assert self._cache is not None
        if self._cache.kind == "gpu":
            return DeviceCache(indexed(self.device), self.source.channels, self._cache.limit)
        return open_cache(
            self._cache, side=self.side, channels=self.source.channels, version=reader_version()
        )

    @property
    def on_device(self) -> DeviceCache:
        """The images in the device's memory; only of a cache of the kind "gpu"."""
        assert self._pictures is not None
        pictures = self._pictures.get()
        assert isinstance(pictures, DeviceCache)
        return pictures

    def begin(self) -> None:
        """See, at the start of an epoch, what other processes have put into the cache."""
        if self._pictures is not None:
            self._pictures.get().refresh()

    def read(
        self, plan: Plan, rows: Indices, taken: RowSources, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Return the frames of some rows of a plan, `[len(rows), H, W, C]`, cut and resized.

        uint8, or float32 for a source of floats; in `out` if that is given. `taken` says whose
        images they are, and is changed where a file cannot be read. Raises `ReadError` naming the
        file, if errors are to be raised or nothing can take the file's place.
        """
        source = self.source
        dtype = source.images.dtype if isinstance(source, ArraySource) else np.uint8
        shape = (len(rows), *plan.size, source.channels)
        frames = self.memory.take(shape, dtype) if out is None else out
        if isinstance(source, ArraySource):
            windows = plan.window.take(rows).at(*source.sizes)
            self._show_arrays(source.images, source.rows(taken.ids[rows]), windows, frames)
            return frames
        made = self.prepare(plan, rows, taken)
        there = self._at_once(made, frames)
        for k in np.flatnonzero(~there).tolist():
            self.fill(made, k, frames[k])
        return frames

    def _show_arrays(
        self, images: NDArray[Any], places: Indices, windows: Windows, frames: NDArray[Any]
    ) -> None:
        check_places(places, len(images))
        pad = self.fixed.pad_mode, self.fixed.pad_fill
        if images.dtype == np.uint8:  # and C-contiguous, as those of all sources are
            table = np.empty((len(places), 4), np.int64)
            table[:, 0] = images.__array_interface__["data"][0] + places * images.strides[0]
            table[:, 1:3], table[:, 3] = images.shape[1:3], np.arange(len(places))
            show_pictures(table, *windows.parts, *pad, frames)
            return
        for k, place in enumerate(places.tolist()):
            window = (part[k] for part in windows.parts)
            resample(writable(images[place]), *window, *pad, frames[k])

    def _at_once(self, made: "Ready", frames: NDArray[Any]) -> NDArray[np.bool_]:
        # Writes those frames that a call of compiled code can make, and says which.
        windows, there = made.windows, np.zeros(len(made.found), np.bool_)
        inside = windows.inside(self.size).tolist()
        kept, files = [], []
        for k, found in enumerate(made.found):
            if isinstance(found, np.ndarray):
                if found.flags.c_contiguous:
                    address: int = found.__array_interface__["data"][0]
                    kept.append((address, *found.shape[:2], k))
            elif inside[k] and isinstance(found, Encoded) and (header := found.in_lines):
                files.append((found.data, header, k))
        if kept:
            table = np.array(kept, np.int64)
            show, pad = windows.take(table[:, 3]), (self.fixed.pad_mode, self.fixed.pad_fill)
            show_pictures(table, *show.parts, *pad, frames)
            there[table[:, 3]] = True
        if files:
            numbers = np.array([k for _, _, k in files], np.int64)
            there[numbers] = decode_frames(files, windows.take(numbers), frames)
        return there

    def prepare(self, plan: Plan, rows: Indices, taken: RowSources) -> "Ready":
        """Return what the frames of some rows are to be made of: files are read, not decoded."""
        source = self.source
        assert not isinstance(source, ArraySource)
        samples = samples_of(plan.ids[rows]).tolist()
        found = []
        for k, (row, sample) in enumerate(zip(rows.tolist(), samples, strict=True)):
            try:
                found.append(self.find(source, sample))
                self._note(found[-1], Place(plan, row, sample, taken), sample)
            except ReadError as error:
                del found[k:]
                place = Place(plan, row, sample, taken)
                found.append(self.replace(place, error)[0])
        sizes = np.array([size_of(item) for item in found], np.int64).reshape(-1, 2)
        try:
            windows = row_windows(plan, rows, sizes, taken.notes)
        except InputError:  # an image that is smaller than its crop: one by one, to name it
            views = [self._view_at(source, Place(plan, row, sample, taken), found, k)
                     for k, (row, sample) in enumerate(zip(rows.tolist(), samples, strict=True))
                     ]  # fmt: skip
            windows = windows_of(views)
        return Ready(plan, rows, taken, found, windows)

    def fill(self, ready: "Ready", k: int, out: NDArray[Any]) -> None:
        """Write frame `k` to `out`, uint8 `[H, W, C]`, of another sample if the file is broken."""
        try:
            self.show(ready.found[k], ready.view(k), out)
        except ReadError as error:
            self.replace(ready.place(k), error, lambda found, view: self.show(found, view, out))

    def _view_at(self, source: EncodedSource, place: "Place", found: list[Found], k: int) -> View:
        try:
            return place.view(found[k])
        except InputError as error:
            reason = f"{source.path(place.standing)}: {error}"
            if self.reading.on_error == "raise":
                raise InputError(reason) from error
            found[k], view = self.replace(place, ReadError(reason))
            return view

    def find(self, source: EncodedSource, sample: int) -> Found:
        """Return a sample's image as the cache has it, or its file, of which the header is read."""
        if self._pictures is None:
            return self._encoded(source, sample)
        pictures, identity = self._pictures.get(), source.identity(sample)
        if isinstance(pictures, DeviceCache):
            held = pictures.find(identity)
            if held is not None:
                return held
        elif (there := pictures.get(identity)) is not None:
            return there
        encoded = self._encoded(source, sample)
        picture = encoded.shrunk(kept_size(encoded.header.upright, self.side))
        pictures.put(identity, picture)
        return picture

    def _note(self, found: Found, place: "Place", sample: int) -> None:
        # Reads what belongs to an image, which must fit it.
        if self._annotated is None:
            return
        image, note = self._annotated.path(sample), self._annotated.annotation(sample)
        size = size_of(found)
        if isinstance(found, Encoded):
            check_fit(note, found.header, image)
        elif note.size is not None:
            check_kept_fit(note, size, kept_size(note.size, self.side), image)
        fields = self._annotated.fields
        boxes = next((name for name, field in fields.items() if isinstance(field, Boxes)), "")
        parts = pixel_parts(note, fields, size)
        place.taken.notes[place.row] = Note(sample, parts, size, note.where, boxes)

    def _encoded(self, source: EncodedSource, sample: int) -> Encoded:
        data, name = source.read(sample), source.path(sample)
        return Encoded(data, name, source.channels, self.memory, self.reading.max_pixels)

    def show(self, found: Found, view: View, out: NDArray[Any]) -> None:
        """Write what a window shows of an image to `out`, uint8 `[H, W, C]`."""
        pad = self.fixed.pad_mode, self.fixed.pad_fill
        if isinstance(found, Encoded):
            found.show(view, out, pad)
        elif isinstance(found, CachedImage):
            resample(self.on_device.get(found.identity), *view, *pad, out)
        else:
            resample(writable(found), *view, *pad, out)

    def replace(
        self, place: "Place", error: ReadError, use: Callable[[Found, View], None] | None = None
    ) -> tuple[Found, View]:
        """Return the image of another sample in a place, and what is shown of it.

        `use` decodes it at once, as a header alone does not tell whether that can be done. Raises
        the error, if errors are to be raised or nothing can take its place.
        """
        if self.reading.on_error == "raise":
            raise error
        plan, sample, source = place.plan, place.sample, self.source
        assert not isinstance(source, ArraySource)
        others = candidates(plan.seed, plan.epoch, int(plan.ids[place.row]), len(source))
        path = source.path(sample)
        for other in others:
            try:
                found = self.find(source, other)
                self._note(found, place, other)
                view = place.view(found)
                if use is not None:
                    use(found, view)
            except (InputError, ReadError):
                continue
            place.take(other)
            self.log.add(ReadFailure(plan.epoch, sample, path, str(error), other))
            return found, view
        raise no_substitute(path, str(error), len(others)) from error


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a plan, to be filled with the image of the sample that it was planned for, or of
    another."""

    plan: Plan
    row: int
    sample: int
    taken: RowSources

    @property
    def standing(self) -> int:
        """The sample whose image stands there."""
        return int(self.taken.ids[self.row])

    def take(self, other: int) -> None:
        """Note that the image of another sample stands there."""
        self.taken.ids[self.row], self.taken.unread[self.row] = other, True

    def view(self, found: Found) -> View:
        """Return what is shown of an image in this row."""
        height, width = size_of(found)
        one = np.array([self.row], np.int64)
        sizes = np.array([[height, width]], np.int64)
        return views_of(row_windows(self.plan, one, sizes, self.taken.notes))[0]


@dataclass(frozen=True, slots=True)
class Ready:
    """Rows of a plan, the images that are to stand there, and what is shown of each."""

    plan: Plan
    rows: Indices
    taken: RowSources
    found: list[Found]
    windows: Windows

    def view(self, k: int) -> View:
        """Return what is shown of one image, as numbers."""
        return views_of(self.windows.take(np.array([k])))[0]

    def place(self, k: int) -> Place:
        """Return one of the rows."""
        row = int(self.rows[k])
        return Place(self.plan, row, int(samples_of(self.plan.ids[row : row + 1])[0]), self.taken)


def views_of(windows: Windows) -> list[View]:
    """Return windows one by one."""
    rows: Any = zip(*(part.tolist() for part in windows.parts), strict=True)
    return [View(tuple(box), tuple(resized), tuple(offset), kind)
            for box, resized, offset, kind in rows]  # fmt: skip


def windows_of(views: Sequence[View]) -> Windows:
    """Return some windows as arrays."""
    return Windows(*(np.array([view[part] for view in views], np.int32) for part in range(4)))


class _Later:
    # Opened by the first thread that needs it; a copy in another process opens its own.

    def __init__(self, open_: Callable[[], ImageCache]) -> None:
        self._open = open_
        self._cache: ImageCache | None = None
        self._lock = threading.Lock()

    def get(self) -> ImageCache:
        with self._lock:
            if self._cache is None:
                self._cache = self._open()
            return self._cache

    def __reduce__(self) -> tuple[type["_Later"], tuple[Any]]:
        return _Later, (self._open,)


def kept_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return `(height, width)` at which a cache keeps an image: a short side of `side`, or its
    own size if that is smaller."""
    return resized(Resize(side), size) if min(size) > side else size


def size_of(found: Found) -> tuple[int, int]:
    """Return (height, width) of an image."""
    if isinstance(found, Encoded):
        return found.header.upright
    if isinstance(found, CachedImage):
        return found.size
    return found.shape[0], found.shape[1]

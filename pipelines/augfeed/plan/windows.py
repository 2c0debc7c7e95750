"""Where an image is cut and how it is resized: integers, once its size is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.operation.parameter_types import pair
from augfeed.philox import Stream, draw
from augfeed.plan.batch_rows import Ids
from augfeed.plan.draws import TRIES, between
from augfeed.plan.filters import WINDOW, filters_of
from augfeed.plan.sharing import VIEW_BITS, Sharing, without_views
from augfeed.policy import (
    CenterCrop,
    Letterbox,
    Policy,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Window,
    resized,
)

Pixels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Windows:
    """What is cut of every image: box, then resize, then offset; all in whole pixels.

    `box` int32 `[N, 4]` is (top, left, height, width) in the source, always inside it; it is
    resized to `resized` int32 `[N, 2]` by a filter of `augfeed.constants`, `filters` int32 `[N]`;
    output pixel (y, x) is pixel `(offset[0] + y, offset[1] + x)` of that, and outside it the
    padding rule holds.
    """

    box: Pixels
    resized: Pixels
    offset: Pixels
    filters: Pixels

    @property
    def parts(self) -> tuple[Pixels, Pixels, Pixels, Pixels]:
        """Box, resized, offset and filters, in this order."""
        return self.box, self.resized, self.offset, self.filters

    def take(self, rows: Ids) -> "Windows":
        """Return the windows of some rows."""
        return Windows(self.box[rows], self.resized[rows], self.offset[rows], self.filters[rows])

    def inside(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return bool `[N]`: whether an output of `size` (height, width) needs no padding."""
        last = self.offset + np.array(size, np.int32)
        within: NDArray[np.bool_] = np.all((self.offset >= 0) & (last <= self.resized), axis=1)
        return within

    @property
    def whole_pixels(self) -> bool:
        """Whether nothing is resized, so that a window is a mere offset into the box."""
        return bool((self.box[:, 2:] == self.resized).all())


@dataclass(frozen=True, slots=True)
class WindowDraws:
    """The random numbers of the windows of some samples; sizes turn them into windows."""

    policy: Policy
    seed: int
    epoch: int
    ids: Ids
    sharing: Sharing | None = None
    boxes: Sequence[NDArray[np.float64]] | None = None  # of each sample, where they draw windows

    def at(self, heights: Any, widths: Any) -> Windows:
        """Return the windows of samples whose images have these heights and widths."""
        window = _window(self.policy)
        if window is not None and window.by_boxes:
            return self._by_boxes(window, heights, widths)
        one = np.ndim(heights) == np.ndim(widths) == 0 and not isinstance(window, RandomResizedCrop)
        # Images of one size are reckoned with once, as one row that stands for all.
        shape = (1,) if one else self.ids.shape
        sizes = np.empty((*shape, 2), np.int64)
        sizes[:, 0], sizes[:, 1] = heights, widths
        if not isinstance(window, RandomResizedCrop):
            return self._crop(window, sizes)
        if self.sharing is None or not self.sharing.inside:
            return self._resized_crop(window, sizes)
        outer = self._outer(self.sharing, sizes)
        made = self._resized_crop(window, outer[:, 2:].astype(np.int64))
        made.box[:, :2] += outer[:, :2]
        return made

    def _by_boxes(self, window: Any, heights: Any, widths: Any) -> Windows:
        from augfeed.plan.box_windows import boxed_windows

        if self.boxes is None:
            raise InputError(f"{window.op!r} is drawn by boxes, and there are none: leave it out")
        sizes = np.empty((len(self.ids), 2), np.int64)
        sizes[:, 0], sizes[:, 1] = heights, widths
        return boxed_windows(self, sizes, self.boxes)

    def _outer(self, sharing: Sharing, sizes: Ids) -> Pixels:
        # The boxes of the views in whose windows these are.
        found, chosen = np.empty((len(self.ids), 4), np.int32), sharing.outer(self.ids)
        for k, (policy, number) in enumerate(sharing.inside):
            rows = np.flatnonzero(chosen == k)
            ids = without_views(self.ids[rows]) | number << VIEW_BITS
            draws = WindowDraws(policy, self.seed, self.epoch, ids, replace(sharing, inside=()))
            found[rows] = draws.at(sizes[rows, 0], sizes[rows, 1]).box
        return found

    @property
    def _keys(self) -> Ids:
        shared = self.sharing is not None and self.sharing.crop
        return without_views(self.ids) if shared else self.ids

    def offsets(self, height: int, width: int) -> Pixels:
        """Return `at(height, width).offset`, for images of one size."""
        window = _window(self.policy)
        if isinstance(window, RandomResizedCrop) or not len(self.ids):
            return self.at(height, width).offset
        return self._offsets(window, *_room_of(self.policy, height, width)[1:])

    def take(self, rows: Any) -> "WindowDraws":
        """Return the draws of some rows only."""
        boxes = self.boxes
        if boxes is not None:
            boxes = [boxes[k] for k in np.arange(len(self.ids))[rows]]
        return WindowDraws(self.policy, self.seed, self.epoch, self.ids[rows], self.sharing, boxes)

    def _crop(self, window: RandomCrop | CenterCrop | Letterbox | None, sources: Ids) -> Windows:
        sizes, room, offset = _room(self.policy, window, sources, refuse=len(self.ids) > 0)
        box = self._every(np.concatenate([np.zeros_like(sources), sources], axis=1))
        offsets = self._offsets(window, room, offset)
        return Windows(box, self._every(sizes), offsets, self.filters(self.policy.find(Resize)))

    def _offsets(self, window: Any, room: Ids, otherwise: Ids) -> Pixels:
        from augfeed.kernels.draw_columns import fill_offsets

        if not isinstance(window, RandomCrop):
            return self._every(otherwise)
        drawn = np.empty((len(self.ids), 2), np.int32)
        u = draw(self.seed, self.epoch, self._keys, [(Stream.CROP, 0, 4)])
        fill_offsets(u, window.p, room, window.padding, otherwise, drawn)
        return drawn

    def filters(self, resizing: Any) -> Pixels:
        """Return the filters of all samples, as an operation that resizes says."""
        wanted = resizing.interpolation if resizing else "bilinear"
        return filters_of(wanted, self.seed, self.epoch, self._keys, WINDOW)

    def _every(self, values: Ids) -> Pixels:
        # One row for each sample, where one row stood for all.
        rows = np.ascontiguousarray(values, np.int32)
        return rows if len(rows) == len(self.ids) else rows.repeat(len(self.ids), axis=0)

    def _resized_crop(self, window: RandomResizedCrop, sizes: Ids) -> Windows:
        from augfeed.kernels.draw_columns import fill_resized_crops

        count = len(self.ids)
        u = draw(self.seed, self.epoch, self._keys, [(Stream.CROP, 0, 4 * (TRIES + 1))])
        # NumPy's own `exp`: another one's last bit could move a crop.
        low, high = np.log(window.ratio[0]), np.log(window.ratio[1])
        ratios = np.exp(between(u[5::4], low, high))
        box = np.empty((count, 4), np.int32)
        fill_resized_crops(u, ratios, window.p, window.scale, window.ratio, sizes, box)
        size = np.empty((count, 2), np.int32)
        size[:] = pair(window.size)
        return Windows(box, size, np.zeros_like(size), self.filters(window))


def _window(policy: Policy) -> Any:
    return next((item for item in policy.operations if isinstance(item, Window)), None)


@lru_cache(maxsize=64)  # asked for every batch
def _room_of(policy: Policy, height: int, width: int) -> tuple[Ids, Ids, Ids]:
    return _room(policy, _window(policy), np.array([[height, width]], np.int64), refuse=True)


def _room(
    policy: Policy,
    window: RandomCrop | CenterCrop | Letterbox | None,
    sources: Ids,
    *,
    refuse: bool,
) -> tuple[Ids, Ids, Ids]:  # fmt: skip
    # The sizes of images once they are resized, how far an output may move in them, padding
    # included, and where it lies if it does not.
    sizes = _resized(policy.find(Resize), sources)
    if isinstance(window, Letterbox):
        fitted = fitting(sizes, pair(window.size))
        return fitted, np.zeros_like(fitted), -((np.array(pair(window.size)) - fitted) // 2)
    size = np.array(pair(window.size), np.int64) if window else sizes
    padding = window.padding if isinstance(window, RandomCrop) else 0
    room = sizes + 2 * padding - size
    if refuse and room.min() < 0:
        row = int(np.argmin(room.min(axis=1)))
        _refuse(window, tuple(sources[row].tolist()), sizes[row], padding, policy.name)
    offset = (sizes - size) // 2 if window else np.zeros_like(sizes)
    if isinstance(window, CenterCrop):
        offset = np.round((sizes - size) / 2).astype(np.int64)
    return sizes, room, offset


def fitting(sizes: Ids, size: tuple[int, int], zoom: Any = 1.0) -> Ids:
    """Return int64 `[N, 2]`: sizes resized so that they fit `size`, times a zoom `[N]`."""
    factor = np.min(np.array(size) / sizes, axis=1) * zoom
    made: Ids = np.maximum(np.rint(sizes * factor[:, None]).astype(np.int64), 1)
    return made


def _resized(resize: Resize | None, sources: Ids) -> Ids:
    if resize is None:
        return sources
    kinds, rows = np.unique(sources, axis=0, return_inverse=True)
    made = np.array([resized(resize, (int(h), int(w))) for h, w in kinds], np.int64)
    return made.reshape(-1, 2)[rows.ravel()]


def _refuse(
    window: Any, source: tuple[int, int], sizes: Ids, padding: int, preset: str | None
) -> None:
    name = window.op if window else "resize"
    have = f"{sizes[0]} x {sizes[1]} pixels"
    if tuple(sizes) != source:
        have += f" after resizing {source[0]} x {source[1]}"
    have += f" with padding={padding} on each side" if padding else ""
    raise InputError(
        f"{name}(size={pair(window.size)!r}) is larger than an image of {have}: "
        + (f"give the preset its size, as in {preset}({min(sizes)}), " if preset else "")
        + "use a smaller size, a resize before it, random_resized_crop, or random_crop with padding"
    )

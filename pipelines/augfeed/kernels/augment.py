"""The one pass: from a uint8 or float image to planes of the model's input."""

from typing import Any

import numpy as np
from numba import njit

from augfeed.constants import CUTMIX, LUMA, MIXUP
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels._linear import compose, needs_mean
from augfeed.kernels._pointwise import changes_points
from augfeed.kernels.color import MATRIX, PLAIN, STEPS, color_strip, finish_matrix
from augfeed.kernels.frames import frame_of
from augfeed.kernels.noise import (
    CHUNK,
    add_normal,
    erase_with_noise,
    pixel_numbers,
    salt_and_pepper,
)
from augfeed.kernels.nontemporal_copy import stream_copy
from augfeed.kernels.place import FAST, Edges, Frame, U, edges_of
from augfeed.kernels.sample import mean_color, sample_strip
from augfeed.kernels.types import Array, Floats, Ints, Words
from augfeed.philox import Stream

RED, GREEN, BLUE = LUMA
STRIP = 1024  # pixels of a strip: three channels of it, twice, fit the nearest cache
ERASE_PIXELS, NOISE_PIXELS, SALT_PIXELS = (
    int(stream) for stream in (Stream.ERASE_PIXELS, Stream.NOISE_PIXELS, Stream.SALT_PIXELS)
)


@njit(nogil=True)
def _frame(
    images: tuple[int, int, int, int], frames: tuple[int, int, int, int], row: Any,
    size: tuple[int, int],
) -> Frame:  # fmt: skip
    # Where what a row shows lies: in its image, or as a frame that was made before.
    if row.made < 0:
        return frame_of(images, row, size)
    start = U(row.made) * U(size[0] * size[1] * frames[3])
    return Frame(start, size[0], size[1], frames[3], 0, 0, size[0], size[1])


@njit(nogil=True)
def _color(
    flat: Array, frame: Frame, edges: Edges, row: Any, r: int, fixed: Any, statistics: Floats,
    linear: Floats, spare: Floats, maps: Floats,
) -> int:  # fmt: skip
    # Writes the color map of a row and returns how it is to be used.
    points, mean = changes_points(row), 0.0
    if needs_mean(row):
        red, green, blue = mean_color(flat, frame, edges, fixed.scale)
        mean = RED * red + GREEN * green + BLUE * blue if frame.channels == 3 else red
    changed = compose(row, mean, linear, spare)
    finish_matrix(linear, fixed.scale, statistics[2:] if points else statistics, maps, r)
    return STEPS if points else MATRIX if changed else PLAIN


@njit(nogil=True, fastmath=FAST)
def _blend(planes: Floats, at: Any, second: Floats, start: Any, count: int, lam: Any) -> None:
    rest = np.float32(1.0) - lam
    for i in range(count):
        planes[at + U(i)] = planes[at + U(i)] * lam + second[start + U(i)] * rest


@njit(nogil=True)
def _paste(
    planes: Floats, at: Any, width: int, second: Floats, start: Any, lines: int, count: int
) -> None:
    for _ in range(lines):
        for i in range(count):
            planes[at + U(i)] = second[start + U(i)]
        at, start = at + U(width), start + U(count)


@njit(nogil=True)
def _patch(row: Any, y0: int, y1: int, width: int) -> tuple[int, int, int, int]:
    # The part (first line, end, first pixel, count) of lines y0 to y1 that a partner is seen in.
    if row.mode == CUTMIX:
        count = row.patch3 - row.patch1 if row.patch0 < y1 and y0 < row.patch2 else 0
        return max(y0, row.patch0), min(y1, row.patch2), row.patch1, count
    return y0, y1, 0, width if row.mode == MIXUP else 0


@njit(nogil=True)
def _hide(planes: Floats, at: Any, width: int, row: Any, fill: Any) -> None:
    for y in range(row.cutout0, row.cutout2):
        for x in range(row.cutout1, row.cutout3):
            planes[at + U(y * width + x)] = fill


@njit(nogil=True)
def _erase(
    planes: Floats, at: Any, c: int, size: tuple[int, int], box: tuple[int, int, int, int],
    row: Any, fixed: Any, quantiles: Floats,
) -> None:  # fmt: skip
    if fixed.erase_noise:
        key = (fixed.seed, fixed.epoch, row.id, ERASE_PIXELS)
        numbers = pixel_numbers(size[0] * size[1], c, key)
        table = quantiles if fixed.normalized else quantiles[:0]
        erase_with_noise(planes, at, size[1], box, numbers, table)
        return
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            planes[at + U(y * size[1] + x)] = fixed.erase_fill


@njit(nogil=True)
def _unpacked(first: int, last: int) -> tuple[int, int, int, int]:
    return first >> 16 & 0xFFFF, first & 0xFFFF, last >> 16 & 0xFFFF, last & 0xFFFF


@njit(nogil=True)
def _erase_all(
    planes: Floats, at: Any, c: int, size: tuple[int, int], row: Any, fixed: Any, quantiles: Floats
) -> None:
    box = (row.erased0, row.erased1, row.erased2, row.erased3)
    _erase(planes, at, c, size, box, row, fixed, quantiles)
    if row.erased_more1 or row.erased_more3 or row.erased_more5:
        for first, last in (
            (row.erased_more0, row.erased_more1), (row.erased_more2, row.erased_more3),
            (row.erased_more4, row.erased_more5),
        ):  # fmt: skip
            _erase(planes, at, c, size, _unpacked(first, last), row, fixed, quantiles)


@njit(nogil=True)
def _over(
    planes: Floats, at: Any, size: tuple[int, int], row: Any, fixed: Any, statistics: Floats,
    quantiles: Floats, words: Words,
) -> None:  # fmt: skip
    # Occlusion and noise, a whole plane at a time.
    count = size[0] * size[1]
    stride = U(count)
    for c in range(statistics.shape[1]):
        start = at + U(c) * stride
        if row.cutout2 > row.cutout0:
            _hide(planes, start, size[1], row, fixed.cutout_fill)
        if row.erased2 > row.erased0 or row.erased_more1 or row.erased_more3 or row.erased_more5:
            _erase_all(planes, start, c, size, row, fixed, quantiles)
        if row.sigma > 0.0:
            key = (fixed.seed, fixed.epoch, row.id, NOISE_PIXELS)
            sigma = row.sigma * statistics[4, c]
            add_normal(planes, start, count, c, key, sigma, words, quantiles)
    if row.salt > 0:
        numbers = pixel_numbers(count, 0, (fixed.seed, fixed.epoch, row.id, SALT_PIXELS))
        for c in range(statistics.shape[1]):
            mean, std = statistics[0, c], statistics[1, c]
            black, white = -mean / std, (np.float32(1.0) - mean) / std
            below = (row.pepper, row.salt)
            salt_and_pepper(planes, at + U(c) * stride, numbers, below, black, white)


@njit(nogil=True)
def _all_colors(
    images: Array, frames: Array, size: tuple[int, int], which: Ints, rows: Array, fixed: Any,
    statistics: Floats, maps: Floats, uses: Ints,
) -> None:  # fmt: skip
    # The color maps of the rows that come out and of their partners, each once.
    edges = edges_of(fixed)
    flat, made = images.reshape(images.size), frames.reshape(frames.size)
    channels = images.shape[3]
    linear, spare = np.empty((channels, channels + 1)), np.empty((3, 4))
    for k in range(which.shape[1]):
        r = which[0, k]
        for _ in range(2):
            if uses[r] < 0:
                frame = _frame(images.shape, frames.shape, rows[r], size)
                source = flat if rows[r].made < 0 else made
                uses[r] = _color(source, frame, edges, rows[r], r, fixed, statistics, linear,
                                 spare, maps)  # fmt: skip
            r = rows[r].partner if rows[r].mode else r


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def augment(
        images: Array, frames: Array, which: Ints, rows: Array, shared: Array, statistics: Floats,
        quantiles: Floats, out: Floats,
    ) -> int:  # fmt: skip
        """Write rows of a plan to `out`, float32 `[count, C, H, W]`, C-contiguous.

        `images` `[N, h, w, C]` is uint8 or float32, and so are `frames` `[K, H, W, C]`, which rows
        read that `materialize` made one for; `rows` of `ROW`; `shared` one `FIXED`;
        `statistics` float32 `[5, C]` mean, std, zeros, ones, factor of sigma; `quantiles` float32
        `[65536]`. `which` int64 `[2, n]` holds rows and, for each, its place in `out`.
        """
        fixed, flat, target = shared[0], images.reshape(images.size), out.reshape(out.size)
        made = frames.reshape(frames.size)
        _, channels, height, width = out.shape
        whole_picture = channels * height * width
        planes = np.empty(whole_picture, np.float32) if fixed.stream else target
        size, stride = (height, width), U(height * width)
        edges = edges_of(fixed)
        lines = max(1, STRIP // width)
        places = np.empty(2 * width, np.int32)
        floats = np.empty(max(2, channels) * width, np.float32)
        second = np.empty(channels * lines * width, np.float32)
        words = np.empty((4, CHUNK), np.uint32)
        maps = np.empty((rows.size, channels, channels + 1), np.float32)
        uses = np.full(rows.size, -1, np.int64)
        _all_colors(images, frames, size, which, rows, fixed, statistics, maps, uses)
        for k in range(which.shape[1]):
            b = which[0, k]
            row, to = rows[b], which[1, k] * whole_picture
            at = U(0) if fixed.stream else U(to)
            own = _frame(images.shape, frames.shape, row, size)
            p = row.partner if row.mode else b
            other = _frame(images.shape, frames.shape, rows[p], size)
            mine, theirs = flat if row.made < 0 else made, flat if rows[p].made < 0 else made
            for y0 in range(0, height, lines):
                y1 = min(y0 + lines, height)
                here = at + U(y0 * width)
                sample_strip(mine, own, row, (y0, y1, 0, width), edges, places, floats, planes,
                             here, stride)  # fmt: skip
                color_strip(planes, here, stride, (y1 - y0) * width, uses[b], maps, b, row,
                            statistics)  # fmt: skip
                first, end, x0, count = part = _patch(row, y0, y1, width)
                whole = max(end - first, 0) * count
                if whole <= 0:
                    continue
                sample_strip(theirs, other, rows[p], part, edges, places, floats, second, U(0),
                             U(whole))  # fmt: skip
                color_strip(second, U(0), U(whole), whole, uses[p], maps, p, rows[p], statistics)
                for c in range(channels):
                    spot, start = at + U(c) * stride + U(first * width + x0), U(c * whole)
                    if row.mode == MIXUP:
                        _blend(planes, spot, second, start, whole, row.lam)
                    else:
                        _paste(planes, spot, width, second, start, end - first, count)
            _over(planes, at, size, row, fixed, statistics, quantiles, words)
            if fixed.stream:
                stream_copy(target, to, planes, whole_picture)
        return sources

    return augment


augment = _compile(SOURCES)

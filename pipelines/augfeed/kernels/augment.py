"""The one pass: from a uint8 or float image to the model's input."""

from typing import Any, NamedTuple

import numpy as np

from augfeed.constants import CUTMIX, LUMA, MIXUP
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels._linear import compose, needs_mean
from augfeed.kernels._pointwise import changes_points
from augfeed.kernels.affine import identity
from augfeed.kernels.cast_output import FLOAT32, SPARE_BYTES, Spare, store_image, typed
from augfeed.kernels.color import MATRIX, PLAIN, STEPS, color_strip, finish_matrix
from augfeed.kernels.frames import frame_of
from augfeed.kernels.inner import njit
from augfeed.kernels.interleave import BLOCK
from augfeed.kernels.noise import (
    NOISE_WORDS,
    Noise,
    add_normal,
    erase_with_noise,
    noise_memory,
    plane_numbers,
    salt_and_pepper,
)
from augfeed.kernels.nontemporal_copy import first_of_line, stream_fence
from augfeed.kernels.place import FAST, Edges, Frame, U, edges_of
from augfeed.kernels.pointers import keep, moved, pointer_to
from augfeed.kernels.prefetch_lines import prefetch_image
from augfeed.kernels.sample import Totals, mean_color, sample_strip
from augfeed.kernels.types import Array, Bytes, Floats, Index, Ints, Record
from augfeed.kernels.whole_frame import line_scratch, whole_size
from augfeed.philox import Stream

RED, GREEN, BLUE = LUMA
STRIP = 1024  # pixels of a strip: three channels of it, twice, fit the nearest cache
ERASE_PIXELS, NOISE_PIXELS, SALT_PIXELS = (
    int(stream) for stream in (Stream.ERASE_PIXELS, Stream.NOISE_PIXELS, Stream.SALT_PIXELS)
)


@njit(nogil=True)
def _frame(
    images: tuple[int, int, int, int], frames: tuple[int, int, int, int], row: Record,
    size: tuple[int, int],
) -> Frame:  # fmt: skip
    # Where what a row shows lies: in its image, or as a frame that was made before.
    if row.made < 0:
        return frame_of(images, row, size)
    start = U(row.made) * U(size[0] * size[1] * frames[3])
    return Frame(start, size[0], size[1], frames[3], 0, 0, size[0], size[1])


class Statistics(NamedTuple):
    """Pointers to values of each channel, float32."""

    means: Any
    stds: Any
    zeros: Any
    ones: Any
    factors: Any  # of sigma


class Colors(NamedTuple):
    """Memory for the color maps of all rows, and for making one."""

    linear: Floats  # float64 `[C, C + 1]`
    spare: Floats  # float64 `[3, 4]`
    plain: Any  # a pointer to the map of rows whose colors stay as they are
    maps: Any  # a pointer to all, `[M, C, C + 1]`
    totals: Totals


@njit(nogil=True)
def _statistics(values: Floats) -> Statistics:
    return Statistics(pointer_to(values[0]), pointer_to(values[1]), pointer_to(values[2]),
                      pointer_to(values[3]), pointer_to(values[4]))  # fmt: skip


@njit(nogil=True)
def _color(
    flat: Any, frame: Frame, edges: Edges, row: Record, at: Index, fixed: Record,
    statistics: Statistics, colors: Colors,
) -> int:  # fmt: skip
    # Writes the color map of a row from maps[at] on, and returns how it is to be used.
    points, mean = changes_points(row), 0.0
    if needs_mean(row):
        red, green, blue = mean_color(flat, frame, edges, fixed.scale, colors.totals)
        mean = RED * red + GREEN * green + BLUE * blue if frame.channels == 3 else red
    changed = compose(row, mean, colors.linear, colors.spare)
    if points:
        finish_matrix(colors.linear, fixed.scale, statistics.zeros, statistics.ones, colors.maps,
                      at)  # fmt: skip
        return STEPS
    if changed:
        finish_matrix(colors.linear, fixed.scale, statistics.means, statistics.stds, colors.maps,
                      at)  # fmt: skip
        return MATRIX
    for k in range(frame.channels * (frame.channels + 1)):
        colors.maps[at + U(k)] = colors.plain[k]
    return PLAIN


@njit(nogil=True, fastmath=FAST)
def _blend(planes: Floats, at: Index, second: Floats, start: Index, count: int, lam: Any) -> None:
    rest = np.float32(1.0) - lam
    for i in range(count):
        planes[at + U(i)] = planes[at + U(i)] * lam + second[start + U(i)] * rest


@njit(nogil=True)
def _paste(
    planes: Floats, at: Index, width: int, second: Floats, start: Index, lines: int, count: int
) -> None:
    for _ in range(lines):
        for i in range(count):
            planes[at + U(i)] = second[start + U(i)]
        at, start = at + U(width), start + U(count)


@njit(nogil=True)
def _patch(row: Record, y0: int, y1: int, width: int) -> tuple[int, int, int, int]:
    # The part (first line, end, first pixel, count) of lines y0 to y1 that a partner is seen in.
    if row.mode == CUTMIX:
        count = row.patch3 - row.patch1 if row.patch0 < y1 and y0 < row.patch2 else 0
        return max(y0, row.patch0), min(y1, row.patch2), row.patch1, count
    return y0, y1, 0, width if row.mode == MIXUP else 0


@njit(nogil=True)
def _hide(planes: Floats, at: Index, width: int, row: Record, fill: Any) -> None:
    for y in range(row.cutout0, row.cutout2):
        for x in range(row.cutout1, row.cutout3):
            planes[at + U(y * width + x)] = fill


@njit(nogil=True)
def _erase(
    planes: Floats, at: Index, c: int, size: tuple[int, int], box: tuple[int, int, int, int],
    row: Record, fixed: Record, quantiles: Any,
) -> None:  # fmt: skip
    if fixed.erase_noise:
        key = (fixed.seed, fixed.epoch, row.id, ERASE_PIXELS)
        numbers = plane_numbers(size[0] * size[1], fixed.plane + c, key)
        erase_with_noise(planes, at, size[1], box, numbers, quantiles, fixed.normalized)
        return
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            planes[at + U(y * size[1] + x)] = fixed.erase_fill


@njit(nogil=True)
def _unpacked(first: int, last: int) -> tuple[int, int, int, int]:
    return first >> 16 & 0xFFFF, first & 0xFFFF, last >> 16 & 0xFFFF, last & 0xFFFF


@njit(nogil=True)
def _erase_all(
    planes: Floats,
    at: Index,
    c: int,
    size: tuple[int, int],
    row: Record,
    fixed: Record,
    quantiles: Any,
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
    planes: Any, at: Index, size: tuple[int, int, int], row: Record, fixed: Record,
    statistics: Statistics, noise: Noise,
) -> None:  # fmt: skip
    # Occlusion and noise, a whole plane at a time.
    channels, plane = size[0], (size[1], size[2])
    count = size[1] * size[2]
    stride = U(count)
    for c in range(channels):
        start = at + U(c) * stride
        if row.cutout2 > row.cutout0:
            _hide(planes, start, size[2], row, fixed.cutout_fill)
        if row.erased2 > row.erased0 or row.erased_more1 or row.erased_more3 or row.erased_more5:
            _erase_all(planes, start, c, plane, row, fixed, noise.quantiles)
    if row.sigma > 0.0:
        key = (fixed.seed, fixed.epoch, row.id, NOISE_PIXELS)
        add_normal(planes, at, (fixed.plane, channels, count), key, row.sigma, statistics.factors,
                   noise)  # fmt: skip
    if row.salt > 0:
        numbers = plane_numbers(count, 0, (fixed.seed, fixed.epoch, row.id, SALT_PIXELS))
        for c in range(channels):
            mean, std = statistics.means[c], statistics.stds[c]
            black, white = -mean / std, (np.float32(1.0) - mean) / std
            below = (row.pepper, row.salt)
            salt_and_pepper(planes, at + U(c) * stride, numbers, below, black, white)


@njit(nogil=True)
def _span(which: Ints, rows: Array) -> tuple[int, int]:
    # From which row, and to before which, those that come out and their partners lie: some of many.
    low, end = rows.size, 0
    for k in range(which.shape[1]):
        r = which[0, k]
        p = rows[r].partner if rows[r].mode else r
        low, end = min(low, r, p), max(end, r + 1, p + 1)
    return low, max(end, low)


@njit(nogil=True)
def _all_colors(
    images: Array, frames: Array, size: tuple[int, int], which: Ints, rows: Array, fixed: Record,
    statistics: Statistics, maps: Floats,
) -> Ints:  # fmt: skip
    # The color maps of the rows that come out and of their partners, each once; returns their uses.
    edges, (low, end) = edges_of(fixed), _span(which, rows)
    flat, made, uses = pointer_to(images), pointer_to(frames), np.full(end - low, -1, np.int64)
    channels, width = images.shape[3], size[1]
    each = channels * (channels + 1)
    linear, spare, plain = (
        np.empty((channels, channels + 1)),
        np.empty((3, 4)),
        np.empty(each, np.float32),
    )
    identity(linear)
    finish_matrix(linear, fixed.scale, statistics.means, statistics.stds, plain, U(0))
    levels, floats, sums = (
        np.empty(width * channels, np.uint32),
        np.empty(width * channels),
        np.empty(3),
    )
    held = (linear, spare, plain, levels, floats, sums)
    totals = Totals(pointer_to(levels), pointer_to(floats), pointer_to(sums))
    colors = Colors(linear, spare, pointer_to(plain), pointer_to(maps), totals)
    for k in range(which.shape[1]):
        r = which[0, k]
        if k + 1 < which.shape[1]:
            after = rows[which[0, k + 1]]
            if after.made < 0 and needs_mean(after):
                prefetch_image(flat, images.shape, after.place)
        for _ in range(2):
            if uses[r - low] < 0:
                frame = _frame(images.shape, frames.shape, rows[r], size)
                source = flat if rows[r].made < 0 else made
                uses[r - low] = _color(source, frame, edges, rows[r], U((r - low) * each), fixed,
                                       statistics, colors)  # fmt: skip
            r = rows[r].partner if rows[r].mode else r
    return uses if keep(held) else uses[:0]


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def augment(
        images: Array, frames: Array, which: Ints, rows: Array, shared: Array, values: Floats,
        quantiles: Floats, out: Bytes,
    ) -> int:  # fmt: skip
        """Write rows of a plan to `out`, the memory of a batch as bytes.

        `images` `[N, h, w, C]` is uint8 or float32, and so are `frames` `[K, H, W, C]`, which rows
        read that `materialize` made one for; `rows` of `ROW`; `shared` one `FIXED`, which names the
        size, element type and layout of what is written; `values` float32 `[5, C]` mean, std,
        zeros, ones, factor of sigma; `quantiles` float32 `[65536]`. `which` int64 `[2, n]` holds
        rows and, for each, its place in the batch.
        """
        fixed, given, statistics = shared[0], typed(out), _statistics(values)
        flat, made, means, stds = (pointer_to(images), pointer_to(frames), statistics.means,
                                   statistics.stds)  # fmt: skip
        channels, height, width = values.shape[1], fixed.height, fixed.width
        whole_image, each = channels * height * width, channels * (channels + 1)
        lines, size, stride = max(1, STRIP // width), (height, width), U(height * width)
        low, end = _span(which, rows)
        direct = fixed.kind == FLOAT32 and not (fixed.last or fixed.stream)
        edges, scratch = edges_of(fixed), line_scratch(height, width, channels)
        held = (
            np.empty(0 if direct else whole_image + BLOCK, np.float32),
            np.empty(channels * lines * width, np.float32),
            np.empty((end - low) * each, np.float32),
            np.empty(scratch + whole_size(height, width, channels), np.float32),
            np.empty(scratch, np.int32),
            np.empty(NOISE_WORDS, np.uint32),
            np.empty((2, 0 if direct else channels * SPARE_BYTES), np.uint8),
        )
        planes = given.floats if direct else pointer_to(held[0])
        second, maps = pointer_to(held[1]), pointer_to(held[2])
        floats, places = pointer_to(held[3]), pointer_to(held[4])
        noise, begin = noise_memory(quantiles, held[5]), U(first_of_line(planes))
        spare = Spare(typed(held[6][0]), typed(held[6][1]))
        uses = _all_colors(images, frames, size, which, rows, fixed, statistics, held[2])
        for k in range(which.shape[1]):
            b = which[0, k]
            row, to = rows[b], which[1, k] * whole_image
            at = U(to) if direct else begin
            own = _frame(images.shape, frames.shape, row, size)
            p = row.partner if row.mode else b
            other = _frame(images.shape, frames.shape, rows[p], size)
            mine, theirs = flat if row.made < 0 else made, flat if rows[p].made < 0 else made
            if k + 1 < which.shape[1] and rows[which[0, k + 1]].made < 0:
                prefetch_image(flat, images.shape, rows[which[0, k + 1]].place)
            for y0 in range(0, height, lines):
                y1 = min(y0 + lines, height)
                here = at + U(y0 * width)
                sample_strip(mine, own, row, (y0, y1, 0, width), edges, places, floats, planes,
                             here, stride)  # fmt: skip
                color_strip(planes, here, (stride, (y1 - y0) * width, channels), uses[b - low],
                            moved(maps, (b - low) * each), row, means, stds)  # fmt: skip
                first, end, x0, count = part = _patch(row, y0, y1, width)
                whole = max(end - first, 0) * count
                if whole <= 0:
                    continue
                sample_strip(theirs, other, rows[p], part, edges, places, floats, second, U(0),
                             U(whole))  # fmt: skip
                color_strip(second, U(0), (U(whole), whole, channels), uses[p - low],
                            moved(maps, (p - low) * each), rows[p], means, stds)  # fmt: skip
                for c in range(channels):
                    spot, start = at + U(c) * stride + U(first * width + x0), U(c * whole)
                    if row.mode == MIXUP:
                        _blend(planes, spot, second, start, whole, row.lam)
                    else:
                        _paste(planes, spot, width, second, start, end - first, count)
            _over(planes, at, (channels, height, width), row, fixed, statistics, noise)
            if not direct:
                store_image(planes, at, (channels, height * width), fixed, spare, given, to)
        if fixed.stream:
            stream_fence()
        return sources if keep(held) else 0

    return augment


augment = _compile(SOURCES)

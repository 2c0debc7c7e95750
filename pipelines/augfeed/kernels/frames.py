"""Frames that are made before the pass: cut out of their images, then changed step by step."""

from typing import Any, NamedTuple

import numpy as np

from augfeed.constants import CONSTANT
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels._tables import make_table, makes_table
from augfeed.kernels.byte_tables import look_up
from augfeed.kernels.inner import njit
from augfeed.kernels.levels import LEVELS
from augfeed.kernels.place import FAST, Edges, Frame, U, edges_of, fold
from augfeed.kernels.pointers import pointer_to
from augfeed.kernels.spatial_steps import Rarer, is_spatial, run_spatial
from augfeed.kernels.types import Array, Floats, Index, Ints, Record

REFLECT = 2
COUNTERS = 4  # of each level: equal levels side by side would wait for each other; `sum_up` adds 4
# Float32 of this size are whole numbers: what is added to it is rounded, halves to even.
ROUNDER = np.float32(3 << 22)


@njit(nogil=True)
def frame_of(shape: tuple[int, int, int, int], row: Record, size: tuple[int, int]) -> Frame:
    """Return where the frame of a row lies in images of a shape `[N, h, w, C]`."""
    _, height, width, channels = shape
    start = U(row.place) * U(height * width * channels)
    return Frame(start, height, width, channels, row.top, row.left, size[0], size[1])


@njit(nogil=True)
def _rounded(value: Any) -> Any:
    return (np.float32(value) + ROUNDER) - ROUNDER


@njit(nogil=True)
def _filled(value: Any, scale: float) -> Any:
    return _rounded(value) if scale == 255.0 else np.float32(value)


@njit(nogil=True)
def _copy(flat: Array, first: Index, count: int, out: Array, at: Index) -> None:
    for i in range(count):
        out[at + U(i)] = flat[first + U(i)]


@njit(nogil=True)
def _fill(fill: Any, scale: float, channels: int, pixels: int, out: Array, at: Index) -> None:
    if channels == 3:
        red, green = _filled(fill[0], scale), _filled(fill[1], scale)
        blue = _filled(fill[2], scale)
        for k in range(pixels):
            to = at + U(3 * k)
            out[to], out[to + U(1)], out[to + U(2)] = red, green, blue
    else:
        for i in range(pixels * channels):
            out[at + U(i)] = _filled(fill[i % channels], scale)


@njit(nogil=True)
def _fold_end(
    flat: Array, line: Index, frame: Frame, part: tuple[int, int], mode: int, out: Array, at: Index
) -> None:  # fmt: skip
    # Pixels (first, end) of a line that lie outside, of the image's line that begins at flat[line].
    channels = frame.channels
    for k in range(part[0], part[1]):
        x = fold(k + frame.left, frame.width, mode)
        for c in range(channels):
            out[at + U(k * channels + c)] = flat[line + U(x * channels + c)]


@njit(nogil=True)
def cut_frame(flat: Array, frame: Frame, edges: Edges, scale: float, out: Array, at: Index) -> None:
    """Write a frame, padding included, in the images' own type."""
    channels, count = frame.channels, frame.out_width
    low = min(max(-frame.left, 0), count)
    high = max(min(frame.width - frame.left, count), low)
    for k in range(frame.out_height):
        y = fold(k + frame.top, frame.height, edges.pad_mode)
        line = frame.start + U(max(y, 0) * frame.width * channels)
        if y < 0:
            _fill(edges.pad_fill, scale, channels, count, out, at)
        else:
            first, end = line + U((frame.left + low) * channels), at + U(high * channels)
            _copy(flat, first, (high - low) * channels, out, at + U(low * channels))
            if edges.pad_mode == CONSTANT:
                _fill(edges.pad_fill, scale, channels, low, out, at)
                _fill(edges.pad_fill, scale, channels, count - high, out, end)
            else:
                _fold_end(flat, line, frame, (0, low), edges.pad_mode, out, at)
                _fold_end(flat, line, frame, (high, count), edges.pad_mode, out, at)
        at += U(count * channels)


@njit(nogil=True)
def to_levels(values: Floats, at: Index, count: int, levels: Array) -> None:
    """Write the nearest of 256 levels of values; what is not a number is black."""
    for i in range(count):
        v = values[at + U(i)] * np.float32(255.0)
        v = v if v > 0.0 else np.float32(0.0)
        v = v if v < 255.0 else np.float32(255.0)
        levels[U(i)] = np.int32(v + np.float32(0.5))


@njit(nogil=True)
def count_levels(levels: Array, at: Index, pixels: int, channels: int, counts: Array) -> None:
    """Count the levels of a frame into `counts`, `[COUNTERS, C, LEVELS]` as one line."""
    counts[:] = 0
    row = U(LEVELS)
    part = U(channels) * row
    whole = pixels // COUNTERS * COUNTERS
    if channels == 3:
        for p in range(0, whole, COUNTERS):
            i, to = at + U(3 * p), U(0)
            for _ in range(COUNTERS):
                counts[to + U(levels[i])] += 1
                counts[to + row + U(levels[i + U(1)])] += 1
                counts[to + row + row + U(levels[i + U(2)])] += 1
                i, to = i + U(3), to + part
    else:
        for p in range(0, whole, COUNTERS):
            for k in range(COUNTERS):
                for c in range(channels):
                    i = at + U((p + k) * channels + c)
                    counts[U(k) * part + U(c) * row + U(levels[i])] += 1
    for p in range(whole, pixels):
        for c in range(channels):
            counts[U(c) * row + U(levels[at + U(p * channels + c)])] += 1


@njit(nogil=True)
def sum_up(counts: Array, channels: int, c: int, own: Ints) -> None:
    """Write the histogram of a channel to `own`, from those of all counters."""
    part, first = U(channels * LEVELS), U(c * LEVELS)
    for k in range(LEVELS):
        i = first + U(k)
        two = counts[i] + counts[i + part]
        own[U(k)] = two + (counts[i + part + part] + counts[i + part + part + part])


class Tables(NamedTuple):
    """Memory for tables, and what they are made of."""

    levels: Array  # [H * W * C], of floats
    counts: Array  # [COUNTERS, C, LEVELS] as one line
    level: Ints  # 0 to 255
    own: Ints  # the histogram of a channel
    made: Ints  # what becomes of its levels
    table: Array  # [C, LEVELS] as one line, of all channels


@njit(nogil=True)
def _tabulate(
    out: Array, at: Index, pixels: int, channels: int, scale: float, code: int, numbers: Floats,
    spare: Tables,
) -> None:  # fmt: skip
    whole, changed = scale == 255.0, False
    levels, made = pointer_to(spare.levels), spare.made
    if whole:
        count_levels(out, at, pixels, channels, spare.counts)
    else:
        to_levels(out, at, pixels * channels, levels)
        count_levels(levels, U(0), pixels, channels, spare.counts)
    for c in range(channels):
        sum_up(spare.counts, channels, c, spare.own)
        make_table(code, spare.own, spare.level, np.float32(0.0), numbers, made)
        moves = False
        for k in range(LEVELS):
            moves = moves or made[k] >= 0
            spare.table[c * LEVELS + k] = made[k] if made[k] >= 0 else k
        changed = changed or moves
        if moves and not whole:
            for p in range(pixels):
                i = U(p * channels + c)
                level = made[U(levels[i])]
                if level >= 0:
                    out[at + i] = level / np.float32(255.0)
    if changed and whole:
        look_up(out, at, pixels, channels, spare.table)


@njit(nogil=True, fastmath=FAST)
def _weigh(
    source: Floats, places: Ints, weights: Floats, reach: int, sums: Floats, count: int
) -> None:
    # Sums of `count` values from places[0] on, by weights[0], and from places[0, j] and
    # places[1, j] on, by weights[j].
    w, p = weights[0], U(places[0, 0])
    for i in range(count):
        sums[U(i)] = w * source[p + U(i)]
    last = reach - reach % 3
    for j in range(1, last, 3):  # three at a time, so that sums are seldom read and written
        w0, w1, w2 = weights[j], weights[j + 1], weights[j + 2]
        a0, a1, a2 = U(places[0, j]), U(places[0, j + 1]), U(places[0, j + 2])
        b0, b1, b2 = U(places[1, j]), U(places[1, j + 1]), U(places[1, j + 2])
        for i in range(count):
            k = U(i)
            first = w0 * (source[a0 + k] + source[b0 + k])
            second = w1 * (source[a1 + k] + source[b1 + k])
            sums[k] += first + second + w2 * (source[a2 + k] + source[b2 + k])
    for j in range(last + 1, reach + 1):
        w, a, b = weights[j], U(places[0, j]), U(places[1, j])
        for i in range(count):
            k = U(i)
            sums[k] += w * (source[a + k] + source[b + k])


@njit(nogil=True)
def _widen(out: Array, at: Index, width: int, channels: int, reach: int, wide: Floats) -> None:
    # A line, with its reflection beyond both ends.
    begin = U(reach * channels)
    for i in range(width * channels):
        wide[begin + U(i)] = out[at + U(i)]
    for j in range(1, reach + 1):
        for c in range(channels):
            left, right = fold(-j, width, REFLECT), fold(width - 1 + j, width, REFLECT)
            wide[(reach - j) * channels + c] = out[at + U(left * channels + c)]
            wide[(reach + width - 1 + j) * channels + c] = out[at + U(right * channels + c)]


@njit(nogil=True)
def _reach(weights: Floats) -> int:
    # How far from its middle a kernel has any weight.
    last = 0
    for j in range(weights.size):
        last = j if weights[j] > 0.0 else last
    return last


@njit(nogil=True)
def _store(sums: Floats, count: int, scale: float, out: Array, at: Index) -> None:
    if scale == 255.0:
        for i in range(count):
            out[at + U(i)] = (sums[U(i)] + ROUNDER) - ROUNDER
    else:
        for i in range(count):
            out[at + U(i)] = sums[U(i)]


@njit(nogil=True)
def correlate(
    out: Array, at: Index, size: tuple[int, int, int], scale: float, taps: Floats,
    places: Ints, wide: Floats, ring: Floats, sums: Floats,
) -> None:  # fmt: skip
    """Weigh the neighbors of each pixel of a frame by a separable kernel, in place."""
    # In place: a line is written once the lines that it is made of lie, weighed across, in a ring.
    height, width, channels = size
    down, across = _reach(taps[0]), _reach(taps[1])
    values, held = width * channels, 2 * down + 1
    for y in range(-down, height):
        line = y + down  # the last one that line y is made of
        if line < height:
            _widen(out, at + U(line * values), width, channels, across, wide)
            for j in range(across + 1):
                places[0, j], places[1, j] = (across - j) * channels, (across + j) * channels
            slot = line % held * values
            _weigh(wide, places, taps[1], across, ring[slot : slot + values], values)
        if y >= 0:
            for j in range(down + 1):
                places[0, j] = fold(y - j, height, REFLECT) % held * values
                places[1, j] = fold(y + j, height, REFLECT) % held * values
            _weigh(ring, places, taps[0], down, sums, values)
            _store(sums, values, scale, out, at + U(y * values))


class Kernels(NamedTuple):
    """Memory for lines that are weighed by kernels: see `correlate`."""

    places: Ints
    wide: Floats
    ring: Floats
    sums: Floats


@njit(nogil=True)
def tables_of(values: int, channels: int) -> Tables:
    """Return memory for the tables of frames of so many values, 0 of bytes."""
    return Tables(
        np.empty(values, np.uint8),
        np.empty(COUNTERS * channels * LEVELS, np.uint32),
        np.arange(LEVELS),
        np.empty(LEVELS, np.int64),
        np.empty(LEVELS, np.int64),
        np.empty(channels * LEVELS, np.uint8),
    )


@njit(nogil=True)
def kernels_of(size: tuple[int, int, int], most: int) -> Kernels:
    """Return memory for kernels that reach `most` pixels."""
    _, width, channels = size
    return Kernels(
        np.empty((2, most + 1), np.int64),
        np.empty((width + 2 * most) * channels, np.float32),
        np.empty((2 * most + 1) * width * channels, np.float32),
        np.empty(width * channels, np.float32),
    )


@njit(nogil=True)
def change_frame(
    target: Array, at: Index, size: tuple[int, int, int], scale: float, codes: Array,
    numbers: Floats, taps: Floats, spare: Tables, kernels: Kernels, rarer: Rarer,
) -> None:  # fmt: skip
    """Carry out the steps that a policy has for all frames on one of them, in place."""
    pixels, channels = size[0] * size[1], size[2]
    for s in range(codes.size):
        code = codes[s]
        if makes_table(code):
            _tabulate(target, at, pixels, channels, scale, code, numbers[s], spare)
        elif is_spatial(code):
            run_spatial(code, target, at, size, scale, numbers[s], rarer)
        elif rarer is not None and code:
            correlate(target, at, size, scale, taps[s], kernels.places, kernels.wide, kernels.ring,
                      kernels.sums)  # fmt: skip


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def materialise(
        images: Array, rows: Array, which: Ints, codes: Array, numbers: Floats, taps: Floats,
        shared: Array, rarer: Rarer, out: Array,
    ) -> int:  # fmt: skip
        """Write the frames of rows `which` of a plan, after their steps, to `out` `[n, h, w, C]`.

        `images` `[N, h, w, C]` is uint8 or float32, as `out`; `rows` of `ROW`; `shared` one
        `FIXED`. `codes` `[M, K]` are the steps of all rows, `numbers` `[M, K, ...]` what they read,
        `taps` `[n, K, 2, T]` the kernels of those that are made; see
        `augfeed.plan.frames.FrameSteps`. `rarer` is of `augfeed.kernels.spatial_steps`.
        """
        fixed, flat, target = shared[0], pointer_to(images), pointer_to(out)
        _, height, width, channels = out.shape
        pixels, most = height * width, taps.shape[3] - 1
        edges = edges_of(fixed)
        spare = tables_of(0 if fixed.scale == 255.0 else pixels * channels, channels)
        kernels = kernels_of((height, width, channels), most)
        for k in range(which.size):
            r, at = which[k], U(k * pixels * channels)
            frame = frame_of(images.shape, rows[r], (height, width))
            cut_frame(flat, frame, edges, fixed.scale, target, at)
            change_frame(target, at, (height, width, channels), fixed.scale, codes[r], numbers[r],
                         taps[k], spare, kernels, rarer)  # fmt: skip
        return sources

    return materialise


materialise = _compile(SOURCES)

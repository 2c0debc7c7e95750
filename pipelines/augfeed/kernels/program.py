"""Programs on frames of bytes: tables are composed, and pixels changed where they have to be.

Steps that look levels up become one table a channel, with the histogram of what it makes pushed
through; it is carried out before the next step of another kind, and at the end.
"""

from typing import Any, NamedTuple

import numpy as np

from augfeed.constants import LUMA
from augfeed.kernels._tables import make_table, makes_table, needs_counts, needs_gray
from augfeed.kernels.byte_tables import look_up
from augfeed.kernels.chains import Mixture, is_chain, run_chain
from augfeed.kernels.frames import (
    ROUNDER,
    Kernels,
    Tables,
    correlate,
    count_levels,
    sum_up,
)
from augfeed.kernels.hue import turn_hue
from augfeed.kernels.inner import njit
from augfeed.kernels.levels import LEVELS, fill_table
from augfeed.kernels.place import Edges, Frame, U
from augfeed.kernels.pointers import pointer_to
from augfeed.kernels.sample import add_lines
from augfeed.kernels.spatial_steps import Rarer, is_spatial, run_spatial
from augfeed.kernels.types import Array, Floats, Index, Ints, Words
from augfeed.kernels.warp import Map, warp_line
from augfeed.kernels.whole_frame import (
    LINES,
    is_whole,
    line_scratch,
    warp_whole_lines,
    whole_size,
    write_whole,
)

MATRIX, LINEAR, COLOR, HUE = 200, 201, 130, 131  # see `augfeed.ops._steps`
RED, GREEN, BLUE = LUMA
GRAYS = (19595, 38470, 7471)  # of 65536
DIRTY, COUNTED = 0, 1


class Pending(NamedTuple):
    """A table that has not been carried out yet, and histograms without it and with it."""

    table: Array  # uint8 [C * LEVELS]
    raw: Ints  # int64 [C, LEVELS]
    counts: Ints  # int64 [C, LEVELS]
    state: Array  # bool: whether the table changes anything, whether the raw counts are true
    sums: Words  # uint32 [W * C]


class Lines(NamedTuple):
    """Memory for lines of frames."""

    frame: Array  # uint8 [H * W * C]
    places: Ints  # int32, `line_scratch`
    floats: Floats  # as many, and `whole_size` more
    planes: Floats  # of all these lines


@njit(nogil=True)
def _forget(pending: Pending, channels: int) -> None:
    for c in range(channels):
        for k in range(LEVELS):
            pending.table[c * LEVELS + k] = k
    pending.state[DIRTY] = False


@njit(nogil=True)
def _carry_out(
    frame: Array, at: Index, pixels: int, channels: int, pending: Pending
) -> None:  # fmt: skip
    if pending.state[DIRTY]:
        look_up(frame, at, pixels, channels, pending.table)
        _forget(pending, channels)
        pending.state[COUNTED] = False


@njit(nogil=True)
def _count(
    frame: Array, at: Index, pixels: int, channels: int, spare: Tables, pending: Pending
) -> None:  # fmt: skip
    # The histogram of what the pending table makes.
    raw, counts, table = pending.raw, pending.counts, pending.table
    if not pending.state[COUNTED]:
        count_levels(frame, at, pixels, channels, spare.counts)
        for c in range(channels):
            sum_up(spare.counts, channels, c, raw[c])
        pending.state[COUNTED] = True
    for c in range(channels):
        if pending.state[DIRTY]:
            counts[c, :] = 0
            for k in range(LEVELS):
                counts[c, table[c * LEVELS + k]] += raw[c, k]
        else:
            fill_table(raw[c], counts[c])


@njit(nogil=True)
def _sums(
    frame: Array, at: Index, size: tuple[int, int, int], pending: Pending
) -> tuple[Any, Any, Any]:
    # The sum of all values of each channel, after the pending table.
    height, width, channels = size
    values, sums = width * channels, pointer_to(pending.sums)
    _carry_out(frame, at, height * width, channels, pending)
    add_lines(frame, at, U(values), height, values, sums)
    red, green, blue = np.int64(0), np.int64(0), np.int64(0)
    for i in range(0, values, channels):
        red += np.int64(sums[i])
        if channels == 3:
            green += np.int64(sums[i + 1])
            blue += np.int64(sums[i + 2])
    return red, green, blue


@njit(nogil=True)
def _gray(
    frame: Array, at: Index, size: tuple[int, int, int], pending: Pending
) -> Any:  # fmt: skip
    # The nearest level of the mean gray.
    red, green, blue = _sums(frame, at, size, pending)
    pixels = size[0] * size[1]
    if size[2] != 3:
        return np.float32((2 * red + pixels) // (2 * pixels))
    total, whole = GRAYS[0] * red + GRAYS[1] * green + GRAYS[2] * blue, 65536 * pixels
    return np.float32((2 * total + whole) // (2 * whole))


@njit(nogil=True)
def _tabulate(
    frame: Array, at: Index, size: tuple[int, int, int], code: int, numbers: Floats, spare: Tables,
    pending: Pending,
) -> None:  # fmt: skip
    gray, made, level, table = np.float32(0.0), spare.made, spare.level, pending.table
    channels, apart, changed = size[2], False, False
    if needs_gray(code):
        gray = _gray(frame, at, size, pending)
    elif needs_counts(code):
        _count(frame, at, size[0] * size[1], channels, spare, pending)
        apart = True
    dirty = pending.state[DIRTY]
    for c in range(channels):
        if c == 0 or apart:
            make_table(code, pending.counts[c], level, gray, numbers, made)
            for k in range(LEVELS):
                made[U(k)] = made[U(k)] if made[U(k)] >= 0 else k
                changed |= made[U(k)] != k
        first = U(c * LEVELS)
        if dirty:
            for k in range(LEVELS):
                table[first + U(k)] = made[U(table[first + U(k)])]
        else:
            for k in range(LEVELS):
                table[first + U(k)] = made[U(k)]
    pending.state[DIRTY] = dirty or changed


@njit(nogil=True)
def _put_levels(
    planes: Floats, stride: Index, count: int, channels: int, frame: Array, at: Index
) -> None:
    if channels == 3:
        for x in range(count):
            p, to = U(x), at + U(3 * x)
            frame[to] = (planes[p] + ROUNDER) - ROUNDER
            frame[to + U(1)] = (planes[stride + p] + ROUNDER) - ROUNDER
            frame[to + U(2)] = (planes[stride + stride + p] + ROUNDER) - ROUNDER
    else:
        for k in range(count):
            frame[at + U(k)] = (planes[U(k)] + ROUNDER) - ROUNDER


@njit(nogil=True)
def _warp(
    frame: Array, at: Index, size: tuple[int, int, int], numbers: Floats, kind: int, edges: Edges,
    lines: Lines,
) -> None:  # fmt: skip
    height, width, channels = size
    values = width * channels
    row = Map(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
              numbers[7], numbers[8], kind)  # fmt: skip
    source = Frame(U(0), height, width, channels, 0, 0, height, width)
    given, planes, stride = pointer_to(lines.frame), pointer_to(lines.planes), U(width)
    places, floats = pointer_to(lines.places), pointer_to(lines.floats)
    for k in range(height * values):
        given[U(k)] = frame[at + U(k)]
    if is_whole(source, edges, kind):
        write_whole(given, source, edges, floats)
        stride = U(width * LINES)
        for y in range(0, height, LINES):
            part = y, min(y + LINES, height), 0, width
            warp_whole_lines(source, row, part, places, floats, planes, U(0), stride)
            count = (part[1] - y) * width
            _put_levels(planes, stride, count, 3, frame, at)
            at = at + U(3 * count)
        return
    for y in range(height):
        warp_line(given, source, edges, row, (y, 0, width), places, floats, planes, U(0), stride)
        _put_levels(planes, stride, width, channels, frame, at)
        at = at + U(values)


@njit(nogil=True)
def _level(value: Any) -> Any:
    held = min(max(value, np.float32(0.0)), np.float32(255.0))
    return (held + ROUNDER) - ROUNDER


@njit(nogil=True)
def _combine(
    frame: Array, at: Index, size: tuple[int, int, int], numbers: Floats, pending: Pending
) -> None:  # fmt: skip
    # A linear map of values from 0 to 1; the mean gray may count.
    average, full = 0.0, np.float32(255.0)
    pixels, channels = size[0] * size[1], size[2]
    wanted = numbers[17] != 0.0
    if channels == 3:
        wanted = numbers[12] != 0.0 or numbers[13] != 0.0 or numbers[14] != 0.0
    if wanted:
        red, green, blue = _sums(frame, at, size, pending)
        total = float(red)
        if channels == 3:
            total = RED * total + GREEN * green + BLUE * blue
        average = total / (255.0 * pixels)
    mean = np.float32(average)
    if channels == 3:
        b0 = (numbers[9] + numbers[12] * mean) * full
        b1 = (numbers[10] + numbers[13] * mean) * full
        b2 = (numbers[11] + numbers[14] * mean) * full
        for p in range(pixels):
            i = at + U(3 * p)
            r, g, b = np.float32(frame[i]), np.float32(frame[i + U(1)]), np.float32(frame[i + U(2)])
            frame[i] = _level(numbers[0] * r + numbers[1] * g + numbers[2] * b + b0)
            frame[i + U(1)] = _level(numbers[3] * r + numbers[4] * g + numbers[5] * b + b1)
            frame[i + U(2)] = _level(numbers[6] * r + numbers[7] * g + numbers[8] * b + b2)
    else:
        b0 = (numbers[16] + numbers[17] * mean) * full
        for p in range(pixels):
            i = at + U(p)
            frame[i] = _level(numbers[15] * np.float32(frame[i]) + b0)


@njit(nogil=True)
def _cut(value: Any) -> Any:
    return min(max(value, np.float32(0.0)), np.float32(255.0))


@njit(nogil=True)
def _colour(frame: Array, at: Index, pixels: int, factor: Any) -> None:
    for p in range(pixels):
        i = at + U(3 * p)
        r, g, b = np.int32(frame[i]), np.int32(frame[i + U(1)]), np.int32(frame[i + U(2)])
        gray = np.float32((19595 * r + 38470 * g + 7471 * b + 32768) >> 16)
        frame[i] = np.int32(_cut(gray + factor * (np.float32(r) - gray)))
        frame[i + U(1)] = np.int32(_cut(gray + factor * (np.float32(g) - gray)))
        frame[i + U(2)] = np.int32(_cut(gray + factor * (np.float32(b) - gray)))


@njit(nogil=True)
def run_program(
    frame: Array, at: Index, size: tuple[int, int, int], codes: Array, numbers: Floats,
    taps: Floats, kind: int, edges: Edges, spare: Tables, kernels: Kernels, pending: Pending,
    lines: Lines, mixture: Mixture, rarer: Rarer,
) -> None:  # fmt: skip
    """Carry out the steps of a row on its frame, uint8, from `frame[at]` on, in place.

    `frame` is a pointer. `codes` `[K]` of `augfeed.ops._steps`, `numbers` float32 `[K, P]` what
    they read, `taps` `[K, 2, T]` the kernels of those that have one.
    """
    height, width, channels = size
    pixels = height * width
    _forget(pending, channels)
    pending.state[COUNTED] = False
    for s in range(codes.size):
        code, own = codes[s], numbers[s]
        if makes_table(code):
            _tabulate(frame, at, size, code, own, spare, pending)
        elif code and not (channels != 3 and code in (COLOR, HUE)):
            _carry_out(frame, at, pixels, channels, pending)
            if code == COLOR:
                _colour(frame, at, pixels, own[0])
            elif code == MATRIX:
                _warp(frame, at, size, own, kind, edges, lines)
            elif is_spatial(code):
                run_spatial(code, frame, at, size, 255.0, own, rarer)
            elif rarer is not None:
                if code == LINEAR:
                    _combine(frame, at, size, own, pending)
                elif code == HUE:
                    turn_hue(frame, at, pixels, int(own[0]))
                elif is_chain(code):
                    run_chain(code, frame, at, pixels * channels, own, mixture)
                else:
                    correlate(frame, at, size, 255.0, taps[s], kernels.places, kernels.wide,
                              kernels.ring, kernels.sums)  # fmt: skip
            pending.state[COUNTED] = False
    _carry_out(frame, at, pixels, channels, pending)


@njit(nogil=True)
def pending_of(width: int, channels: int) -> Pending:
    """Return memory for a table that is pending."""
    return Pending(
        np.empty(channels * LEVELS, np.uint8),
        np.zeros((channels, LEVELS), np.int64),
        np.zeros((channels, LEVELS), np.int64),
        np.zeros(2, np.bool_),
        np.empty(width * channels, np.uint32),
    )


@njit(nogil=True)
def lines_of(size: tuple[int, int, int]) -> Lines:
    """Return memory for the lines of frames."""
    height, width, channels = size
    scratch = line_scratch(height, width, channels)
    return Lines(
        np.empty(height * width * channels, np.uint8),
        np.empty(scratch, np.int32),
        np.empty(scratch + whole_size(height, width, channels), np.float32),
        np.empty(channels * scratch, np.float32),
    )

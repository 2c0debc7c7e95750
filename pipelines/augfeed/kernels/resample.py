"""Crop, resize with antialiasing and pad in one call; the pixels equal Pillow's `resize`.

An image is resized in two passes, each of which blends rows: every output row is a weighted sum
of a few input rows, a loop that fills vector registers. For the horizontal pass, which comes first
(in Pillow: always before version 13, then for most sizes), strips of the image are turned.
For uint8 the weights are Pillow's integers and each pass rounds, so that the pixels are bit-equal.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from augfeed.constants import CONSTANT, EDGE
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.filters import blends, fixed_point
from augfeed.kernels.inner import njit
from augfeed.kernels.place import U
from augfeed.kernels.pointers import pointer_to
from augfeed.kernels.transpose import transpose
from augfeed.kernels.types import Array, Floats, Ints
from augfeed.kernels.weigh_rows import BITS, BLOCK, weigh_rows

HALF = 1 << (BITS - 1)
STRIP = 32  # rows turned at a time: their loops are long enough, and they fit the L1 cache
OUTSIDE = -(1 << 62)

Sides = tuple[int, ...]
Whole = Ints | Sides


@njit(nogil=True)
def two(rows: Ints, k: int) -> tuple[Any, Any]:
    """Return a row of two numbers as int64, whatever they are: loops are compiled for these."""
    return np.int64(rows[k, 0]), np.int64(rows[k, 1])


@njit(nogil=True)
def four(rows: Ints, k: int) -> tuple[Any, Any, Any, Any]:
    """Return a row of four numbers as int64."""
    return (np.int64(rows[k, 0]), np.int64(rows[k, 1]), np.int64(rows[k, 2]), np.int64(rows[k, 3]))


@njit(nogil=True)
def _resample(
    image: Array,
    box: Sides,
    resized: Sides,
    offset: Sides,
    kind: int,
    pad_mode: int,
    pad_fill: Floats,
    out: Array,
) -> None:
    top, left, height, width = box[0], box[1], box[2], box[3]
    if (
        min(top, left) < 0
        or min(height, width, resized[0], resized[1]) < 1
        or top + height > image.shape[0]
        or left + width > image.shape[1]
        or not image.shape[2] == out.shape[2] == pad_fill.size
    ):
        raise ValueError("the box is not inside the image, or the channels differ")
    inner = 0.0, 0.0, float(height), float(width)
    y0, x0 = offset[0], offset[1]
    y1, x1 = y0 + out.shape[0], x0 + out.shape[1]
    same = height == resized[0] and width == resized[1]
    if y0 >= 0 and x0 >= 0 and y1 <= resized[0] and x1 <= resized[1]:
        if same:
            _copy(image, top + y0, left + x0, out)
        else:
            _resize(image, box, inner, resized, kind, y0, x0, out)
        return
    rows = _places(y0, y1, resized[0], pad_mode)
    columns = _places(x0, x1, resized[1], pad_mode)
    run = min(max(-x0, 0), columns.size), max(min(resized[1] - x0, columns.size), 0)
    fill = np.empty(out.shape[2], out.dtype)
    for c in range(fill.size):
        fill[c] = _constant(pad_fill[c], out)
    if same:
        _gather(image, rows + top, columns + left, run, fill, out)
    else:
        y0, y1 = _needed(rows)
        x0, x1 = _needed(columns)
        part = np.empty((y1 - y0, x1 - x0, out.shape[2]), out.dtype)
        _resize(image, box, inner, resized, kind, y0, x0, part)
        _gather(part, rows - y0, columns - x0, run, fill, out)


@njit(nogil=True)
def _places(first: int, end: int, length: int, pad_mode: int) -> Ints:
    """Return int64 `[end - first]`: the pixel, of a side of `length`, that stands at each place
    from `first` on; a number far below 0 for the fill value."""
    places = np.empty(end - first, np.int64)
    period = max(2 * (length - 1), 1)
    for i in range(first, end):
        place = i
        if (i < 0 or i >= length) and pad_mode == CONSTANT:
            place = OUTSIDE
        elif pad_mode == EDGE:
            place = min(max(i, 0), length - 1)
        elif i < 0 or i >= length:
            place = i % period
            place = min(place, period - place)
        places[i - first] = place
    return places


@njit(nogil=True)
def _needed(places: Ints) -> tuple[int, int]:
    low, end = np.iinfo(np.int64).max, 0
    for place in places:
        if place >= 0:
            low, end = min(low, place), max(end, place + 1)
    return min(low, end), end


@njit(nogil=True)
def _copy(image: Array, top: int, left: int, out: Array) -> None:
    height, width, channels = out.shape
    source = image.reshape(image.shape[0], image.shape[1] * channels)
    target = out.reshape(height, width * channels)
    for y in range(height):
        row = source[top + y, left * channels : (left + width) * channels]
        for i in range(target.shape[1]):
            target[y, i] = row[i]


@njit(nogil=True)
def _gather(
    image: Array, rows: Ints, columns: Ints, run: tuple[int, int], fill: Array, out: Array
) -> None:
    # Columns from run[0] to run[1] stand side by side in the image.
    channels = out.shape[2]
    source = image.reshape(image.shape[0], image.shape[1] * channels)
    target = out.reshape(out.shape[0], out.shape[1] * channels)
    begin, end = run[0], run[1]
    for y in range(rows.size):
        if rows[y] < 0:
            for x in range(columns.size):
                for c in range(channels):
                    out[y, x, c] = fill[c]
            continue
        for x in range(columns.size):
            if begin <= x < end:
                continue
            for c in range(channels):
                out[y, x, c] = fill[c] if columns[x] < 0 else image[rows[y], columns[x], c]
        if begin < end:
            first = columns[begin] * channels
            row, found = target[y, begin * channels : end * channels], source[rows[y], first:]
            for i in range(row.size):
                row[i] = found[i]


@njit(nogil=True)
def _resize(
    image: Array,
    box: Sides,
    inner: tuple[float, ...],
    resized: Sides,
    kind: int,
    top: int,
    left: int,
    out: Array,
) -> None:
    # Write rows and columns from (top, left) on, of the inner box resized, to `out`. `inner` is
    # (top, left, height, width) within the box, in fractions of pixels; what is around it counts
    # as far as the box reaches.
    rows, columns, channels = out.shape
    if rows == 0 or columns == 0:
        return
    starts_y, shares_y = blends(kind, inner[0], inner[2], box[2], resized[0], top, rows)
    starts_x, shares_x = blends(kind, inner[1], inner[3], box[3], resized[1], left, columns)
    weights_y, weights_x = _like(shares_y, image), _like(shares_x, image)
    first = starts_y[0]
    count = min(starts_y[-1] + weights_y.shape[1], box[2]) - first
    leftmost = starts_x[0]
    width = min(starts_x[-1] + weights_x.shape[1], box[3]) - leftmost
    if (
        min(box[0] + first, box[1] + leftmost) < 0
        or box[0] + first + count > image.shape[0]
        or box[1] + leftmost + width > image.shape[1]
    ):
        raise ValueError("the image lacks pixels that the box needs")
    starts_y -= first
    starts_x -= leftmost

    lanes = min(STRIP, count)
    source = image.reshape(image.shape[0], image.shape[1] * channels)
    strip = np.empty((width, channels * lanes), image.dtype)
    narrow = np.empty((columns, channels * lanes), image.dtype)
    middle = np.empty((count, columns * channels), image.dtype)
    at = (box[0] + first) * source.shape[1] + (box[1] + leftmost) * channels
    for y in range(0, count, lanes):
        row = min(y, count - lanes)
        transpose(source, strip.reshape(width * channels, lanes),
                  at + row * source.shape[1], 0, lanes, width * channels)  # fmt: skip
        _blend(strip, starts_x, weights_x, narrow)
        transpose(narrow.reshape(columns * channels, lanes), middle,
                  0, row * columns * channels, columns * channels, lanes)  # fmt: skip
    _blend(middle, starts_y, weights_y, out.reshape(rows, columns * channels))


@njit(nogil=True)
def _blend_wholes(source: Array, starts: Ints, weights: Array, target: Array) -> None:
    count, taps = target.shape[1], weights.shape[1]
    if count < BLOCK:
        _blend_any(source, starts, weights, target)
        return
    pixels, shares, made = pointer_to(source), pointer_to(weights), pointer_to(target)
    pitch = U(source.shape[1])
    for j in range(target.shape[0]):
        # Weights of rows behind the last are 0.
        there = U(min(taps, source.shape[0] - starts[j]))
        weigh_rows(pixels, U(starts[j]) * pitch, pitch, shares, U(j * taps), there, made,
                   U(j * count), count)  # fmt: skip


@njit(nogil=True)
def _blend_any(source: Array, starts: Ints, weights: Array, target: Array) -> None:
    # target[j] = sum over k of weights[j, k] * source[starts[j] + k], k < 2, 4, 8, 12, ...
    last, taps = source.shape[0] - 1, weights.shape[1]
    sums = np.empty(target.shape[1] if taps > 4 else 0, weights.dtype)
    for j in range(target.shape[0]):
        row, start = target[j], starts[j]
        for k in range(0, taps, 4):
            w0, w1 = weights[j, k], weights[j, k + 1]
            s0, s1 = source[min(start + k, last)], source[min(start + k + 1, last)]
            if taps == 2:
                for i in range(row.size):
                    row[i] = _pixel(w0 * s0[i] + w1 * s1[i])
                continue
            w2, w3 = weights[j, k + 2], weights[j, k + 3]
            s2, s3 = source[min(start + k + 2, last)], source[min(start + k + 3, last)]
            if taps == 4:
                for i in range(row.size):
                    row[i] = _pixel(w0 * s0[i] + w1 * s1[i] + w2 * s2[i] + w3 * s3[i])
            elif k == 0:
                for i in range(row.size):
                    sums[i] = w0 * s0[i] + w1 * s1[i] + w2 * s2[i] + w3 * s3[i]
            elif k + 4 < taps:
                for i in range(row.size):
                    sums[i] += w0 * s0[i] + w1 * s1[i] + w2 * s2[i] + w3 * s3[i]
            else:
                for i in range(row.size):
                    row[i] = _pixel(sums[i] + w0 * s0[i] + w1 * s1[i] + w2 * s2[i] + w3 * s3[i])


def _blend(source: Array, starts: Ints, weights: Array, target: Array) -> None:
    """Write `target[j]`, the sum over k of `weights[j, k] * source[starts[j] + k]`."""


@overload(_blend, inline="always", strict=False)  # the lambdas have no annotations
def _(source: Any, starts: Any, weights: Any, target: Any) -> Any:
    if isinstance(source.dtype, types.Integer):
        return lambda source, starts, weights, target: _blend_wholes(
            source, starts, weights, target
        )
    return lambda source, starts, weights, target: _blend_any(source, starts, weights, target)


def _pixel(total: Any) -> Any:
    """Return a weighted sum as a pixel: rounded if its weights are integers."""


@overload(_pixel, inline="always", strict=False)  # the lambdas have no annotations
def _(total: Any) -> Any:
    if isinstance(total, types.Integer):
        return lambda total: np.uint8(min(max((np.int32(total) + HALF) >> BITS, 0), 255))  # type: ignore[arg-type]
    return lambda total: min(max(total, np.float32(0.0)), np.float32(1.0))


def _like(weights: Array, image: Array) -> Any:
    """Return weights as Pillow's integers for an image of uint8, else as float32."""


@overload(_like, inline="always", strict=False)  # the lambdas have no annotations
def _(weights: Any, image: Any) -> Any:
    if isinstance(image.dtype, types.Integer):
        return lambda weights, image: _wholes(weights)
    return lambda weights, image: weights.astype(np.float32)


@njit(nogil=True)
def _wholes(weights: Array) -> Array:
    made = np.empty(weights.shape, np.int32)
    for j in range(weights.shape[0]):
        for k in range(weights.shape[1]):
            made[j, k] = fixed_point(weights[j, k], BITS)
    return made


def _constant(fill: float, image: Array) -> Any:
    """Return a value in [0, 1] as a pixel of such an image."""


@overload(_constant, inline="always", strict=False)  # the lambdas have no annotations
def _(fill: Any, image: Any) -> Any:
    if isinstance(image.dtype, types.Integer):
        return lambda fill, image: np.uint8(np.round(fill * 255.0))
    return lambda fill, image: np.float32(fill)


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def resample_window(
        image: Array, box: Sides, resized: Sides, offset: Sides, kind: int, pad_mode: int,
        pad_fill: Floats, out: Array,
    ) -> int:  # fmt: skip
        """Write a part of an image: see `resample`."""
        _resample(image, box, resized, offset, kind, pad_mode, pad_fill, out)
        return sources

    return resample_window


_resample_window = _compile(SOURCES)


def _resample_any(
    image: Array,
    box: Whole,
    resized: Whole,
    offset: Whole,
    kind: int,
    pad_mode: int,
    pad_fill: Floats,
    out: Array,
) -> int:
    """Write a part of an image to `out`.

    `image` `[h, w, C]` is cut to `box` (top, left, height, width), which must lie inside it
    (`ValueError`); that is resized to `resized` (height, width) by a filter, `kind`, of
    `augfeed.constants`; output pixel `(y, x)` of `out` `[H, W, C]` is pixel
    `(offset[0] + y, offset[1] + x)` of the result. Outside it: `pad_fill` (float64 `[C]`, 0 to
    1) if `pad_mode` is 0, the border pixel if 1, the mirrored image if 2.
    Both arrays are C-contiguous, and both uint8 or both float32; `box`, `resized` and `offset`
    may be tuples or arrays of integers: it is compiled once for all of these.
    """
    written: int = _resample_window(image, _sides(box), _sides(resized), _sides(offset), int(kind),
                                    int(pad_mode), pad_fill, out)  # fmt: skip
    return written


resample: Any = _resample_any  # Any: callers unpack tuples of any length


def _sides(given: Whole) -> Sides:
    return tuple(given.tolist() if isinstance(given, np.ndarray) else map(int, given))

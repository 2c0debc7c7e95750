"""Lines of an image's pixels, wherever the plan says they come from.

Arrays are flat and indexed with unsigned offsets, so that Numba emits no test for negative indices,
LLVM vectorises the loops, and no view with a reference count is made for a line.
"""

from typing import Any

import numpy as np
from numba import njit

from augfeed.constants import CONSTANT
from augfeed.kernels.place import Edges, Frame, U, fold, value_at
from augfeed.kernels.types import Array, Floats, Ints
from augfeed.kernels.warp import warp_line


@njit(nogil=True)
def _copy_gray(
    flat: Array, first: Any, count: int, mirrored: bool, planes: Floats, at: Any
) -> None:
    if mirrored:
        last = at + U(count - 1)
        for k in range(count):
            planes[last - U(k)] = flat[first + U(k)]
    else:
        for k in range(count):
            planes[at + U(k)] = flat[first + U(k)]


@njit(nogil=True)
def _copy_color(
    flat: Array, first: Any, count: int, mirrored: bool, wide: Floats, planes: Floats, at: Any,
    stride: Any,
) -> None:  # fmt: skip
    # Widening and taking apart the channels are two loops because LLVM vectorises each of them,
    # and not both at once.
    for k in range(3 * count):
        wide[U(k)] = flat[first + U(k)]
    green, blue = at + stride, at + stride + stride
    if mirrored:
        last = U(count - 1)
        for k in range(count):
            i, to = U(3 * k), last - U(k)
            planes[at + to] = wide[i]
            planes[green + to] = wide[i + U(1)]
            planes[blue + to] = wide[i + U(2)]
    else:
        for k in range(count):
            i, to = U(3 * k), U(k)
            planes[at + to] = wide[i]
            planes[green + to] = wide[i + U(1)]
            planes[blue + to] = wide[i + U(2)]


@njit(nogil=True)
def _fold_ends(
    flat: Array, frame: Frame, y: int, start: int, ends: tuple[int, int, int], mirrored: bool,
    edges: Edges, planes: Floats, at: Any, stride: Any,
) -> None:  # fmt: skip
    # The pixels of a line (low, high, count) before `low` and from `high` on lie outside.
    low, high, count = ends
    for k in range(count - (high - low)):
        i = k if k < low else k + high - low
        to = at + U(count - 1 - i if mirrored else i)
        x = -1 if edges.pad_mode == CONSTANT else fold(start + i, frame.width, edges.pad_mode)
        for c in range(frame.channels):
            planes[to] = edges.pad_fill[c] if x < 0 else value_at(flat, frame, y, x, c)
            to += stride


@njit(nogil=True)
def sample_strip(
    flat: Array, frame: Frame, row: Any, part: tuple[int, int, int, int], edges: Edges,
    places: Ints, floats: Floats, planes: Floats, at: Any, stride: Any,
) -> None:  # fmt: skip
    """Write a part of the output, in the images' units, line after line from `planes[at]` on.

    `flat` holds images, `row` is a record of `ROW`, `part` (first line, end, first pixel, count).
    Channel c goes to `planes[at + c * stride]`. `places` and `floats` are scratch for one line:
    two values a pixel, and as many as a pixel has channels if those are more.
    """
    y0, y1, x0, count = part
    if row.warped:
        for y in range(y0, y1):
            warp_line(flat, frame, edges, row, (y, x0, count), places, floats, planes, at, stride)
            at += U(count)
        return
    start = (frame.out_width - x0 - count if row.flip_x else x0) + frame.left
    # Pixels `low` to `high` of every line lie inside the image.
    low, high = min(max(-start, 0), count), max(min(frame.width - start, count), 0)
    low, high = (low, high) if low < high else (count, count)
    inner, shift = high - low, U(count - high if row.flip_x else low)
    for k in range(y0, y1):
        y = (frame.out_height - 1 - k if row.flip_y else k) + frame.top
        if y < 0 or y >= frame.height:
            y = fold(y, frame.height, edges.pad_mode)
        if y < 0:
            for c in range(frame.channels):
                for i in range(count):
                    planes[at + U(c) * stride + U(i)] = edges.pad_fill[c]
        else:
            first = frame.start + U((y * frame.width + start + low) * frame.channels)
            if frame.channels == 1:
                _copy_gray(flat, first, inner, row.flip_x, planes, at + shift)
            else:
                _copy_color(flat, first, inner, row.flip_x, floats, planes, at + shift, stride)
            if inner < count:
                _fold_ends(flat, frame, y, start, (low, high, count), row.flip_x, edges, planes,
                           at, stride)  # fmt: skip
        at += U(count)


@njit(nogil=True)
def _add_line(flat: Array, first: Any, totals: Array) -> None:
    for i in range(totals.size):
        totals[i] += flat[first + U(i)]


@njit(nogil=True)
def mean_color(flat: Array, frame: Frame, edges: Edges, scale: float) -> tuple[Any, Any, Any]:
    """Return the mean of up to three channels over a frame, padding included, in [0, 1].

    Sums of uint8 are exact.
    """
    channels, height, width = frame.channels, frame.out_height, frame.out_width
    y0, y1 = max(frame.top, 0), min(frame.top + height, frame.height)
    x0, x1 = max(frame.left, 0), min(frame.left + width, frame.width)
    covered = max(y1 - y0, 0) * max(x1 - x0, 0)
    total = np.zeros(3)
    if covered == height * width or edges.pad_mode == CONSTANT:
        # Line on line, so that the loop is over memory side by side; channels come apart after.
        columns = max(x1 - x0, 0) * channels
        whole, part = np.zeros(columns, np.uint32), np.zeros(columns, np.float64)
        for y in range(y0, y1 if columns else y0):
            first = frame.start + U((y * frame.width + x0) * channels)
            if scale == 255.0:
                _add_line(flat, first, whole)
            else:
                _add_line(flat, first, part)
        for i in range(0, columns, channels):
            for c in range(channels):
                total[c] += whole[i + c] + part[i + c]
        for c in range(channels):
            total[c] += (height * width - covered) * edges.pad_fill[c]
    else:
        for y in range(frame.top, frame.top + height):
            sy = fold(y, frame.height, edges.pad_mode)
            for x in range(frame.left, frame.left + width):
                sx = fold(x, frame.width, edges.pad_mode)
                for c in range(channels):
                    total[c] += value_at(flat, frame, sy, sx, c)
    count = height * width * scale
    return total[0] / count, total[1] / count, total[2] / count

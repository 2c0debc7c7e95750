"""Lines of an image's pixels, wherever the plan says they come from.

Arrays are flat and indexed with unsigned offsets, so that Numba emits no test for negative indices,
LLVM vectorises the loops, and no view with a reference count is made for a line.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from augfeed.constants import CONSTANT, EDGE
from augfeed.kernels.types import Array, Floats, Ints

FAST = {"contract"}  # fused multiply-add only: nothing is reordered
U = np.uint64


class Edges(NamedTuple):
    """What lies outside: mode (0 constant, 1 edge, 2 reflect) and fill in the image's units."""

    pad_mode: int
    pad_fill: Any
    border_mode: int
    border_fill: Any


class Frame(NamedTuple):
    """Where in a flat array of images `[N, h, w, C]` a row's image lies, and how it is cut."""

    start: Any  # uint64, index of its first value
    height: int
    width: int
    channels: int
    top: int  # of the output frame in it; may reach outside
    left: int
    out_height: int
    out_width: int


@njit(nogil=True)
def fold(i: int, n: int, mode: int) -> int:
    """Return the index that stands for index `i` outside of `n`, or -1 for the constant fill."""
    if 0 <= i < n:
        return i
    if mode == CONSTANT:
        return -1
    if mode == EDGE:
        return 0 if i < 0 else n - 1
    if n == 1:
        return 0
    period = 2 * (n - 1)
    i = i % period
    return i if i < n else period - i


@njit(nogil=True)
def _value(flat: Array, frame: Frame, y: int, x: int, c: int) -> Any:
    offset = U((y * frame.width + x) * frame.channels + c)
    return np.float32(flat[frame.start + offset])


@njit(nogil=True)
def _tap(flat: Array, frame: Frame, y: int, x: int, c: int, edges: Edges) -> Any:
    y = fold(y, frame.out_height, edges.border_mode)
    x = fold(x, frame.out_width, edges.border_mode)
    if y < 0 or x < 0:
        return edges.border_fill
    y = fold(y + frame.top, frame.height, edges.pad_mode)
    x = fold(x + frame.left, frame.width, edges.pad_mode)
    if y < 0 or x < 0:
        return edges.pad_fill
    return _value(flat, frame, y, x, c)


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def positions(y: int, x0: int, count: int, row: Any, places: Ints, shares: Floats) -> None:
    """Write where the pixels of a line come from, of which `row` holds the inverse map.

    The source pixel of each goes to places [x | y], and how far it is from it to the next one to
    shares [right | below]. Beyond a million pixels coordinates are held, so that they fit an
    integer.
    """
    far, fy = np.float32(1 << 20), np.float32(y)
    m00, m10, m20 = row.m0, row.m3, row.m6
    u0, v0, z0 = row.m1 * fy + row.m2, row.m4 * fy + row.m5, row.m7 * fy + row.m8
    half = U(count)
    for k in range(count):
        fx, i = np.float32(x0 + k), U(k)
        z = m20 * fx + z0
        z = np.float32(1e-30) if z == 0 else z  # the horizon of a perspective: far outside
        u = min(max((m00 * fx + u0) / z, -far), far)
        v = min(max((m10 * fx + v0) / z, -far), far)
        fu, fv = np.floor(u), np.floor(v)
        places[i], places[half + i] = np.int32(fu), np.int32(fv)
        shares[i], shares[half + i] = u - fu, v - fv


@njit(nogil=True, fastmath=FAST)
def _lerp(p00: Any, p01: Any, p10: Any, p11: Any, a: Any, b: Any) -> Any:
    above = p00 + a * (p01 - p00)
    return above + b * (p10 + a * (p11 - p10) - above)


@njit(nogil=True, fastmath=FAST)
def warp_line(
    flat: Array, frame: Frame, edges: Edges, count: int, places: Ints, shares: Floats,
    planes: Floats, at: Any, stride: Any,
) -> None:  # fmt: skip
    """Write a line of values sampled bilinearly; channel c goes to `planes[at + c * stride]`."""
    height, width, channels = frame.out_height, frame.out_width, frame.channels
    inside = (
        frame.top >= 0
        and frame.left >= 0
        and frame.top + height <= frame.height
        and frame.left + width <= frame.width
    )
    # One comparison each says whether a pixel and its neighbors lie inside: negative numbers
    # are large as unsigned ones.
    last_y, last_x = np.uint32(height - 1), np.uint32(width - 1)
    pitch, step, half = U(frame.width * channels), U(channels), U(count)
    start = frame.start + U(max(frame.top, 0)) * pitch + U(max(frame.left, 0)) * step
    for k in range(count):
        i = U(k)
        x, y, a, b = places[i], places[half + i], shares[i], shares[half + i]
        to = at + i
        if inside and np.uint32(x) < last_x and np.uint32(y) < last_y:
            p = start + U(y) * pitch + U(x) * step
            q = p + pitch
            for _ in range(channels):
                planes[to] = _lerp(
                    np.float32(flat[p]), np.float32(flat[p + step]),
                    np.float32(flat[q]), np.float32(flat[q + step]), a, b,
                )  # fmt: skip
                p, q, to = p + U(1), q + U(1), to + stride
        elif edges.border_mode == CONSTANT and (x < -1 or y < -1 or x >= width or y >= height):
            for _ in range(channels):
                planes[to] = edges.border_fill
                to += stride
        else:
            for c in range(channels):
                p00, p01 = (_tap(flat, frame, y, x, c, edges),
                            _tap(flat, frame, y, x + 1, c, edges))  # fmt: skip
                p10, p11 = (_tap(flat, frame, y + 1, x, c, edges),
                            _tap(flat, frame, y + 1, x + 1, c, edges))  # fmt: skip
                planes[to] = _lerp(p00, p01, p10, p11, a, b)
                to += stride


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
            planes[to] = edges.pad_fill if x < 0 else _value(flat, frame, y, x, c)
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
            positions(y, x0, count, row, places, floats)
            warp_line(flat, frame, edges, count, places, floats, planes, at, stride)
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
                    planes[at + U(c) * stride + U(i)] = edges.pad_fill
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
            total[c] += (height * width - covered) * edges.pad_fill
    else:
        for y in range(frame.top, frame.top + height):
            sy = fold(y, frame.height, edges.pad_mode)
            for x in range(frame.left, frame.left + width):
                sx = fold(x, frame.width, edges.pad_mode)
                for c in range(channels):
                    total[c] += _value(flat, frame, sy, sx, c)
    count = height * width * scale
    return total[0] / count, total[1] / count, total[2] / count

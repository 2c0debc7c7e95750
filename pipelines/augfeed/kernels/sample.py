"""One line of a picture's pixels, wherever the plan says they come from.

Loops run over slices from 0 and use unsigned indices, so that Numba emits no test for negative
indices and LLVM vectorises them.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from augfeed.kernels.types import Array, Floats, Ints

FAST = {"contract"}  # fused multiply-add only: nothing is reordered


class Edges(NamedTuple):
    """What lies outside: mode (0 constant, 1 edge, 2 reflect) and fill in the image's units."""

    pad_mode: int
    pad_fill: Any
    border_mode: int
    border_fill: Any


class View(NamedTuple):
    """How one row of a plan looks at its picture."""

    top: int
    left: int
    flip_x: bool
    flip_y: bool
    warped: bool
    inverse: Floats  # float32 [3, 3]


class Scratch(NamedTuple):
    """Memory for the source positions of one line."""

    x: Ints  # int32 [W]
    y: Ints
    right: Floats  # float32 [W], share of the right neighbour
    below: Floats
    wide: Floats  # float32 [W * C]


@njit(nogil=True)
def fold(i: int, n: int, mode: int) -> int:
    """Return the index that stands for index `i` outside of `n`, or -1 for the constant fill."""
    if 0 <= i < n:
        return i
    if mode == 0:
        return -1
    if mode == 1:
        return 0 if i < 0 else n - 1
    if n == 1:
        return 0
    period = 2 * (n - 1)
    i = i % period
    return i if i < n else period - i


@njit(nogil=True)
def _tap(
    image: Array, y: int, x: int, c: int, view: tuple[int, int], size: tuple[int, int], edges: Edges
) -> Any:
    y, x = fold(y, size[0], edges.border_mode), fold(x, size[1], edges.border_mode)
    if y < 0 or x < 0:
        return edges.border_fill
    y = fold(y + view[0], image.shape[0], edges.pad_mode)
    x = fold(x + view[1], image.shape[1], edges.pad_mode)
    if y < 0 or x < 0:
        return edges.pad_fill
    return np.float32(image[y, x, c])


@njit(nogil=True, fastmath=FAST)
def _positions(y: int, x0: int, m: Floats, scratch: Scratch) -> None:
    # Far outside, coordinates are held so that they fit an integer; the border rules agree there.
    far = np.float32(1 << 20)
    fy = np.float32(y)
    m00, m10, m20 = m[0, 0], m[1, 0], m[2, 0]
    u0, v0, z0 = m[0, 1] * fy + m[0, 2], m[1, 1] * fy + m[1, 2], m[2, 1] * fy + m[2, 2]
    for i in range(scratch.x.size):
        fx = np.float32(x0 + i)
        z = m20 * fx + z0
        u = min(max((m00 * fx + u0) / z, -far), far)
        v = min(max((m10 * fx + v0) / z, -far), far)
        fu, fv = np.floor(u), np.floor(v)
        scratch.x[i], scratch.y[i] = np.int32(fu), np.int32(fv)
        scratch.right[i], scratch.below[i] = u - fu, v - fv


@njit(nogil=True, fastmath=FAST)
def _lerp(p00: Any, p01: Any, p10: Any, p11: Any, a: Any, b: Any) -> Any:
    above = p00 + a * (p01 - p00)
    return above + b * (p10 + a * (p11 - p10) - above)


@njit(nogil=True, fastmath=FAST)
def _warp_line(
    image: Array, view: View, size: tuple[int, int], edges: Edges, scratch: Scratch,
    planes: Floats, at: int,
) -> None:  # fmt: skip
    height, width = size
    channels, count = planes.shape[0], scratch.x.size
    corner = (view.top, view.left)
    inside = (
        view.top >= 0
        and view.left >= 0
        and view.top + height <= image.shape[0]
        and view.left + width <= image.shape[1]
    )
    # One comparison each tells whether a pixel and its neighbours lie inside: negative numbers
    # are large as unsigned ones.
    last_y, last_x = np.uint32(max(height - 1, 0)), np.uint32(max(width - 1, 0))
    flat = image.reshape(image.size)
    pitch, step = np.uint64(image.shape[1] * channels), np.uint64(channels)
    start = np.uint64(max(view.top, 0)) * pitch + np.uint64(max(view.left, 0)) * step
    first = np.uint64(at)
    for i in range(count):
        x, y = scratch.x[i], scratch.y[i]
        a, b, to = scratch.right[i], scratch.below[i], first + np.uint64(i)
        if inside and np.uint32(x) < last_x and np.uint32(y) < last_y:
            p = start + np.uint64(y) * pitch + np.uint64(x) * step
            q = p + pitch
            for c in range(channels):
                planes[c, to] = _lerp(
                    np.float32(flat[p]), np.float32(flat[p + step]),
                    np.float32(flat[q]), np.float32(flat[q + step]), a, b,
                )  # fmt: skip
                p += np.uint64(1)
                q += np.uint64(1)
        elif edges.border_mode == 0 and (x < -1 or y < -1 or x >= width or y >= height):
            for c in range(channels):
                planes[c, to] = edges.border_fill
        else:
            for c in range(channels):
                p00 = _tap(image, y, x, c, corner, size, edges)
                p01 = _tap(image, y, x + 1, c, corner, size, edges)
                p10 = _tap(image, y + 1, x, c, corner, size, edges)
                p11 = _tap(image, y + 1, x + 1, c, corner, size, edges)
                planes[c, to] = _lerp(p00, p01, p10, p11, a, b)


@njit(nogil=True)
def _take_apart(wide: Floats, red: Floats, green: Floats, blue: Floats) -> None:
    for i in range(red.size):
        red[i], green[i], blue[i] = wide[3 * i], wide[3 * i + 1], wide[3 * i + 2]


@njit(nogil=True)
def _take_apart_mirrored(wide: Floats, red: Floats, green: Floats, blue: Floats) -> None:
    last = np.uint64(red.size - 1)
    for i in range(red.size):
        to = last - np.uint64(i)
        red[to], green[to], blue[to] = wide[3 * i], wide[3 * i + 1], wide[3 * i + 2]


@njit(nogil=True)
def _copy_line(
    source: Array, mirrored: bool, wide: Floats, planes: Floats, at: int, count: int
) -> None:
    # `source` [count * C] is what the line shows. Widening and taking apart the channels are two
    # loops because LLVM vectorises each of them, and not both at once.
    end = at + count
    if planes.shape[0] == 3:
        for i in range(source.size):
            wide[i] = source[i]
        red, green, blue = planes[0, at:end], planes[1, at:end], planes[2, at:end]
        if mirrored:
            _take_apart_mirrored(wide, red, green, blue)
        else:
            _take_apart(wide, red, green, blue)
    else:
        gray = planes[0, at:end]
        if mirrored:
            last = np.uint64(count - 1)
            for i in range(count):
                gray[last - np.uint64(i)] = source[i]
        else:
            for i in range(count):
                gray[i] = source[i]


@njit(nogil=True)
def _fold_line(
    image: Array, row: int, start: int, mirrored: bool, edges: Edges, planes: Floats, at: int,
    count: int,
) -> None:  # fmt: skip
    # A line that reaches over the border of the picture.
    for i in range(count):
        x = fold(start + (count - 1 - i if mirrored else i), image.shape[1], edges.pad_mode)
        for c in range(planes.shape[0]):
            planes[c, at + i] = edges.pad_fill if x < 0 else np.float32(image[row, x, c])


@njit(nogil=True)
def sample_strip(
    image: Array, view: View, lines: tuple[int, int], part: tuple[int, int],
    size: tuple[int, int], edges: Edges, scratch: Scratch, planes: Floats, at: int,
) -> None:  # fmt: skip
    """Write pixels `part` (first, count) of output lines `lines` (first, end) to planes `[C, n]`.

    The lines lie one after the other in `planes`, from `at` on, in the units of `image`
    `[h, w, C]`; `size` is (height, width) of the output.
    """
    (x0, count), channels = part, planes.shape[0]
    if view.warped:
        short = Scratch(
            scratch.x[:count], scratch.y[:count], scratch.right[:count], scratch.below[:count],
            scratch.wide,
        )  # fmt: skip
        for y in range(lines[0], lines[1]):
            _positions(y, x0, view.inverse, short)
            _warp_line(image, view, size, edges, short, planes, at)
            at += count
        return
    flat, pitch, wide = image.reshape(image.size), image.shape[1] * channels, scratch.wide
    start = (size[1] - x0 - count if view.flip_x else x0) + view.left
    inside = start >= 0 and start + count <= image.shape[1]
    for y in range(lines[0], lines[1]):
        row = (size[0] - 1 - y if view.flip_y else y) + view.top
        if row < 0 or row >= image.shape[0]:
            row = fold(row, image.shape[0], edges.pad_mode)
        if row < 0:
            planes[:, at : at + count] = edges.pad_fill
        elif inside:
            first = row * pitch + start * channels
            _copy_line(flat[first : first + count * channels], view.flip_x, wide, planes, at, count)
        else:
            _fold_line(image, row, start, view.flip_x, edges, planes, at, count)
        at += count


@njit(nogil=True)
def _add_line(line: Array, totals: Array) -> None:
    for i in range(line.size):
        totals[i] += line[i]


@njit(nogil=True)
def mean_color(
    image: Array, corner: tuple[int, int], size: tuple[int, int], edges: Edges, scale: float
) -> Floats:
    """Return float64 `[C]`: the mean over a frame of a picture, padding included, in [0, 1].

    Sums of uint8 are exact.
    """
    (top, left), (height, width), channels = corner, size, image.shape[2]
    total = np.zeros(channels, np.float64)
    y0, y1 = max(top, 0), min(top + height, image.shape[0])
    x0, x1 = max(left, 0), min(left + width, image.shape[1])
    covered = max(y1 - y0, 0) * max(x1 - x0, 0)
    if covered == height * width or edges.pad_mode == 0:
        # Line on line, so that the loop is over memory side by side; channels come apart after.
        columns = max(x1 - x0, 0) * channels
        whole, part = np.zeros(columns, np.uint32), np.zeros(columns, np.float64)
        for y in range(y0, y1 if columns else y0):
            line = image[y, x0:x1].reshape(columns)
            if scale == 255.0:
                _add_line(line, whole)
            else:
                _add_line(line, part)
        for i in range(columns):
            total[i % channels] += whole[i] + part[i]
        total += (height * width - covered) * edges.pad_fill
    else:
        for y in range(top, top + height):
            sy = fold(y, image.shape[0], edges.pad_mode)
            for x in range(left, left + width):
                sx = fold(x, image.shape[1], edges.pad_mode)
                for c in range(channels):
                    total[c] += image[sy, sx, c]
    return total / (height * width * scale)

"""Lines of an image's pixels, wherever the plan says they come from.

Arrays are flat and indexed with unsigned offsets, so that Numba emits no test for negative indices,
LLVM vectorises the loops, and no view with a reference count is made for a line.
"""

from typing import Any, NamedTuple

from augfeed.constants import CONSTANT
from augfeed.kernels.inner import njit
from augfeed.kernels.interleave import split_pixels
from augfeed.kernels.place import Edges, Frame, U, fold, value_at
from augfeed.kernels.types import Array, Floats, Index, Ints, Record, Words
from augfeed.kernels.warp import warp_line
from augfeed.kernels.whole_frame import is_whole, warp_whole_lines, write_whole


@njit(nogil=True)
def _fold_ends(
    flat: Array, frame: Frame, y: int, start: int, ends: tuple[int, int, int], mirrored: bool,
    edges: Edges, planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    # The pixels of a line (low, high, count) before `low` and from `high` on lie outside.
    low, high, count = ends
    for k in range(count - (high - low)):
        i = k if k < low else k + high - low
        to = at + U(count - 1 - i if mirrored else i)
        x = fold(start + i, frame.width, edges.pad_mode)
        for c in range(frame.channels):
            planes[to] = value_at(flat, frame, y, x, c)
            to += stride


@njit(nogil=True)
def _fill(planes: Floats, at: Index, count: int, value: Any) -> None:
    for i in range(count):
        planes[at + U(i)] = value


@njit(nogil=True)
def _copy_strip(
    flat: Array, frame: Frame, row: Record, part: tuple[int, int, int, int], edges: Edges,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    y0, y1, x0, count = part
    lines, channels = y1 - y0, frame.channels
    start = (frame.out_width - x0 - count if row.flip_x else x0) + frame.left
    # Pixels `low` to `high` of every line lie inside the image,
    low, high = min(max(-start, 0), count), max(min(frame.width - start, count), 0)
    low, high = (low, high) if low < high else (count, count)
    inner, shift = high - low, U(count - high if row.flip_x else low)
    # and so do lines `above` to `below` of the part.
    turn = -1 if row.flip_y else 1
    top = frame.top + (frame.out_height - 1 - y0 if row.flip_y else y0)
    above, below = (top - frame.height + 1, top + 1) if row.flip_y else (-top, frame.height - top)
    above = min(max(above, 0), lines)
    below = max(min(below, lines), above)
    whole = inner == count and below - above == lines
    if edges.pad_mode == CONSTANT and not whole:
        for c in range(channels):
            _fill(planes, at + U(c) * stride, lines * count, edges.pad_fill[c])
    y, steps = top + turn * above, (stride, U(count))
    shown = (U(turn * frame.width * channels), below - above, inner, channels)
    if whole and count == frame.width and not (row.flip_x or row.flip_y):
        shown = (U(0), 1, lines * count, channels)  # lines that follow one another in the image
    first = frame.start + U((y * frame.width + start + low) * channels)
    split_pixels(flat, first, shown, row.flip_x, planes, at + U(above * count) + shift, steps)
    if edges.pad_mode == CONSTANT or whole:
        return
    for k in range(lines):
        y, to = fold(top + turn * k, frame.height, edges.pad_mode), at + U(k * count)
        if k < above or k >= below:
            first = frame.start + U((y * frame.width + start + low) * channels)
            one = (U(0), 1, inner, channels)
            split_pixels(flat, first, one, row.flip_x, planes, to + shift, steps)
        if inner < count:
            _fold_ends(flat, frame, y, start, (low, high, count), row.flip_x, edges, planes, to,
                       stride)  # fmt: skip


@njit(nogil=True)
def sample_strip(
    flat: Array, frame: Frame, row: Record, part: tuple[int, int, int, int], edges: Edges,
    places: Ints, floats: Floats, planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    """Write a part of the output, in the images' units, line after line from `planes[at]` on.

    `flat` holds images, `row` is a record of `ROW`, `part` (first line, end, first pixel, count).
    Channel c goes to `planes[at + c * stride]`. `places` and `floats` are scratch, as many values
    as `whole_frame.line_scratch` says, and `floats` of `whole_frame.whole_size` more.
    """
    if not row.warped:
        _copy_strip(flat, frame, row, part, edges, planes, at, stride)
        return
    if is_whole(frame, edges, row.filter):
        write_whole(flat, frame, edges, floats)
        warp_whole_lines(frame, row, part, places, floats, planes, at, stride)
        return
    y0, y1, x0, count = part
    for y in range(y0, y1):
        warp_line(flat, frame, edges, row, (y, x0, count), places, floats, planes, at, stride)
        at += U(count)


@njit(nogil=True)
def add_lines(
    flat: Array, first: Index, pitch: Index, lines: int, columns: int, totals: Array
) -> None:
    """Write the sums of columns, whose values lie side by side, of lines `pitch` apart."""
    for i in range(columns):
        totals[U(i)] = 0
    fours = lines // 4
    for _ in range(fours):
        second, third = first + pitch, first + pitch + pitch
        fourth = third + pitch
        for k in range(columns):
            at = U(k)
            total = totals[at] + flat[first + at] + flat[second + at] + flat[third + at]
            totals[at] = total + flat[fourth + at]
        first = fourth + pitch
    for _ in range(lines - 4 * fours):
        for i in range(columns):
            totals[U(i)] += flat[first + U(i)]
        first += pitch


class Totals(NamedTuple):
    """Memory for `mean_color`: sums of the values of a line, and of channels."""

    levels: Words  # uint32 `[width * C]`, of uint8
    floats: Floats  # float64 `[width * C]`
    channels: Floats  # float64 `[3]`


@njit(nogil=True)
def mean_color(
    flat: Array, frame: Frame, edges: Edges, scale: float, totals: Totals
) -> tuple[Any, Any, Any]:
    """Return the mean of up to three channels over a frame, padding included, in [0, 1].

    Sums of uint8 are exact.
    """
    channels, height, width = frame.channels, frame.out_height, frame.out_width
    y0, y1 = max(frame.top, 0), min(frame.top + height, frame.height)
    x0, x1 = max(frame.left, 0), min(frame.left + width, frame.width)
    lines, columns = max(y1 - y0, 0), max(x1 - x0, 0) * channels
    covered, total = lines * max(x1 - x0, 0), totals.channels
    for c in range(3):
        total[c] = 0.0
    if covered == height * width or edges.pad_mode == CONSTANT:
        pitch = U(frame.width * channels)
        first = frame.start + U(y0) * pitch + U(x0 * channels)
        if scale == 255.0:
            add_lines(flat, first, pitch, lines, columns, totals.levels)
            for c in range(channels):
                whole: Any = U(0)
                for i in range(c, columns, channels):
                    whole += U(totals.levels[i])
                total[c] = whole
        else:
            add_lines(flat, first, pitch, lines, columns, totals.floats)
            for i in range(0, columns, channels):
                for c in range(channels):
                    total[c] += totals.floats[i + c]
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

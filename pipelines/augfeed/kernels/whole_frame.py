"""Small frames as float32 with a border about them, so that no neighbor has to be tested.

A pixel is four values, of which three are its channels, and so one vector. The border is two
pixels wide: what lies further outside is blended of it alone.
"""

from typing import Any

import numpy as np

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT
from augfeed.kernels.blend_lines import blend_four, fill_four, widen_four, widen_last_four
from augfeed.kernels.blend_pixels import LANES, blend_wide
from augfeed.kernels.inner import njit
from augfeed.kernels.nontemporal_copy import first_of_line
from augfeed.kernels.place import Edges, Frame, U, fold, value_at
from augfeed.kernels.pointers import moved, pointer_to
from augfeed.kernels.types import Array, Floats, Index, Ints, Record
from augfeed.kernels.warp import Map, find_positions

BORDER = 2
MOST = 1024  # pixels of a frame: the nearest cache holds it
_LINE = 16  # values of a cache line
LINES = 8  # that are found at once


@njit(nogil=True)
def whole_size(height: int, width: int, channels: int) -> int:
    """Return how many values a frame takes, 0 for one that is not taken as a whole."""
    if channels != 3 or height * width > MOST:
        return 0
    return _LINE + LANES * (height + 2 * BORDER) * (width + 2 * BORDER)


@njit(nogil=True)
def _lines_values(width: int) -> int:
    return 2 * width * LINES


@njit(nogil=True)
def _begin(floats: Floats, width: int) -> Any:
    # Where a frame begins behind the shares: its pixels, not its border, with a cache line.
    inside = first_of_line(floats) + _LINE - BORDER * LANES
    return U(_lines_values(width) + inside % _LINE)


@njit(nogil=True)
def line_scratch(height: int, width: int, channels: int) -> int:
    """Return how many places, and shares, are held at once for lines: two for each pixel."""
    return _lines_values(width) if whole_size(height, width, channels) else 2 * width


@njit(nogil=True)
def is_whole(frame: Frame, edges: Edges, kind: int) -> bool:
    """Return whether pixels of a frame, moved by a filter, are taken from it as a whole."""
    small = whole_size(frame.out_height, frame.out_width, frame.channels) > 0
    return small and edges.border_mode == CONSTANT and kind != BICUBIC


@njit(nogil=True)
def _fill(whole: Floats, at: Index, pixels: int, fill: Any) -> None:
    # At least four; the last four overlap those before, where four do not divide them.
    for k in range(0, pixels, 4):
        fill_four(whole, at + U(LANES * min(k, pixels - 4)), fill)


@njit(nogil=True)
def _outside(
    flat: Array, frame: Frame, y: int, x: int, edges: Edges, whole: Floats, to: Index
) -> None:  # fmt: skip
    x = fold(x + frame.left, frame.width, edges.pad_mode)
    for c in range(3):
        outside = x < 0 or y < 0
        whole[to + U(c)] = edges.pad_fill[c] if outside else value_at(flat, frame, y, x, c)


@njit(nogil=True)
def _widen(flat: Array, source: Index, count: int, whole: Floats, to: Index) -> None:
    # Pixels side by side; nothing is read behind the last one.
    if count < 6:  # of what four are read with
        for k in range(count):
            for c in range(3):
                whole[to + U(LANES * k + c)] = np.float32(flat[source + U(3 * k + c)])
        return
    for k in range(0, count - 5, 4):
        widen_four(flat, source + U(3 * k), whole, to + U(LANES * k))
    # These overlap those before, where four do not divide `count`.
    for k in range((count - 2) // 4 * 4, count, 4):
        i = U(min(k, count - 4))
        widen_last_four(flat, source + U(3) * i, whole, to + U(LANES) * i)


@njit(nogil=True)
def write_whole(flat: Array, frame: Frame, edges: Edges, whole: Floats) -> None:
    """Write a frame that `is_whole`, behind the shares that `line_scratch` counts."""
    height, width = frame.out_height, frame.out_width
    at = _begin(whole, width)
    low = min(max(-frame.left, 0), width)
    high = max(min(frame.width - frame.left, width), low)
    line = LANES * (width + 2 * BORDER)
    # The borders of two lines lie side by side.
    _fill(whole, at, BORDER * (width + 2 * BORDER) + BORDER, edges.border_fill)
    at += U(BORDER * line)
    for k in range(height):
        begin = at + U(BORDER * LANES)
        y = fold(k + frame.top, frame.height, edges.pad_mode)
        first, last = (low, high) if y >= 0 else (width, width)
        for x in range(width if y < 0 else low):
            _outside(flat, frame, y, x, edges, whole, begin + U(LANES * x))
        source = frame.start + U((max(y, 0) * frame.width + frame.left + first) * 3)
        to = begin + U(LANES * first)
        _widen(flat, source, last - first, whole, to)
        for x in range(last, width):
            _outside(flat, frame, y, x, edges, whole, begin + U(LANES * x))
        at += U(line)
        if k + 1 < height:
            _fill(whole, at - U(BORDER * LANES), 2 * BORDER, edges.border_fill)
    count = BORDER * (width + 2 * BORDER) + BORDER
    _fill(whole, at - U(BORDER * LANES), count, edges.border_fill)


@njit(nogil=True)
def _find(count: int, frame: Frame, places: Ints) -> None:
    # Turns source pixels into where they are, and holds those outside at the border.
    height, width, half = frame.out_height, frame.out_width, U(count)
    line = width + 2 * BORDER
    for k in range(count):
        x = min(max(places[U(k)], -BORDER), width) + BORDER
        y = min(max(places[half + U(k)], -BORDER), height) + BORDER
        places[U(k)] = LANES * (y * line + x)


@njit(nogil=True)
def _warp_line(
    begin: Index, pitch: Index, count: int, kind: int, places: Ints, shares: Floats, floats: Floats,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    half, middle = U(count), np.float32(0.5)
    if kind == BILINEAR:
        fours = count // 4 * 4
        for k in range(0, fours, 4):
            blend_four(floats, begin, pitch, places, shares, half, U(k), planes, at + U(k), stride)
        for k in range(fours, count):
            i = U(k)
            place, share = begin + U(places[i]), (shares[i], shares[half + i])
            blend_wide(floats, place, pitch, share, planes, at + i, stride)
        return
    for k in range(count):
        i = U(k)
        place, to = begin + U(places[i]), at + i
        place += U(LANES) if shares[i] >= middle else U(0)
        place += pitch if shares[half + i] >= middle else U(0)
        for c in range(3):
            planes[to + U(c) * stride] = floats[place + U(c)]


@njit(nogil=True)
def warp_whole_lines(
    frame: Frame, row: Record | Map, part: tuple[int, int, int, int], places: Ints, floats: Floats,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    """Write lines as `warp.warp_line` does, of a frame that `write_whole` has written.

    `part` (first line, end, first pixel, count); `places` and `floats` hold what `line_scratch`
    says, `floats` the frame behind it. The places of several lines are found before any is read,
    so that the processor does not wait for them line by line.
    """
    y0, y1, x0, count = part
    begin, pitch = _begin(floats, frame.out_width), U(LANES * (frame.out_width + 2 * BORDER))
    found, shares = pointer_to(places), pointer_to(floats)
    for first in range(y0, y1, LINES):
        lines = min(LINES, y1 - first)
        for k in range(lines):
            own = moved(found, 2 * count * k)
            find_positions(first + k, x0, count, row, own, moved(shares, 2 * count * k))
            _find(count, frame, own)
        for k in range(lines):
            _warp_line(begin, pitch, count, row.filter, moved(found, 2 * count * k),
                       moved(shares, 2 * count * k), floats, planes, at, stride)  # fmt: skip
            at += U(count)

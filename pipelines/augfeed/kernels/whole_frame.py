"""Small frames as float32 with a border about them, so that no neighbor has to be tested.

A pixel is four values, of which three are its channels, and so one vector. The border is two
pixels wide: what lies further outside is blended of it alone.
"""

from typing import Any

import numpy as np

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT
from augfeed.kernels.blend_pixels import LANES, blend_wide, widen_pixel
from augfeed.kernels.inner import njit
from augfeed.kernels.place import Edges, Frame, U, fold, value_at
from augfeed.kernels.types import Array, Floats, Index, Ints, Record
from augfeed.kernels.warp import Map, find_positions

BORDER = 2
MOST = 1024  # pixels of a frame: the nearest cache holds it


@njit(nogil=True)
def whole_size(height: int, width: int, channels: int) -> int:
    """Return how many values a frame takes, 0 for one that is not taken as a whole."""
    if channels != 3 or height * width > MOST:
        return 0
    return LANES * (height + 2 * BORDER) * (width + 2 * BORDER)


@njit(nogil=True)
def is_whole(frame: Frame, edges: Edges, kind: int) -> bool:
    """Return whether pixels of a frame, moved by a filter, are taken from it as a whole."""
    small = whole_size(frame.out_height, frame.out_width, frame.channels) > 0
    return small and edges.border_mode == CONSTANT and kind != BICUBIC


@njit(nogil=True)
def _fill(whole: Floats, at: Index, pixels: int, fill: Any) -> None:
    for k in range(pixels):
        to = at + U(LANES * k)
        whole[to], whole[to + U(1)], whole[to + U(2)] = fill[0], fill[1], fill[2]
        whole[to + U(3)] = np.float32(0.0)


@njit(nogil=True)
def _outside(
    flat: Array, frame: Frame, y: int, x: int, edges: Edges, whole: Floats, to: Index
) -> None:  # fmt: skip
    x = fold(x + frame.left, frame.width, edges.pad_mode)
    for c in range(3):
        outside = x < 0 or y < 0
        whole[to + U(c)] = edges.pad_fill[c] if outside else value_at(flat, frame, y, x, c)


@njit(nogil=True)
def write_whole(flat: Array, frame: Frame, edges: Edges, whole: Floats) -> None:
    """Write a frame that `is_whole`, behind two values for each pixel of a line."""
    height, width = frame.out_height, frame.out_width
    at = U(2 * width)
    low = min(max(-frame.left, 0), width)
    high = max(min(frame.width - frame.left, width), low)
    line = LANES * (width + 2 * BORDER)
    _fill(whole, at, BORDER * (width + 2 * BORDER), edges.border_fill)
    at += U(BORDER * line)
    for k in range(height):
        _fill(whole, at, BORDER, edges.border_fill)
        begin = at + U(BORDER * LANES)
        y = fold(k + frame.top, frame.height, edges.pad_mode)
        first, last = (low, high) if y >= 0 else (width, width)
        for x in range(width if y < 0 else low):
            _outside(flat, frame, y, x, edges, whole, begin + U(LANES * x))
        source = frame.start + U((max(y, 0) * frame.width + frame.left + first) * 3)
        to = begin + U(LANES * first)
        for _ in range(last - first - 1):
            widen_pixel(flat, source, whole, to)
            source, to = source + U(3), to + U(LANES)
        if first < last:  # nothing is read behind the last one
            for c in range(3):
                whole[to + U(c)] = np.float32(flat[source + U(c)])
        for x in range(last, width):
            _outside(flat, frame, y, x, edges, whole, begin + U(LANES * x))
        _fill(whole, at + U(line - BORDER * LANES), BORDER, edges.border_fill)
        at += U(line)
    _fill(whole, at, BORDER * (width + 2 * BORDER), edges.border_fill)


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
def warp_whole_line(
    frame: Frame, row: Record | Map, part: tuple[int, int, int], places: Ints, floats: Floats,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    """Write pixels of a line as `warp.warp_line` does, of a frame that `write_whole` has written.

    `floats` is what it was given.
    """
    y, x0, count = part
    half, begin = U(count), U(2 * frame.out_width)
    pitch, middle = U(LANES * (frame.out_width + 2 * BORDER)), np.float32(0.5)
    find_positions(y, x0, count, row, places, floats)
    _find(count, frame, places)
    if row.filter == BILINEAR:
        for k in range(count):
            i = U(k)
            place, shares = begin + U(places[i]), (floats[i], floats[half + i])
            blend_wide(floats, place, pitch, shares, planes, at + i, stride)
        return
    for k in range(count):
        i = U(k)
        place, to = begin + U(places[i]), at + i
        place += U(LANES) if floats[i] >= middle else U(0)
        place += pitch if floats[half + i] >= middle else U(0)
        for c in range(3):
            planes[to + U(c) * stride] = floats[place + U(c)]

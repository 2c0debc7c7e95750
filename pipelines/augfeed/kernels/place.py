"""Where a frame lies in its image, and what stands for pixels outside of either."""

from typing import Any, NamedTuple

import numpy as np

from augfeed.constants import CONSTANT, EDGE
from augfeed.kernels.inner import njit
from augfeed.kernels.types import Array, Record

FAST = {"contract"}  # fused multiply-add only: nothing is reordered
U = np.uint64


class Edges(NamedTuple):
    """What lies outside: mode (0 constant, 1 edge, 2 reflect), and of each of three channels the
    fill in the image's units, of which `white` is the largest value."""

    pad_mode: int
    pad_fill: Any
    border_mode: int
    border_fill: Any
    white: Any


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
def edges_of(fixed: Record) -> Edges:
    """Return what lies outside by a record of `FIXED`."""
    pad = fixed.pad_fill0, fixed.pad_fill1, fixed.pad_fill2
    border = fixed.border_fill0, fixed.border_fill1, fixed.border_fill2
    return Edges(fixed.pad_mode, pad, fixed.border_mode, border, np.float32(fixed.scale))


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
def value_at(flat: Array, frame: Frame, y: int, x: int, c: int) -> Any:
    """Return a channel of a pixel of the image that a frame lies in, as float32."""
    offset = U((y * frame.width + x) * frame.channels + c)
    return np.float32(flat[frame.start + offset])


@njit(nogil=True)
def tap(flat: Array, frame: Frame, y: int, x: int, c: int, edges: Edges) -> Any:
    """Return a channel of pixel (y, x) of a frame, by what lies outside of it and of its image."""
    y = fold(y, frame.out_height, edges.border_mode)
    x = fold(x, frame.out_width, edges.border_mode)
    if y < 0 or x < 0:
        return edges.border_fill[c]
    y = fold(y + frame.top, frame.height, edges.pad_mode)
    x = fold(x + frame.left, frame.width, edges.pad_mode)
    if y < 0 or x < 0:
        return edges.pad_fill[c]
    return value_at(flat, frame, y, x, c)

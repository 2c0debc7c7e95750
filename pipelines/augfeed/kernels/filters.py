"""Filters of resizing, Pillow's: by which inputs each output of a side is blended."""

import numpy as np

from augfeed.constants import BICUBIC, NEAREST, RESIZE_CUBIC
from augfeed.kernels.inner import njit
from augfeed.kernels.types import Array, Ints


@njit(nogil=True)
def radius(kind: int) -> float:
    """Return how many pixels, of the larger of the two grids, a filter reaches to each side."""
    return 2.0 if kind == BICUBIC else 1.0


@njit(nogil=True)
def _cubic(x: float) -> float:
    # Keys 1981.
    x, a = abs(x), RESIZE_CUBIC
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    if x < 2.0:
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return 0.0


@njit(nogil=True)
def _nearest(begin: float, scale: float, length: int, first: int, count: int) -> tuple[Ints, Array]:
    starts = np.empty(count, np.int64)
    weights = np.zeros((count, 2))
    place = begin + 0.5 * scale
    for _ in range(first):  # added up as Pillow does, which decides between equal neighbors
        place += scale
    for j in range(count):
        starts[j] = min(max(int(place), 0), length - 1)
        weights[j, 0] = 1.0
        place += scale
    return starts, weights


@njit(nogil=True)
def blends(
    kind: int, begin: float, span: float, length: int, size: int, first: int, count: int
) -> tuple[Ints, Array]:
    """Return, for outputs `first`, ... of a side, of whose `length` inputs `span` from `begin` on
    are resized to `size`: the first input, int64 `[count]`, and the weights from it on, float64
    `[count, taps]` with zeros at the end. `kind` is a filter of `augfeed.constants`."""
    scale = span / size
    if kind == NEAREST:
        return _nearest(begin, scale, length, first, count)
    wide = max(scale, 1.0)
    support, inverse = radius(kind) * wide, 1.0 / wide
    taps = int(np.ceil(2.0 * support))
    taps = 2 if taps <= 2 else (taps + 3) // 4 * 4
    starts = np.empty(count, np.int64)
    weights = np.zeros((count, taps))
    for j in range(count):
        center = begin + (first + j + 0.5) * scale
        start = max(int(center - support + 0.5), 0)
        end = min(int(center + support + 0.5), length, start + taps)
        total = 0.0
        for i in range(start, end):
            x = (i - center + 0.5) * inverse
            weights[j, i - start] = _cubic(x) if kind == BICUBIC else max(1.0 - abs(x), 0.0)
            total += weights[j, i - start]
        starts[j] = start
        for k in range(taps):  # an array in one piece takes seconds to compile
            weights[j, k] /= total
    return starts, weights


@njit(nogil=True)
def fixed_point(weight: float, bits: int) -> int:
    """Return a weight in units of `2 ** -bits`, rounded as Pillow does."""
    return int(weight * (1 << bits) + (0.5 if weight >= 0.0 else -0.5))

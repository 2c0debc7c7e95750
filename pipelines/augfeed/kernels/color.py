"""Color: the linear operations of a sample as one matrix, then the pointwise ones."""

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels._pointwise import change_points
from augfeed.kernels.place import FAST, U
from augfeed.kernels.types import Floats

PLAIN, MATRIX, STEPS = 0, 1, 2


@njit(nogil=True)
def finish_matrix(linear: Floats, scale: float, statistics: Floats, maps: Floats, r: int) -> None:
    """Write the map from image units to normalized values to `maps[r]`, float32 `[C, C + 1]`.

    `statistics` float32 `[2, C]`: mean and standard deviation.
    """
    channels = linear.shape[0]
    for c in range(channels):
        mean, std = statistics[0, c], statistics[1, c]
        for k in range(channels):
            maps[r, c, k] = np.float32(linear[c, k] / (scale * std))
        maps[r, c, channels] = np.float32((linear[c, channels] - mean) / std)


@njit(nogil=True, fastmath=FAST)
def _plain(planes: Floats, at: Any, count: int, a: Any, b: Any) -> None:
    for i in range(count):
        planes[at + U(i)] = planes[at + U(i)] * a + b


@njit(nogil=True, fastmath=FAST)
def _matrix(planes: Floats, at: Any, stride: Any, count: int, m: Floats, r: int) -> None:
    m00, m01, m02, m03 = m[r, 0, 0], m[r, 0, 1], m[r, 0, 2], m[r, 0, 3]
    m10, m11, m12, m13 = m[r, 1, 0], m[r, 1, 1], m[r, 1, 2], m[r, 1, 3]
    m20, m21, m22, m23 = m[r, 2, 0], m[r, 2, 1], m[r, 2, 2], m[r, 2, 3]
    green, blue = at + stride, at + stride + stride
    for k in range(count):
        i = U(k)
        p, q, s = planes[at + i], planes[green + i], planes[blue + i]
        planes[at + i] = m00 * p + m01 * q + m02 * s + m03
        planes[green + i] = m10 * p + m11 * q + m12 * s + m13
        planes[blue + i] = m20 * p + m21 * q + m22 * s + m23


@njit(nogil=True)
def _clamp(planes: Floats, at: Any, count: int, low: Any, high: Any) -> None:
    for i in range(count):
        planes[at + U(i)] = min(max(planes[at + U(i)], low), high)


@njit(nogil=True)
def color_strip(
    planes: Floats, at: Any, stride: Any, count: int, use: int, maps: Floats, r: int, row: Any,
    statistics: Floats,
) -> None:  # fmt: skip
    """Apply color map `maps[r]` to `count` values a channel, from `planes[at]` on, in place.

    `use` is `PLAIN`: only the diagonal; `MATRIX`: all of it, then the clamp; `STEPS`: all of it,
    into [0, 1], clamp, the pointwise operations of `row`, then normalize.
    """
    channels = maps.shape[1]
    if use == PLAIN or channels == 1:
        for c in range(channels):
            _plain(planes, at + U(c) * stride, count, maps[r, c, c], maps[r, c, channels])
    else:
        _matrix(planes, at, stride, count, maps, r)
    if use == PLAIN:
        return
    one, zero = np.float32(1.0), np.float32(0.0)
    for c in range(channels):
        start, mean, std = at + U(c) * stride, statistics[0, c], statistics[1, c]
        if use == MATRIX:
            _clamp(planes, start, count, (zero - mean) / std, (one - mean) / std)
        else:
            _clamp(planes, start, count, zero, one)
            change_points(planes, start, count, row)
            _plain(planes, start, count, one / std, -mean / std)

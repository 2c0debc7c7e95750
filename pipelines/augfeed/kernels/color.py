"""Color: the linear operations of a sample as one matrix, then the pointwise ones."""

from typing import Any

import numpy as np

from augfeed.kernels._pointwise import change_points
from augfeed.kernels.inner import njit
from augfeed.kernels.place import FAST, U
from augfeed.kernels.types import Floats, Index, Record

PLAIN, MATRIX, STEPS = 0, 1, 2


@njit(nogil=True)
def finish_matrix(
    linear: Floats, scale: float, means: Any, stds: Any, maps: Any, at: Index
) -> None:
    """Write the map from image units to normalized values, `[C, C + 1]`, from `maps[at]` on.

    `means` and `stds` are those of each channel.
    """
    channels = linear.shape[0]
    for c in range(channels):
        mean, std = means[c], stds[c]
        for k in range(channels):
            maps[at + U(k)] = np.float32(linear[c, k] / (scale * std))
        maps[at + U(channels)] = np.float32((linear[c, channels] - mean) / std)
        at += U(channels + 1)


@njit(nogil=True, fastmath=FAST)
def _plain(planes: Floats, at: Index, count: int, a: Any, b: Any) -> None:
    for i in range(count):
        planes[at + U(i)] = planes[at + U(i)] * a + b


@njit(nogil=True, fastmath=FAST)
def _matrix(
    planes: Floats, at: Index, stride: Index, count: int, m: Any, lows: Any, highs: Any
) -> None:
    m00, m01, m02, m03, m10, m11 = m[0], m[1], m[2], m[3], m[4], m[5]
    m12, m13, m20, m21, m22, m23 = m[6], m[7], m[8], m[9], m[10], m[11]
    green, blue = at + stride, at + stride + stride
    for k in range(count):
        i = U(k)
        p, q, s = planes[at + i], planes[green + i], planes[blue + i]
        red = m00 * p + m01 * q + m02 * s + m03
        planes[at + i] = min(max(red, lows[0]), highs[0])
        value = m10 * p + m11 * q + m12 * s + m13
        planes[green + i] = min(max(value, lows[1]), highs[1])
        value = m20 * p + m21 * q + m22 * s + m23
        planes[blue + i] = min(max(value, lows[2]), highs[2])


@njit(nogil=True)
def _clamp(planes: Floats, at: Index, count: int, low: Any, high: Any) -> None:
    for i in range(count):
        planes[at + U(i)] = min(max(planes[at + U(i)], low), high)


@njit(nogil=True)
def _bounds(value: Any, means: Any, stds: Any, use: int) -> Any:
    # A value of [0, 1] in each of three channels, as a map leaves it.
    if use == STEPS:
        return value, value, value
    return (value - means[0]) / stds[0], (value - means[1]) / stds[1], (value - means[2]) / stds[2]


@njit(nogil=True)
def color_strip(
    planes: Floats, at: Index, steps: tuple[Any, int, int], use: int, m: Any, row: Record,
    means: Any, stds: Any,
) -> None:  # fmt: skip
    """Apply a color map, from `m[0]` on, from `planes[at]` on, in place.

    `steps` are (distance of channels, values of each, channels). `use` is `PLAIN`: only the
    diagonal; `MATRIX`: all of it, then the clamp; `STEPS`: all of it, into [0, 1], clamp, the
    pointwise operations of `row`, then normalize.
    """
    stride, count, channels = steps
    one, zero = np.float32(1.0), np.float32(0.0)
    if use != PLAIN and channels == 3:
        lows, highs = _bounds(zero, means, stds, use), _bounds(one, means, stds, use)
        _matrix(planes, at, stride, count, m, lows, highs)
    else:
        for c in range(channels):
            k = c * (channels + 1)
            _plain(planes, at + U(c) * stride, count, m[k + c], m[k + channels])
            if use != PLAIN:
                low, high = (zero, one) if use == STEPS else (
                    (zero - means[c]) / stds[c], (one - means[c]) / stds[c])  # fmt: skip
                _clamp(planes, at + U(c) * stride, count, low, high)
    if use == STEPS:
        for c in range(channels):
            start, mean, std = at + U(c) * stride, means[c], stds[c]
            change_points(planes, start, count, row)
            _plain(planes, start, count, one / std, -mean / std)

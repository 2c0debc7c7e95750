"""Color: all linear operations of a sample as one matrix, then what is not linear."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from augfeed.kernels.sample import FAST, U
from augfeed.kernels.types import Floats

RED, GREEN, BLUE = 0.299, 0.587, 0.114
PLAIN, MATRIX, STEPS = 0, 1, 2


@njit(nogil=True)
def _apply(left: Floats, total: Floats, spare: Floats) -> None:
    # Makes an affine color map [3, 4] its product with a linear one [3, 3] from the left.
    for i in range(3):
        for j in range(4):
            value = 0.0
            for k in range(3):
                value += left[i, k] * total[k, j]
            spare[i, j] = value
    for i in range(3):
        for j in range(4):
            total[i, j] = spare[i, j]


@njit(nogil=True)
def _blend_with_gray(share: float, out: Floats) -> None:
    for c in range(3):
        out[c, 0], out[c, 1], out[c, 2] = (
            RED * (1.0 - share), GREEN * (1.0 - share), BLUE * (1.0 - share)
        )  # fmt: skip
        out[c, c] += share


@njit(nogil=True)
def _turn_hue(turns: float, chroma: Floats, out: Floats) -> None:
    yiq, rgb = chroma[0], chroma[1]
    cos, sin = np.cos(2.0 * np.pi * turns), np.sin(2.0 * np.pi * turns)
    for i in range(3):
        for j in range(3):
            y, p, q = yiq[0, j], yiq[1, j], yiq[2, j]
            out[i, j] = (
                rgb[i, 0] * y + rgb[i, 1] * (cos * p - sin * q) + rgb[i, 2] * (sin * p + cos * q)
            )


class Look(NamedTuple):
    """The color decisions of one row."""

    brightness: float
    contrast: float
    about: float  # what contrast scales the distance to, in [0, 1] before brightness if `mean`
    saturation: float
    hue: float
    gray: bool
    inverted: bool


@njit(nogil=True)
def color_matrix(look: Look, chroma: Floats, total: Floats, spare: Floats) -> bool:
    """Write the linear color operations, on values in [0, 1], to `total`, float64 `[C, C + 1]`.

    Returns whether they change anything. `spare` float64 `[2, 3, 4]` is scratch: memory of its own
    for each row would take longer than the row.
    """
    channels = total.shape[0]
    for c in range(channels):
        for k in range(channels + 1):
            total[c, k] = 0.0
    for c in range(channels):
        total[c, c] = look.brightness
    if look.contrast != 1.0:
        for c in range(channels):
            total[c, c] *= look.contrast
            total[c, channels] = (1.0 - look.contrast) * look.about
    if channels == 3:
        if look.saturation != 1.0:
            _blend_with_gray(look.saturation, spare[0])
            _apply(spare[0], total, spare[1])
        if look.hue != 0.0:
            _turn_hue(look.hue, chroma, spare[0])
            _apply(spare[0], total, spare[1])
        if look.gray:
            _blend_with_gray(0.0, spare[0])
            _apply(spare[0], total, spare[1])
    if look.inverted:
        for c in range(channels):
            for k in range(channels + 1):
                total[c, k] = -total[c, k]
            total[c, channels] += 1.0
    changed = look.inverted or look.brightness != 1.0 or look.contrast != 1.0
    return changed or (channels == 3 and (look.saturation != 1.0 or look.hue != 0.0 or look.gray))


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
def _steps(planes: Floats, at: Any, count: int, bits: int, threshold: Any) -> None:
    mask = (0xFF << (8 - bits)) & 0xFF
    for i in range(count):
        value = planes[at + U(i)]
        if bits < 8:
            kept = int(np.floor(value * np.float32(255.0) + np.float32(0.5))) & mask
            value = np.float32(kept) * np.float32(1.0 / 255.0)
        planes[at + U(i)] = np.float32(1.0) - value if value >= threshold else value


@njit(nogil=True)
def color_strip(
    planes: Floats, at: Any, stride: Any, count: int, use: int, maps: Floats, r: int, row: Any,
    statistics: Floats,
) -> None:  # fmt: skip
    """Apply color map `maps[r]` to `count` values a channel, from `planes[at]` on, in place.

    `use` is `PLAIN`: only the diagonal; `MATRIX`: all of it, then the clamp; `STEPS`: all of it,
    into [0, 1], clamp, posterize and solarize as `row` says, then normalize.
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
            _steps(planes, start, count, row.bits, row.threshold)
            _plain(planes, start, count, one / std, -mean / std)

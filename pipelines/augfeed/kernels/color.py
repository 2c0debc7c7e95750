"""Colour: all linear operations of a sample as one matrix, then what is not linear."""

from typing import NamedTuple

import numpy as np
from numba import njit

from augfeed.kernels.sample import FAST
from augfeed.kernels.types import Floats

RED, GREEN, BLUE = 0.299, 0.587, 0.114
PLAIN, MATRIX, STEPS = 0, 1, 2


@njit(nogil=True)
def _times(left: Floats, right: Floats) -> Floats:
    # The product of two affine colour maps [C, C + 1].
    channels = left.shape[0]
    out = np.zeros_like(left)
    for i in range(channels):
        for j in range(channels + 1):
            for k in range(channels):
                out[i, j] += left[i, k] * right[k, j]
        out[i, channels] += left[i, channels]
    return out


@njit(nogil=True)
def _blend_with_gray(share: float) -> Floats:
    out = np.zeros((3, 4))
    for c in range(3):
        out[c, 0], out[c, 1], out[c, 2] = (
            RED * (1.0 - share), GREEN * (1.0 - share), BLUE * (1.0 - share)
        )  # fmt: skip
        out[c, c] += share
    return out


@njit(nogil=True)
def _turn_hue(turns: float, yiq: Floats, rgb: Floats) -> Floats:
    cos, sin = np.cos(2.0 * np.pi * turns), np.sin(2.0 * np.pi * turns)
    out = np.zeros((3, 4))
    for i in range(3):
        for j in range(3):
            y, p, q = yiq[0, j], yiq[1, j], yiq[2, j]
            out[i, j] = (
                rgb[i, 0] * y + rgb[i, 1] * (cos * p - sin * q) + rgb[i, 2] * (sin * p + cos * q)
            )
    return out


class Look(NamedTuple):
    """The colour decisions of one row."""

    brightness: float
    contrast: float
    about: float  # what contrast scales the distance to, in [0, 1] before brightness if `mean`
    saturation: float
    hue: float
    gray: bool
    inverted: bool


@njit(nogil=True)
def color_matrix(look: Look, yiq: Floats, rgb: Floats, out: Floats) -> bool:
    """Write the linear colour operations, on values in [0, 1], to float64 `[C, C + 1]`.

    Returns whether they change anything.
    """
    channels = out.shape[0]
    total = np.zeros((channels, channels + 1))
    for c in range(channels):
        total[c, c] = look.brightness
    if look.contrast != 1.0:
        for c in range(channels):
            total[c, c] *= look.contrast
            total[c, channels] = (1.0 - look.contrast) * look.about
    if channels == 3:
        if look.saturation != 1.0:
            total = _times(_blend_with_gray(look.saturation), total)
        if look.hue != 0.0:
            total = _times(_turn_hue(look.hue, yiq, rgb), total)
        if look.gray:
            total = _times(_blend_with_gray(0.0), total)
    if look.inverted:
        for c in range(channels):
            for k in range(channels + 1):
                total[c, k] = -total[c, k]
            total[c, channels] += 1.0
    changed = look.inverted or look.brightness != 1.0 or look.contrast != 1.0
    for c in range(channels):
        for k in range(channels + 1):
            out[c, k] = total[c, k]
    return changed or (channels == 3 and (look.saturation != 1.0 or look.hue != 0.0 or look.gray))


@njit(nogil=True)
def finish_matrix(linear: Floats, scale: float, mean: Floats, std: Floats, out: Floats) -> None:
    """Write the map from image units to normalised values to float32 `[C, C + 1]`."""
    channels = out.shape[0]
    for c in range(channels):
        for k in range(channels):
            out[c, k] = np.float32(linear[c, k] / (scale * std[c]))
        out[c, channels] = np.float32((linear[c, channels] - mean[c]) / std[c])


@njit(nogil=True, fastmath=FAST)
def _plain(row: Floats, a: np.float32, b: np.float32) -> None:
    for i in range(row.size):
        row[i] = row[i] * a + b


@njit(nogil=True, fastmath=FAST)
def _matrix(red: Floats, green: Floats, blue: Floats, m: Floats) -> None:
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    for i in range(red.size):
        p, q, s = red[i], green[i], blue[i]
        red[i] = m00 * p + m01 * q + m02 * s + m03
        green[i] = m10 * p + m11 * q + m12 * s + m13
        blue[i] = m20 * p + m21 * q + m22 * s + m23


@njit(nogil=True)
def _clamp(row: Floats, low: np.float32, high: np.float32) -> None:
    for i in range(row.size):
        row[i] = min(max(row[i], low), high)


@njit(nogil=True)
def _steps(row: Floats, bits: int, threshold: np.float32) -> None:
    mask = (0xFF << (8 - bits)) & 0xFF
    for i in range(row.size):
        value = row[i]
        if bits < 8:
            kept = int(np.floor(value * np.float32(255.0) + np.float32(0.5))) & mask
            value = np.float32(kept) * np.float32(1.0 / 255.0)
        row[i] = np.float32(1.0) - value if value >= threshold else value


@njit(nogil=True)
def color_strip(
    planes: Floats, first: int, end: int, use: int, matrix: Floats, steps: tuple[int, float],
    mean: Floats, std: Floats,
) -> None:  # fmt: skip
    """Apply a colour map to `planes[:, first:end]`, float32 `[C, n]`, in place.

    `use` is `PLAIN`: only the diagonal; `MATRIX`: all of it, then the clamp; `STEPS`: all of it,
    into [0, 1], clamp, posterize and solarize (`steps`: bits, threshold), then normalise.
    """
    channels = planes.shape[0]
    if use == PLAIN or channels == 1:
        for c in range(channels):
            _plain(planes[c, first:end], matrix[c, c], matrix[c, channels])
    else:
        _matrix(planes[0, first:end], planes[1, first:end], planes[2, first:end], matrix)
    if use == PLAIN:
        return
    one, zero = np.float32(1.0), np.float32(0.0)
    for c in range(channels):
        row = planes[c, first:end]
        if use == MATRIX:
            _clamp(row, (zero - mean[c]) / std[c], (one - mean[c]) / std[c])
        else:
            _clamp(row, zero, one)
            _steps(row, steps[0], np.float32(steps[1]))
            _plain(row, one / std[c], -mean[c] / std[c])

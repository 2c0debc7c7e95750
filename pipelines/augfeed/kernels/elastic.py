"""Frames moved by a smooth random field, compiled: see `augfeed.operation.elastic`."""

from typing import Any

import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.noise import plane_numbers
from augfeed.kernels.place import FAST, U, fold
from augfeed.kernels.types import Array, Floats, Index
from augfeed.philox import Stream

REFLECT = 2
ELASTIC_PIXELS = int(Stream.ELASTIC_PIXELS)
ROUNDER = np.float32(3 << 22)  # added to and taken off, it rounds, halves to even


@njit(nogil=True)
def _weights(sigma: Any) -> Floats:
    # From the middle outward.
    reach = (int(np.floor(np.float32(8.0) * sigma)) + 1) // 2
    weights, total = np.empty(reach + 1, np.float32), 0.0
    for j in range(reach + 1):
        weights[j] = np.exp(-(j * j) / (2.0 * sigma * sigma))
        total += weights[j] * (1.0 if j == 0 else 2.0)
    for j in range(reach + 1):
        weights[j] /= total
    return weights


@njit(nogil=True, fastmath=FAST)
def _add(sums: Floats, at: Index, source: Floats, a: Any, b: Any, weight: Any, count: int) -> None:
    for i in range(count):
        k = U(i)
        sums[at + k] += weight * (source[a + k] + source[b + k])


@njit(nogil=True)
def _smooth(plane: Floats, height: int, width: int, weights: Floats) -> None:
    # In place, along lines and then across them.
    reach = weights.size - 1
    made, wide = np.zeros(plane.size, np.float32), np.empty(width + 2 * reach, np.float32)
    half = np.float32(0.5)
    for y in range(height):
        line = y * width
        for x in range(wide.size):
            wide[x] = plane[line + fold(x - reach, width, REFLECT)]
        for j in range(reach + 1):
            weight = weights[j] if j else weights[j] * half
            _add(made, U(line), wide, U(reach - j), U(reach + j), weight, width)
    plane[:] = 0
    for y in range(height):
        for j in range(reach + 1):
            over, under = fold(y - j, height, REFLECT), fold(y + j, height, REFLECT)
            weight = weights[j] if j else weights[j] * half
            _add(plane, U(y * width), made, U(over * width), U(under * width), weight, width)


@njit(nogil=True)
def displacement(c: int, size: tuple[int, int, int], numbers: Floats) -> Floats:
    """Return float32 `[height * width]`: how far each pixel looks along x, if `c` is 0, or y."""
    height, width, _ = size
    seed = np.uint64(numbers[3]) + (np.uint64(numbers[4]) << np.uint64(24))
    drawn = plane_numbers(height * width, c, (seed, U(0), U(0), ELASTIC_PIXELS))
    plane = np.empty(height * width, np.float32)
    for p in range(plane.size):
        plane[p] = (np.float32(drawn[p]) + np.float32(0.5)) / np.float32(32768) - np.float32(1)
    _smooth(plane, height, width, _weights(numbers[1]))
    half = numbers[0] * np.float32(0.5)
    for p in range(plane.size):
        plane[p] *= half
    return plane


@njit(nogil=True)
def _value(source: Floats, y: int, x: int, c: int, size: tuple[int, int, int], fill: Any) -> Any:
    height, width, channels = size
    if y < 0 or x < 0 or y >= height or x >= width:
        return fill
    return source[U((y * width + x) * channels + c)]


@njit(nogil=True)
def run_elastic(
    out: Array, at: Index, size: tuple[int, int, int], scale: float, numbers: Floats
) -> None:
    """Change a frame `(height, width, channels)`, from `out[at]` on, in place.

    `scale` is the highest value; `numbers` are what the step reads.
    """
    height, width, channels = size
    count, fill = height * width * channels, numbers[2] * np.float32(scale)
    source = np.empty(count, np.float32)
    for i in range(count):
        source[U(i)] = out[at + U(i)]
    across, down = displacement(0, size, numbers), displacement(1, size, numbers)
    low = np.float32(-1.0)
    for y in range(height):
        for x in range(width):
            p = y * width + x
            at_x = min(max(np.float32(x) + across[p], low), np.float32(width))
            at_y = min(max(np.float32(y) + down[p], low), np.float32(height))
            left, top = int(np.floor(at_x)), int(np.floor(at_y))
            right_share, low_share = at_x - np.float32(left), at_y - np.float32(top)
            for c in range(channels):
                a = _value(source, top, left, c, size, fill)
                b = _value(source, top, left + 1, c, size, fill)
                d = _value(source, top + 1, left, c, size, fill)
                e = _value(source, top + 1, left + 1, c, size, fill)
                upper, lower = a + right_share * (b - a), d + right_share * (e - d)
                made = upper + low_share * (lower - upper)
                made = (made + ROUNDER) - ROUNDER if scale == 255.0 else made
                out[at + U(p * channels + c)] = made

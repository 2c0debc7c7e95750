"""What a frame loses as a JPEG, compiled: see `augfeed.operation.jpeg`."""

from typing import Any

import numpy as np

from augfeed.jpeg_tables import (
    COLORS,
    COSINES,
    FROM_BLUE,
    FROM_RED,
    GRAY,
    GREEN_BLUE,
    GREEN_RED,
    TO_BLUE,
    TO_GRAY,
    TO_RED,
)
from augfeed.kernels.inner import njit
from augfeed.kernels.place import U
from augfeed.kernels.types import Array, Floats, Index, Ints

BACK = np.ascontiguousarray(COSINES.T)


@njit(nogil=True)
def _level(value: Any, scale: float) -> int:
    # The nearest of 256; what is not a number is black.
    if scale == 255.0:
        return int(value)
    v = value * np.float32(255.0)
    v = v if v > 0.0 else np.float32(0.0)
    v = v if v < 255.0 else np.float32(255.0)
    return int(v + np.float32(0.5))


@njit(nogil=True)
def _steps(table: Ints, quality: int, steps: Ints) -> None:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    for i in range(8):
        for j in range(8):
            steps[i, j] = min(max((table[i, j] * scale + 50) // 100, 1), 255)


@njit(nogil=True)
def _product(left: Ints, right: Ints, bits: int, made: Ints) -> None:
    # Rounded by a shift.
    half = np.int32(1 << (bits - 1))
    for i in range(8):
        for j in range(8):
            made[i, j] = half
        for k in range(8):
            factor = left[i, k]
            for j in range(8):
                made[i, j] += factor * right[k, j]
        for j in range(8):
            made[i, j] >>= bits


@njit(nogil=True)
def _transform(plane: Ints, steps: Ints) -> None:
    # Blocks of a plane of levels, whose sides are whole blocks, brought there and back in place.
    one, other = np.empty((8, 8), np.int32), np.empty((8, 8), np.int32)
    for top in range(0, plane.shape[0], 8):
        for left in range(0, plane.shape[1], 8):
            block = plane[top : top + 8, left : left + 8]
            for i in range(8):
                for j in range(8):
                    one[i, j] = block[i, j] - 128
            _product(one, BACK, 11, other)
            _product(COSINES, other, 15, one)
            for i in range(8):
                for j in range(8):
                    step, found = steps[i, j], one[i, j]
                    count = (abs(found) + 4 * step) // (8 * step)
                    one[i, j] = count * step if found > 0 else -count * step
            _product(BACK, one, 11, other)
            _product(other, COSINES, 18, one)
            for i in range(8):
                for j in range(8):
                    block[i, j] = min(max(one[i, j] + 128, 0), 255)


@njit(nogil=True)
def _whole(side: int) -> int:
    return (side + 7) // 8 * 8


@njit(nogil=True)
def _gray(out: Array, at: Index, size: tuple[int, int, int], scale: float, plane: Ints) -> None:
    height, width, channels = size
    red, green, blue = TO_GRAY
    for y in range(plane.shape[0]):
        line = at + U(min(y, height - 1) * width * channels)
        for x in range(plane.shape[1]):
            i = line + U(min(x, width - 1) * channels)
            if channels == 1:
                plane[y, x] = _level(out[i], scale)
            else:
                total = red * _level(out[i], scale) + green * _level(out[i + U(1)], scale)
                total += blue * _level(out[i + U(2)], scale)
                plane[y, x] = (total + 32768) >> 16


@njit(nogil=True)
def _color(
    out: Array, at: Index, size: tuple[int, int, int], scale: float, weights: tuple[int, int, int],
    plane: Ints,
) -> None:  # fmt: skip
    # Halved: means of 2 x 2, of which every other is rounded up at a half.
    height, width, _ = size
    red, green, blue = weights
    last = (height + 1) // 2 - 1
    for y in range(plane.shape[0]):
        first = 2 * min(y, last)
        for x in range(plane.shape[1]):
            total = 1 + x % 2
            for v in range(first, first + 2):
                for u in range(2 * x, 2 * x + 2):
                    i = at + U((min(v, height - 1) * width + min(u, width - 1)) * 3)
                    own = red * _level(out[i], scale) + green * _level(out[i + U(1)], scale)
                    own += blue * _level(out[i + U(2)], scale)
                    total += (own + (128 << 16) + 32767) >> 16
            plane[y, x] = total >> 2


@njit(nogil=True)
def _enlarged(plane: Ints, y: int, x: int, last_y: int, last_x: int) -> int:
    # Twice as large: three parts of the nearest and one of the next, each way.
    i, j = y // 2, x // 2
    if last_x < 2:
        return plane[i, j]
    over = min(max(i - 1 + 2 * (y % 2), 0), last_y)
    beside = min(max(j - 1 + 2 * (x % 2), 0), last_x)
    near, far = 3 * plane[i, j] + plane[over, j], 3 * plane[i, beside] + plane[over, beside]
    return (3 * near + far + 8 - x % 2) >> 4


@njit(nogil=True)
def _put(level: int, scale: float, out: Array, at: Index) -> None:
    level = min(max(level, 0), 255)
    if scale == 255.0:
        out[at] = level
    else:
        out[at] = np.float32(level) / np.float32(255.0)


@njit(nogil=True)
def run_jpeg(
    out: Array, at: Index, size: tuple[int, int, int], scale: float, numbers: Floats
) -> None:
    """Change a frame `(height, width, channels)`, from `out[at]` on, in place.

    `scale` is the highest value; `numbers` begin with the quality.
    """
    height, width, channels = size
    steps, quality = np.empty((8, 8), np.int32), int(numbers[0])
    gray = np.empty((_whole(height), _whole(width)), np.int32)
    _gray(out, at, size, scale, gray)
    _steps(GRAY, quality, steps)
    _transform(gray, steps)
    if channels == 1:
        for y in range(height):
            for x in range(width):
                _put(gray[y, x], scale, out, at + U(y * width + x))
        return
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    blues = np.empty((_whole(half_height), _whole(half_width)), np.int32)
    reds = np.empty_like(blues)
    _color(out, at, size, scale, TO_BLUE, blues)
    _color(out, at, size, scale, TO_RED, reds)
    _steps(COLORS, quality, steps)
    _transform(blues, steps)
    _transform(reds, steps)
    last_y, last_x = half_height - 1, half_width - 1
    for y in range(height):
        for x in range(width):
            blue = _enlarged(blues, y, x, last_y, last_x) - 128
            red = _enlarged(reds, y, x, last_y, last_x) - 128
            own, i = gray[y, x], at + U((y * width + x) * 3)
            green = (GREEN_BLUE * blue + GREEN_RED * red + 32768) >> 16
            _put(own + ((FROM_RED * red + 32768) >> 16), scale, out, i)
            _put(own + green, scale, out, i + U(1))
            _put(own + ((FROM_BLUE * blue + 32768) >> 16), scale, out, i + U(2))

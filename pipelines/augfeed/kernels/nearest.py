"""Where output pixels lie in their source image, for what must not be blended, and for floats."""

import numpy as np

from augfeed.constants import CONSTANT, EDGE
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.inner import njit
from augfeed.kernels.types import Array, Floats, Ints

_FAR = float(1 << 20)  # as the image's own coordinates are held
_OFF = 0.501  # the most that a place is off the pixel that is nearest to it


@njit(nogil=True)
def fold_place(i: int, n: int, mode: int) -> int:
    """Return the place of a side of length `n` that stands for place `i`, -1 for none."""
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


@compiled()
def fold_places(places: Ints, offset: int, length: int, mode: int) -> None:
    """Turn places of a frame's side into those of a side of `length` that it was cut from at
    `offset`, in place; -1 outside, where the rule is a constant."""
    _ = SOURCES
    for k in range(places.size):
        places[k] = fold_place(places[k] + offset, length, mode)


@njit(nogil=True)
def source_of(inverse: Floats, x: float, y: float) -> tuple[float, float]:
    """Return where a matrix float64 `[9]` takes a place."""
    z = inverse[6] * x + inverse[7] * y + inverse[8]
    u = inverse[0] * x + inverse[1] * y + inverse[2]
    v = inverse[3] * x + inverse[4] * y + inverse[5]
    if z != 1:  # as but a perspective has it
        z = 1e-30 if z == 0 else z
        u, v = u / z, v / z
    return min(max(u, -_FAR), _FAR), min(max(v, -_FAR), _FAR)


@njit(nogil=True)
def _along(u: float, side: int, part: tuple[int, int, int, int], border: int, padding: int) -> int:
    # `part` is begin and length in the source, length after resizing, and where the frame begins.
    begin, length, resized, offset = part
    near = int(np.floor(u + 0.5))
    if near < 0 or near >= side:
        near = fold_place(near, side, border)
        if near < 0:
            return -1
        u = float(near)
    near += offset
    at = u + offset + 0.5
    if near < 0 or near >= resized:
        near = fold_place(near, resized, padding)
        if near < 0:
            return -1
        at = near + 0.5
    place = int(np.floor(at * length / resized))
    return begin + min(max(place, 0), length - 1)


@compiled()
def nearest_indices(inverse: Floats, window: Ints, border: int, padding: int, out: Ints) -> None:
    """Write int64 `[h, w]`: the flat index of the source pixel of each output pixel, or -1.

    `inverse` float64 `[9]` takes output pixels to pixels of a frame of the same size; `window` is
    box (top, left, height, width), resized (height, width), offset (y, x), width of the source.
    """
    _ = SOURCES
    rows = window[0], window[2], window[4], window[6]
    columns = window[1], window[3], window[5], window[7]
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            u, v = source_of(inverse, x, y)
            row = _along(v, height, rows, border, padding)
            column = _along(u, width, columns, border, padding)
            out[y, x] = -1 if row < 0 or column < 0 else row * window[8] + column


@njit(nogil=True)
def blend(image: Array, u: float, v: float, fill: float, near: int, out: Array) -> None:
    """Sample floats `[H, W, C]` at x of `u` and y of `v`, of which `near` is the nearest pixel."""
    height, width, channels = image.shape
    if near < 0:
        for c in range(channels):
            out[c] = fill
        return
    row, column = near // width, near % width
    if abs(u - column) > _OFF or abs(v - row) > _OFF:
        u, v = float(column), float(row)
    u, v = min(max(u, 0.0), width - 1.0), min(max(v, 0.0), height - 1.0)
    x0, y0 = int(u), int(v)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    a, b = u - x0, v - y0
    for c in range(channels):
        above = image[y0, x0, c] + a * (image[y0, x1, c] - image[y0, x0, c])
        below = image[y1, x0, c] + a * (image[y1, x1, c] - image[y1, x0, c])
        out[c] = above + b * (below - above)


@compiled()
def bilinear(image: Array, to_source: Floats, fill: float, shown: Ints, out: Array) -> None:
    """Sample floats `[H, W, C]` at the source edges of output pixels; `out` is `[h, w, C]`.

    `shown` int64 `[h, w]` is what `nearest_indices` finds: -1 gets `fill`, and a pixel that stands
    for one beyond the border gives its own value.
    """
    _ = SOURCES
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            px, py = x + 0.5, y + 0.5
            z = to_source[6] * px + to_source[7] * py + to_source[8]
            u = (to_source[0] * px + to_source[1] * py + to_source[2]) / z - 0.5
            v = (to_source[3] * px + to_source[4] * py + to_source[5]) / z - 0.5
            blend(image, u, v, fill, shown[y, x], out[y, x])


@compiled()
def show_lines(values: Array, rows: Ints, columns: Ints, fill: int, out: Array) -> None:
    """Write `out[n, y, x] = values[n, rows[y], columns[x]]`, `fill` where either is below 0.

    `values` `[N, H, W]` and `out` `[N, h, w]` are whole numbers without a sign, of one type.
    """
    _ = SOURCES
    outside = out.dtype.type(fill)
    for n in range(out.shape[0]):
        for y in range(rows.size):
            line = out[n, y]
            if rows[y] < 0:
                for x in range(columns.size):
                    line[x] = outside
                continue
            source = values[n, rows[y]]
            for x in range(columns.size):
                line[x] = source[columns[x]] if columns[x] >= 0 else outside


@compiled()
def show_places(values: Array, places: Ints, fill: int, out: Array) -> None:
    """Write `out[n, y, x]`, which is value `places[y, x]` of `values[n]`, or `fill` for -1.

    `values` `[N, H * W]` and `out` `[N, h, w]` are whole numbers without a sign, of one type.
    """
    _ = SOURCES
    outside = out.dtype.type(fill)
    for n in range(out.shape[0]):
        source = values[n]
        for y in range(places.shape[0]):
            line, found = out[n, y], places[y]
            for x in range(found.size):
                line[x] = source[found[x]] if found[x] >= 0 else outside

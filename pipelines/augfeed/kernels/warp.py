"""Pixels from where a matrix says, by a filter: nearest, bilinear, bicubic."""

from typing import Any, NamedTuple

import numpy as np

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT, WARP_CUBIC
from augfeed.kernels.blend_pixels import blend_pixel
from augfeed.kernels.inner import njit
from augfeed.kernels.place import FAST, Edges, Frame, U, tap
from augfeed.kernels.types import Array, Floats, Index, Ints, Record


class Map(NamedTuple):
    """An inverse map, and a filter, for what has no record of a row."""

    m0: Any
    m1: Any
    m2: Any
    m3: Any
    m4: Any
    m5: Any
    m6: Any
    m7: Any
    m8: Any
    filter: int


@njit(nogil=True, fastmath=FAST, error_model="numpy")
def find_positions(
    y: int, x0: int, count: int, row: Record | Map, places: Ints, shares: Floats
) -> None:
    """Write the source pixel of each output pixel of a line to places `[x | y]`, and how far it is
    from it to the next one to shares `[right | below]`.

    Beyond a million pixels coordinates are held, so that they fit an integer.
    """
    far, fy = np.float32(1 << 20), np.float32(y)
    m00, m10, m20 = row.m0, row.m3, row.m6
    u0, v0, z0 = row.m1 * fy + row.m2, row.m4 * fy + row.m5, row.m7 * fy + row.m8
    half = U(count)
    if m20 == 0.0 and z0 == 1.0:  # not a perspective: nothing to divide by
        for k in range(count):
            fx, i = np.float32(x0 + k), U(k)
            u, v = min(max(m00 * fx + u0, -far), far), min(max(m10 * fx + v0, -far), far)
            fu, fv = np.floor(u), np.floor(v)
            places[i], places[half + i] = np.int32(fu), np.int32(fv)
            shares[i], shares[half + i] = u - fu, v - fv
        return
    for k in range(count):
        fx, i = np.float32(x0 + k), U(k)
        z = m20 * fx + z0
        z = np.float32(1e-30) if z == 0 else z  # the horizon of a perspective: far outside
        u = min(max((m00 * fx + u0) / z, -far), far)
        v = min(max((m10 * fx + v0) / z, -far), far)
        fu, fv = np.floor(u), np.floor(v)
        places[i], places[half + i] = np.int32(fu), np.int32(fv)
        shares[i], shares[half + i] = u - fu, v - fv


@njit(nogil=True, fastmath=FAST)
def _lerp(p00: Any, p01: Any, p10: Any, p11: Any, a: Any, b: Any) -> Any:
    above = p00 + a * (p01 - p00)
    return above + b * (p10 + a * (p11 - p10) - above)


@njit(nogil=True)
def _within(offset: int, side: int, length: int) -> tuple[int, Any]:
    # The first pixel along a side of a frame, which begins at `offset` of an image, that lies with
    # the next one inside both, and how many such there are.
    low = max(0, -offset)
    return low, np.uint32(max(min(side, length - offset) - 1 - low, 0))


@njit(nogil=True, fastmath=FAST)
def _bilinear_line(
    flat: Array, frame: Frame, edges: Edges, count: int, places: Ints, shares: Floats,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    height, width, channels = frame.out_height, frame.out_width, frame.channels
    # One comparison each says whether a pixel and its neighbors lie inside the frame and the image:
    # negative numbers are large as unsigned ones.
    low_y, last_y = _within(frame.top, height, frame.height)
    low_x, last_x = _within(frame.left, width, frame.width)
    pitch, step, half = U(frame.width * channels), U(channels), U(count)
    for k in range(count):
        i = U(k)
        x, y, a, b = places[i], places[half + i], shares[i], shares[half + i]
        to = at + i
        if np.uint32(x - low_x) < last_x and np.uint32(y - low_y) < last_y:
            p = frame.start + U(y + frame.top) * pitch + U(x + frame.left) * step
            if channels == 3:
                blend_pixel(flat, p, pitch, (a, b), planes, to, stride)
                continue
            q = p + pitch
            for _ in range(channels):
                planes[to] = _lerp(
                    np.float32(flat[p]), np.float32(flat[p + step]),
                    np.float32(flat[q]), np.float32(flat[q + step]), a, b,
                )  # fmt: skip
                p, q, to = p + U(1), q + U(1), to + stride
        elif edges.border_mode == CONSTANT and (x < -1 or y < -1 or x >= width or y >= height):
            for c in range(channels):
                planes[to] = edges.border_fill[c]
                to += stride
        else:
            top, left = np.int64(y), np.int64(x)
            for c in range(channels):
                p00, p01 = (tap(flat, frame, top, left, c, edges),
                            tap(flat, frame, top, left + 1, c, edges))  # fmt: skip
                p10, p11 = (tap(flat, frame, top + 1, left, c, edges),
                            tap(flat, frame, top + 1, left + 1, c, edges))  # fmt: skip
                planes[to] = _lerp(p00, p01, p10, p11, a, b)
                to += stride


@njit(nogil=True)
def _nearest_line(
    flat: Array, frame: Frame, edges: Edges, count: int, places: Ints, shares: Floats,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    half = U(count)
    for k in range(count):
        i, to = U(k), at + U(k)
        x = places[i] + (shares[i] >= np.float32(0.5))
        y = places[half + i] + (shares[half + i] >= np.float32(0.5))
        for c in range(frame.channels):
            planes[to] = tap(flat, frame, y, x, c, edges)
            to += stride


@njit(nogil=True, fastmath=FAST)
def _cubic(t: Any) -> tuple[Any, Any, Any, Any]:
    # The weights of four neighbors, of which the second is `t` before what is wanted (Keys 1981).
    a, one = np.float32(WARP_CUBIC), np.float32(1.0)
    r, steep = one - t, a + np.float32(2.0)
    flat = a + np.float32(3.0)
    return (
        a * t * r * r,
        (steep * t - flat) * t * t + one,
        (steep * r - flat) * r * r + one,
        a * r * t * t,
    )


@njit(nogil=True, fastmath=FAST)
def _bicubic_line(
    flat: Array, frame: Frame, edges: Edges, count: int, places: Ints, shares: Floats,
    planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    height, width, channels = frame.out_height, frame.out_width, frame.channels
    inside = (
        frame.top >= 0
        and frame.left >= 0
        and frame.top + height <= frame.height
        and frame.left + width <= frame.width
    )
    pitch, step, half = U(frame.width * channels), U(channels), U(count)
    start = frame.start + U(max(frame.top, 0)) * pitch + U(max(frame.left, 0)) * step
    four = 4 if count > 0 else 0  # unknown to LLVM, which would write 16 neighbors out
    for k in range(count):
        i = U(k)
        x, y, to = places[i], places[half + i], at + i
        across, down = _cubic(shares[i]), _cubic(shares[half + i])
        if inside and 1 <= x < width - 2 and 1 <= y < height - 2:
            p = start + U(y - 1) * pitch + U(x - 1) * step
            for _ in range(channels):
                total, q = np.float32(0.0), p
                for j in range(4):
                    line = across[0] * np.float32(flat[q])
                    line += across[1] * np.float32(flat[q + step])
                    line += across[2] * np.float32(flat[q + step + step])
                    line += across[3] * np.float32(flat[q + step + step + step])
                    total += down[j] * line
                    q += pitch
                planes[to] = min(max(total, np.float32(0.0)), edges.white)
                p, to = p + U(1), to + stride
        elif edges.border_mode == CONSTANT and (x < -2 or y < -2 or x > width or y > height):
            for c in range(channels):
                planes[to] = edges.border_fill[c]
                to += stride
        else:
            for c in range(channels):
                total = np.float32(0.0)
                for j in range(four):
                    line = np.float32(0.0)
                    for m in range(four):
                        line += across[m] * tap(flat, frame, y + j - 1, x + m - 1, c, edges)
                    total += down[j] * line
                planes[to] = min(max(total, np.float32(0.0)), edges.white)
                to += stride


@njit(nogil=True)
def warp_line(
    flat: Array, frame: Frame, edges: Edges, row: Record | Map, part: tuple[int, int, int],
    places: Ints, shares: Floats, planes: Floats, at: Index, stride: Index,
) -> None:  # fmt: skip
    """Write pixels of a line, `part` (line, first pixel, count), from where a row's matrix says.

    The row's filter makes them of their neighbors there; see `sample.sample_strip`.
    """
    y, x0, count = part
    find_positions(y, x0, count, row, places, shares)
    if row.filter == BILINEAR:
        _bilinear_line(flat, frame, edges, count, places, shares, planes, at, stride)
    elif row.filter == BICUBIC:
        _bicubic_line(flat, frame, edges, count, places, shares, planes, at, stride)
    else:
        _nearest_line(flat, frame, edges, count, places, shares, planes, at, stride)

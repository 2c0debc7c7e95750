"""Pixels of one row of a plan, wherever it says they come from: direct, or warped.

Values are float32 in the images' units. A function that returns a pixel returns three values; the
second and third of an image of one channel are the first again, and cost nothing.
"""

import triton
import triton.language as tl

from augfeed import constants
from augfeed.engines.cuda.table_layout import WARP_CUBIC, load_float

CONSTANT: tl.constexpr = tl.constexpr(constants.CONSTANT)
EDGE: tl.constexpr = tl.constexpr(constants.EDGE)


@triton.jit
def fold(i, length, MODE: tl.constexpr):
    """Return the index that stands for `i` outside of a side of `length`, -1 for the fill."""
    if MODE == CONSTANT:
        return tl.where((i >= 0) & (i < length), i, -1)
    elif MODE == EDGE:
        return tl.minimum(tl.maximum(i, 0), length - 1)
    else:
        period = 2 * (length - 1)
        around = i % tl.maximum(period, 1)
        around = tl.where(around < 0, around + period, around)
        return tl.minimum(around, period - around)


@triton.jit
def _pixel(images, at, mask, C: tl.constexpr):
    # Three values at an element offset, 0 where masked.
    first = tl.load(images + at, mask, 0).to(tl.float32)
    if C == 1:
        return first, first, first
    else:
        second = tl.load(images + at + 1, mask, 0).to(tl.float32)
        third = tl.load(images + at + 2, mask, 0).to(tl.float32)
        return first, second, third


@triton.jit
def direct(
    images, y, x, mask, top, left, flip_x, flip_y, size, fills, C: tl.constexpr, PAD: tl.constexpr
):
    """Return pixels `(y, x)` of an output frame that lies at (top, left) of an image.

    `images` points at the image; `size` is (output height, output width, image's height,
    image's width); `fills` begins with the padding's three. `PAD` is -1 where the frame is the
    whole image.
    """
    sy = tl.where(flip_y, size[0] - 1 - y, y)
    sx = tl.where(flip_x, size[1] - 1 - x, x)
    if PAD < 0:
        return _pixel(images, (sy * size[3] + sx) * C, mask, C)
    else:
        sy = fold(sy + top, size[2], PAD)
        sx = fold(sx + left, size[3], PAD)
        within = (sy >= 0) & (sx >= 0)
        v0, v1, v2 = _pixel(images, (sy * size[3] + sx) * C, mask & within, C)
        if PAD == CONSTANT:
            v0 = tl.where(within, v0, fills[0])
            v1 = tl.where(within, v1, fills[1])
            v2 = tl.where(within, v2, fills[2])
        return v0, v1, v2


@triton.jit
def _tap(
    images, y, x, mask, top, left, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr,
):  # fmt: skip
    # One neighbor of a source position in the frame: beyond it the border rule, then the padding.
    fy, fx = fold(y, size[0], BORDER), fold(x, size[1], BORDER)
    inside = (fy >= 0) & (fx >= 0)
    v0, v1, v2 = direct(images, fy, fx, mask & inside, top, left, False, False, size, fills, C, PAD)
    if BORDER == CONSTANT:
        v0 = tl.where(inside, v0, fills[3])
        v1 = tl.where(inside, v1, fills[4])
        v2 = tl.where(inside, v2, fills[5])
    return v0, v1, v2


@triton.jit
def _lerp(p00, p01, p10, p11, a, b):
    above = tl.fma(a, p01 - p00, p00)
    below = tl.fma(a, p11 - p10, p10)
    return tl.fma(b, below - above, above)


@triton.jit
def filter_of(word):
    """Return the filter of a row by the first word of its matrix, which is below 0 where nothing
    but flips moves its pixels."""
    return tl.abs(word) - 1


@triton.jit
def load_matrix(row, WARP: tl.constexpr, PERSPECTIVE: tl.constexpr):
    """Return the inverse map of a row, by rows, whether it is another than a flip, and its filter.

    The last row of what is not a perspective is 0, 0 and 1.
    """
    m = row + WARP
    word = tl.load(m)
    wanted, kind = word > 0, filter_of(word)
    if PERSPECTIVE:
        return (
            load_float(m + 1), load_float(m + 2), load_float(m + 3), load_float(m + 4),
            load_float(m + 5), load_float(m + 6), load_float(m + 7), load_float(m + 8),
            load_float(m + 9), wanted, kind,
        )  # fmt: skip
    else:
        return (
            load_float(m + 1), load_float(m + 2), load_float(m + 3), load_float(m + 4),
            load_float(m + 5), load_float(m + 6), 0.0, 0.0, 1.0, wanted, kind,
        )  # fmt: skip


@triton.jit
def place(m, y, x):
    """Return column and row that an output pixel comes from, by a map without perspective."""
    fx, fy = x.to(tl.float32), y.to(tl.float32)
    return tl.fma(m[0], fx, tl.fma(m[1], fy, m[2])), tl.fma(m[3], fx, tl.fma(m[4], fy, m[5]))


@triton.jit
def parts(u, v):
    """Return whole column and row (int32), and how far beyond each."""
    column, row = tl.floor(u).to(tl.int32), tl.floor(v).to(tl.int32)
    return column, row, u - column.to(tl.float32), v - row.to(tl.float32)


@triton.jit
def positions(m, y, x, PERSPECTIVE: tl.constexpr):
    """Return what `parts` does, of where output pixels come from by a map of `load_matrix`.

    Beyond a million pixels coordinates are held, so that they fit an
    integer.
    """
    u, v = place(m, y, x)
    if PERSPECTIVE:
        z = tl.fma(m[6], x.to(tl.float32), tl.fma(m[7], y.to(tl.float32), m[8]))
        z = tl.where(z == 0.0, 1e-30, z)  # the horizon of a perspective: far outside
        u, v = u / z, v / z
    u = tl.minimum(tl.maximum(u, -1048576.0), 1048576.0)
    v = tl.minimum(tl.maximum(v, -1048576.0), 1048576.0)
    return parts(u, v)


@triton.jit
def warped(
    images, matrix, y, x, mask, top, left, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr,
):  # fmt: skip
    """Return pixels sampled bilinearly where the inverse map says; see `direct` for the rest."""
    sx, sy, a, b = positions(matrix, y, x, PERSPECTIVE)
    p0, p1, p2 = _tap(images, sy, sx, mask, top, left, size, fills, C, PAD, BORDER)
    q0, q1, q2 = _tap(images, sy, sx + 1, mask, top, left, size, fills, C, PAD, BORDER)
    r0, r1, r2 = _tap(images, sy + 1, sx, mask, top, left, size, fills, C, PAD, BORDER)
    s0, s1, s2 = _tap(images, sy + 1, sx + 1, mask, top, left, size, fills, C, PAD, BORDER)
    v0 = _lerp(p0, q0, r0, s0, a, b)
    if C == 1:
        return v0, v0, v0
    else:
        return v0, _lerp(p1, q1, r1, s1, a, b), _lerp(p2, q2, r2, s2, a, b)


@triton.jit
def nearest(
    images, matrix, y, x, mask, top, left, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr,
):  # fmt: skip
    """Return the pixels nearest to where the inverse map says; see `direct` for the rest."""
    sx, sy, a, b = positions(matrix, y, x, PERSPECTIVE)
    sx, sy = tl.where(a >= 0.5, sx + 1, sx), tl.where(b >= 0.5, sy + 1, sy)
    return _tap(images, sy, sx, mask, top, left, size, fills, C, PAD, BORDER)


@triton.jit
def _cubic(t, k):
    # The weight of neighbor k of four, the second of which is `t` before what is wanted.
    near, far = tl.where(k < 2, t, 1.0 - t), tl.where(k < 2, 1.0 - t, t)
    outer = WARP_CUBIC * near * far * far
    inner = ((WARP_CUBIC + 2.0) * near - (WARP_CUBIC + 3.0)) * near * near + 1.0
    return tl.where((k == 0) | (k == 3), outer, inner)


@triton.jit
def _between(v, images):
    white: tl.constexpr = 255.0 if images.dtype.element_ty == tl.uint8 else 1.0
    return tl.minimum(tl.maximum(v, 0.0), white)


@triton.jit
def bicubic(
    images, matrix, y, x, mask, top, left, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr,
):  # fmt: skip
    """Return pixels of 16 neighbors of where the inverse map says; see `direct` for the rest."""
    sx, sy, a, b = positions(matrix, y, x, PERSPECTIVE)
    v0 = tl.zeros_like(a)
    v1, v2 = v0, v0
    for j in range(4):  # not unrolled: 48 values that are loaded at once take all registers
        u0 = tl.zeros_like(a)
        u1, u2 = u0, u0
        for i in tl.static_range(0, 4):
            p0, p1, p2 = _tap(images, sy + (j - 1), sx + (i - 1), mask, top, left, size, fills, C,
                              PAD, BORDER)  # fmt: skip
            weight = _cubic(a, i)
            u0 = tl.fma(weight, p0, u0)
            if C == 3:
                u1, u2 = tl.fma(weight, p1, u1), tl.fma(weight, p2, u2)
        weight = _cubic(b, j)
        v0 = tl.fma(weight, u0, v0)
        if C == 3:
            v1, v2 = tl.fma(weight, u1, v1), tl.fma(weight, u2, v2)
    v0 = _between(v0, images)
    if C == 1:
        return v0, v0, v0
    else:
        return v0, _between(v1, images), _between(v2, images)

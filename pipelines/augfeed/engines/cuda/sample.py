"""Pixels of one row of a plan, wherever it says they come from: direct, or warped.

Values are float32 in the images' units. A function that returns a pixel returns three values; the
second and third of a picture of one channel are the first again, and cost nothing.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda.words import shifted

CONSTANT: tl.constexpr = tl.constexpr(0)
EDGE: tl.constexpr = tl.constexpr(1)


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
    images, y, x, mask, top, left, flip_x, flip_y, size, fill, C: tl.constexpr, PAD: tl.constexpr
):
    """Return pixels `(y, x)` of an output frame that lies at (top, left) of a picture.

    `images` points at the picture; `size` is (output height, output width, picture's height,
    picture's width). `PAD` is -1 where the frame is the whole picture.
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
            v0 = tl.where(within, v0, fill)
            v1 = tl.where(within, v1, fill)
            v2 = tl.where(within, v2, fill)
        return v0, v1, v2


@triton.jit
def _tap(
    images, y, x, mask, top, left, size, pad_fill, border_fill, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr,
):  # fmt: skip
    # One neighbour of a source position in the frame: beyond it the border rule, then the padding.
    fy, fx = fold(y, size[0], BORDER), fold(x, size[1], BORDER)
    inside = (fy >= 0) & (fx >= 0)
    v0, v1, v2 = direct(
        images, fy, fx, mask & inside, top, left, False, False, size, pad_fill, C, PAD
    )
    if BORDER == CONSTANT:
        v0 = tl.where(inside, v0, border_fill)
        v1 = tl.where(inside, v1, border_fill)
        v2 = tl.where(inside, v2, border_fill)
    return v0, v1, v2


@triton.jit
def _lerp(p00, p01, p10, p11, a, b):
    above = tl.fma(a, p01 - p00, p00)
    below = tl.fma(a, p11 - p10, p10)
    return tl.fma(b, below - above, above)


@triton.jit
def positions(matrix, y, x):
    """Return where output pixels come from: column, row (int32), and how far beyond each.

    `matrix` points at the nine numbers of the inverse map. Beyond a million pixels coordinates are
    held, so that they fit an integer.
    """
    fx, fy = x.to(tl.float32), y.to(tl.float32)
    u = tl.fma(tl.load(matrix), fx, tl.fma(tl.load(matrix + 1), fy, tl.load(matrix + 2)))
    v = tl.fma(tl.load(matrix + 3), fx, tl.fma(tl.load(matrix + 4), fy, tl.load(matrix + 5)))
    z = tl.fma(tl.load(matrix + 6), fx, tl.fma(tl.load(matrix + 7), fy, tl.load(matrix + 8)))
    z = tl.where(z == 0.0, 1e-30, z)  # the horizon of a perspective: far outside
    u = tl.minimum(tl.maximum(u / z, -1048576.0), 1048576.0)
    v = tl.minimum(tl.maximum(v / z, -1048576.0), 1048576.0)
    column, row = tl.floor(u), tl.floor(v)
    return column.to(tl.int32), row.to(tl.int32), u - column, v - row


@triton.jit
def _shares(i0, i1, share, low):
    # What two neighbours on a side, at `share` between them, give of pixels `low` and `low + 1`.
    near, far = 1.0 - share, share
    first = tl.where(i0 == low, near, 0.0) + tl.where(i1 == low, far, 0.0)
    second = tl.where(i0 == low + 1, near, 0.0) + tl.where(i1 == low + 1, far, 0.0)
    return first, second


@triton.jit
def _pair_of_pixels(words, at, mask, C: tl.constexpr):
    # Two pixels side by side from byte `at` on: their channels, as floats.
    shift = ((at & 3) * 8).to(tl.uint32)
    word = words + (at >> 2)
    w0 = tl.load(word, mask, 0)
    if C == 1:
        w1 = tl.load(word + 1, mask & (shift == 24), 0)
        v = shifted(w0, w1, shift)
        p, q = (v & 255).to(tl.float32), ((v >> 8) & 255).to(tl.float32)
        return p, p, p, q, q, q
    else:
        w1 = tl.load(word + 1, mask, 0)
        w2 = tl.load(word + 2, mask & (shift == 24), 0)
        v, u = shifted(w0, w1, shift), shifted(w1, w2, shift)
        return (
            (v & 255).to(tl.float32), ((v >> 8) & 255).to(tl.float32),
            ((v >> 16) & 255).to(tl.float32), ((v >> 24) & 255).to(tl.float32),
            (u & 255).to(tl.float32), ((u >> 8) & 255).to(tl.float32),
        )  # fmt: skip


@triton.jit
def _two(lines, p, q, left, right, line):
    # Adds a line's two pixels, by their shares, to what other lines gave.
    return tl.fma(line, tl.fma(left, p, right * q), lines)


@triton.jit
def warped_words(
    words, matrix, y, x, mask, top, left, size, pad_fill, border_fill, C: tl.constexpr,
    PAD: tl.constexpr, BORDER: tl.constexpr,
):  # fmt: skip
    """Return what `warped` does, of bytes that are read as words, two pixels of a line at once.

    `words` points at the picture as int32. However borders fold, neighbours stay neighbours, or
    become one; so two pixels hold both, and each is weighed by the share that it has.
    """
    sx, sy, a, b = positions(matrix, y, x)
    x0, x1 = fold(sx, size[1], BORDER), fold(sx + 1, size[1], BORDER)
    y0, y1 = fold(sy, size[0], BORDER), fold(sy + 1, size[0], BORDER)
    beyond = 0.0
    if BORDER == CONSTANT:
        beyond = 1.0 - _within(y0, y1, b) * _within(x0, x1, a)
    if PAD >= 0:
        x0 = tl.where(x0 < 0, -1, fold(x0 + left, size[3], PAD))
        x1 = tl.where(x1 < 0, -1, fold(x1 + left, size[3], PAD))
        y0 = tl.where(y0 < 0, -1, fold(y0 + top, size[2], PAD))
        y1 = tl.where(y1 < 0, -1, fold(y1 + top, size[2], PAD))
    low = tl.where((x0 < 0) | ((x1 >= 0) & (x1 < x0)), x1, x0)
    low = tl.minimum(tl.maximum(low, 0), size[3] - 2)
    near, far = _shares(x0, x1, a, low)
    above, below = tl.where(y0 >= 0, 1.0 - b, 0.0), tl.where(y1 >= 0, b, 0.0)
    seen = mask & ((near > 0.0) | (far > 0.0))
    at = (tl.maximum(y0, 0) * size[3] + low) * C
    p0, p1, p2, q0, q1, q2 = _pair_of_pixels(words, at, seen & (above > 0.0), C)
    at = (tl.maximum(y1, 0) * size[3] + low) * C
    r0, r1, r2, s0, s1, s2 = _pair_of_pixels(words, at, seen & (below > 0.0), C)
    rest = 0.0
    if BORDER == CONSTANT:
        rest = beyond * border_fill
    if PAD == CONSTANT:
        rest = tl.fma(1.0 - beyond - (above + below) * (near + far), pad_fill, rest)
    v0 = _two(_two(rest, p0, q0, near, far, above), r0, s0, near, far, below)
    if C == 1:
        return v0, v0, v0
    else:
        v1 = _two(_two(rest, p1, q1, near, far, above), r1, s1, near, far, below)
        v2 = _two(_two(rest, p2, q2, near, far, above), r2, s2, near, far, below)
        return v0, v1, v2


@triton.jit
def _within(i0, i1, share):
    # How much of two neighbours lies inside: -1 stands for outside.
    return tl.where(i0 >= 0, 1.0 - share, 0.0) + tl.where(i1 >= 0, share, 0.0)


@triton.jit
def warped(
    images, matrix, y, x, mask, top, left, size, pad_fill, border_fill, C: tl.constexpr,
    PAD: tl.constexpr, BORDER: tl.constexpr,
):  # fmt: skip
    """Return pixels sampled bilinearly where the inverse map says; see `direct` for the rest."""
    sx, sy, a, b = positions(matrix, y, x)
    p0, p1, p2 = _tap(images, sy, sx, mask, top, left, size, pad_fill, border_fill, C, PAD, BORDER)
    q0, q1, q2 = _tap(
        images, sy, sx + 1, mask, top, left, size, pad_fill, border_fill, C, PAD, BORDER
    )
    r0, r1, r2 = _tap(
        images, sy + 1, sx, mask, top, left, size, pad_fill, border_fill, C, PAD, BORDER
    )
    s0, s1, s2 = _tap(
        images, sy + 1, sx + 1, mask, top, left, size, pad_fill, border_fill, C, PAD, BORDER
    )
    v0 = _lerp(p0, q0, r0, s0, a, b)
    if C == 1:
        return v0, v0, v0
    else:
        return v0, _lerp(p1, q1, r1, s1, a, b), _lerp(p2, q2, r2, s2, a, b)

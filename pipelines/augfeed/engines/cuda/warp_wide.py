"""Pixels of warped images, of bytes that are read as words: two neighbors of a line at once."""

import triton
import triton.language as tl

from augfeed.engines.cuda.sample import CONSTANT, fold, parts, place, positions
from augfeed.engines.cuda.table_layout import INTERPRETED
from augfeed.engines.cuda.vector_io import shifted


@triton.jit
def _clear(along, across, length, width, height):
    # Between what the first coordinate of a tile must be, so that none of the tile's is less than
    # 0 or more than `length - 1`. Rounding is far below the margin.
    x, y = along * width, across * height
    low = tl.minimum(x, 0.0) + tl.minimum(y, 0.0)
    high = tl.maximum(x, 0.0) + tl.maximum(y, 0.0)
    return 0.01 - low, tl.cast(length, tl.float32) - 1.01 - high


@triton.jit
def clearance(m, top, left, size, width: tl.constexpr, height: tl.constexpr, PAD: tl.constexpr):
    """Return what the first pixel of a tile must come from, so that no border is near any.

    That is: the least and the most of its column, and of its row, for a map without perspective.
    The last line of an image is not inside: whole words are read, two of them too many.
    """
    u0, u1 = _clear(m[0], m[1], size[1], width - 1.0, height - 1.0)
    v0, v1 = _clear(m[3], m[4], size[0] - (1 if PAD < 0 else 0), width - 1.0, height - 1.0)
    if PAD >= 0:
        p0, p1 = _clear(m[0], m[1], size[3], width - 1.0, height - 1.0)
        q0, q1 = _clear(m[3], m[4], size[2] - 1, width - 1.0, height - 1.0)
        u0, u1 = tl.maximum(u0, p0 - left), tl.minimum(u1, p1 - left)
        v0, v1 = tl.maximum(v0, q0 - top), tl.minimum(v1, q1 - top)
    return u0, u1, v0, v1


@triton.jit
def is_clear(m, y, x, between):
    """Return whether a tile, with its first pixel at (y, x), is within its `clearance`."""
    u, v = place(m, y, x)
    return (u >= between[0]) & (u <= between[1]) & ((v >= between[2]) & (v <= between[3]))


@triton.jit
def _within(i0, i1, share):
    # How much of two neighbors lies inside: -1 stands for outside.
    return tl.where(i0 >= 0, 1.0 - share, 0.0) + tl.where(i1 >= 0, share, 0.0)


@triton.jit
def _shares(i0, i1, share, low):
    # What two neighbors on a side, at `share` between them, give of pixels `low` and `low + 1`.
    near, far = 1.0 - share, share
    first = tl.where(i0 == low, near, 0.0) + tl.where(i1 == low, far, 0.0)
    second = tl.where(i0 == low + 1, near, 0.0) + tl.where(i1 == low + 1, far, 0.0)
    return first, second


@triton.jit
def _beyond(word, AT: tl.constexpr):
    # 2**23 and byte `AT`, as a float: its bits as they are. Conversions take turns on a GPU, eight
    # of its cycles for each, where this takes two.
    if INTERPRETED:
        return (((word >> (8 * AT)) & 255) | 0x4B000000).to(tl.float32, bitcast=True)
    else:
        return tl.inline_asm_elementwise(
            "prmt.b32 $0, $1, 0x4B000000, $2;", "=r,r,r", [word, 0x7440 + AT], dtype=tl.int32,
            is_pure=True, pack=1,
        ).to(tl.float32, bitcast=True)  # fmt: skip


@triton.jit
def _exact(word, AT: tl.constexpr):
    return _beyond(word, AT) - 8388608.0


@triton.jit
def _pair_of_pixels(word, shift, more, first, second, third, C: tl.constexpr):
    # Two pixels side by side, `shift` bits above the lowest of a word: their channels, as floats.
    # The masks are those of the words that they may lie in, the last only where `more` of them are
    # wanted. What is not read is anything, and has no share.
    w0 = tl.load(word, first)
    if C == 1:
        v = shifted(w0, tl.load(word + 1, second & more), shift)
        p, q = (v & 255).to(tl.float32), ((v >> 8) & 255).to(tl.float32)
        return p, p, p, q, q, q
    else:
        w1, w2 = tl.load(word + 1, second), tl.load(word + 2, third & more)
        v, u = shifted(w0, w1, shift), shifted(w1, w2, shift)
        return (
            (v & 255).to(tl.float32), ((v >> 8) & 255).to(tl.float32), _exact(v, 2),
            _exact(v, 3), (u & 255).to(tl.float32), ((u >> 8) & 255).to(tl.float32),
        )  # fmt: skip


@triton.jit
def _wide_pixels(words, at, mask, C: tl.constexpr):
    # Of pixels from byte `at` on, all of which lie in the image.
    more = (at & 3) == 3
    return _pair_of_pixels(words + (at >> 2), at * 8, more, mask, mask, mask, C)


@triton.jit
def _two(lines, p, q, left, right, line):
    # Adds a line's two pixels, by their shares, to what other lines gave.
    return tl.fma(line, tl.fma(left, p, right * q), lines)


@triton.jit
def _blended(pixels, others, near, far, above, below, rest, C: tl.constexpr):
    # Of two lines two pixels each, by their shares, and of what is not a pixel.
    p0, p1, p2, q0, q1, q2 = pixels
    r0, r1, r2, s0, s1, s2 = others
    v0 = _two(_two(rest[0], p0, q0, near, far, above), r0, s0, near, far, below)
    if C == 1:
        return v0, v0, v0
    else:
        v1 = _two(_two(rest[1], p1, q1, near, far, above), r1, s1, near, far, below)
        v2 = _two(_two(rest[2], p2, q2, near, far, above), r2, s2, near, far, below)
        return v0, v1, v2


@triton.jit
def _inside(i, length):
    return i.to(tl.uint32) < tl.cast(length, tl.uint32)


@triton.jit
def _within_memory(words, at, line, count, C: tl.constexpr):
    # The same where an end of the image, of `count` words, may lie between two pixels.
    k, more = at >> 2, (at & 3) == 3
    return _pair_of_pixels(words + k, at * 8, more, line & (k >= 0), line & (k < count - 1),
                           line & (k < count - 2), C)  # fmt: skip


@triton.jit
def _framed(words, sx, sy, a, b, mask, size, fills, C: tl.constexpr):
    # Where all around an image is one color: what lies outside has no share, whatever is read
    # for it, and must only not be beyond the image's memory.
    left, right = _inside(sx, size[1]), _inside(sx + 1, size[1])
    top, bottom = _inside(sy, size[0]), _inside(sy + 1, size[0])
    near, far = tl.where(left, 1.0 - a, 0.0), tl.where(right, a, 0.0)
    above, below = tl.where(top, 1.0 - b, 0.0), tl.where(bottom, b, 0.0)
    share = 1.0 - (above + below) * (near + far)
    rest = (share * fills[3], share * fills[4], share * fills[5])
    seen, count = mask & (left | right), size[2] * size[3] * C // 4
    at = (sy * size[3] + sx) * C
    pixels = _within_memory(words, at, seen & top, count, C)
    others = _within_memory(words, at + size[3] * C, seen & bottom, count, C)
    return _blended(pixels, others, near, far, above, below, rest, C)


@triton.jit
def _along(words, at, near, a, C: tl.constexpr):
    # Between two pixels side by side, from byte `at` on.
    word, shift = words + (at >> 2), at * 8
    w0, w1 = tl.load(word), tl.load(word + 1)
    v = shifted(w0, w1, shift)
    if C == 1:
        p, q = (v & 255).to(tl.float32), ((v >> 8) & 255).to(tl.float32)
        m = tl.fma(a, q, near * p)
        return m, m, m
    else:
        u = shifted(w1, tl.load(word + 2), shift)
        p0, q0 = _beyond(v, 0), _beyond(v, 3)  # whose difference is that of the bytes
        p1, p2 = ((v >> 8) & 255).to(tl.float32), ((v >> 16) & 255).to(tl.float32)
        q1, q2 = (u & 255).to(tl.float32), ((u >> 8) & 255).to(tl.float32)
        return (
            tl.fma(a, q0 - p0, p0 - 8388608.0), tl.fma(a, q1, near * p1), tl.fma(a, q2, near * p2)
        )  # fmt: skip


@triton.jit
def clear_words(words, matrix, y, x, top, left, size, C: tl.constexpr, PAD: tl.constexpr):
    """Return what `warped_words` does, of a tile that `is_clear`."""
    u, v = place(matrix, y, x)
    sx, sy, a, b = parts(u, v)
    if PAD >= 0:
        sx, sy = sx + left, sy + top
    at = (sy * size[3] + sx) * C
    near = 1.0 - a
    m0, m1, m2 = _along(words, at, near, a, C)
    n0, n1, n2 = _along(words, at + size[3] * C, near, a, C)
    v0 = tl.fma(b, n0 - m0, m0)
    if C == 1:
        return v0, v0, v0
    else:
        return v0, tl.fma(b, n1 - m1, m1), tl.fma(b, n2 - m2, m2)


@triton.jit
def warped_words(
    words, matrix, y, x, mask, top, left, size, fills, C: tl.constexpr, PAD: tl.constexpr,
    BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr,
):  # fmt: skip
    """Return what `warped` does, of bytes that are read as words, two pixels of a line at once.

    `words` points at the image as int32. However borders fold, neighbors stay neighbors, or
    become one; so two pixels hold both, and each is weighed by the share that it has.
    """
    sx, sy, a, b = positions(matrix, y, x, PERSPECTIVE)
    if BORDER == CONSTANT and PAD < 0:
        return _framed(words, sx, sy, a, b, mask, size, fills, C)
    else:
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
        r0, r1, r2 = 0.0, 0.0, 0.0
        if BORDER == CONSTANT:
            r0, r1, r2 = beyond * fills[3], beyond * fills[4], beyond * fills[5]
        if PAD == CONSTANT:
            share = 1.0 - beyond - (above + below) * (near + far)
            r0 = tl.fma(share, fills[0], r0)
            r1, r2 = tl.fma(share, fills[1], r1), tl.fma(share, fills[2], r2)
        seen = mask & ((near > 0.0) | (far > 0.0))
        at = (tl.maximum(y0, 0) * size[3] + low) * C
        pixels = _wide_pixels(words, at, seen & (above > 0.0), C)
        at = (tl.maximum(y1, 0) * size[3] + low) * C
        others = _wide_pixels(words, at, seen & (below > 0.0), C)
        return _blended(pixels, others, near, far, above, below, (r0, r1, r2), C)

"""Groups of `VEC` bytes a channel that lie side by side, read and written as wide words.

A group never crosses the end of a line, so that its source bytes lie side by side too, mirrored or
not. Loads of single bytes take as many instructions as there are values, and every one of them
touches all the cache lines of the warp; words of four bytes need a quarter or less.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import INTERPRETED


@triton.jit
def line_of_4(p0, p1, p2, p3):
    """Return `[4 G]` of four `[G]`: those of group g stand at 4 g to 4 g + 3."""
    both = tl.join(tl.join(p0, p2), tl.join(p1, p3))
    return tl.reshape(both, [4 * p0.shape[0]])


@triton.jit
def line_of_8(p0, p1, p2, p3, p4, p5, p6, p7):
    """Return `[8 G]` of eight `[G]`: those of group g stand at 8 g to 8 g + 7."""
    even = tl.join(tl.join(p0, p4), tl.join(p2, p6))
    odd = tl.join(tl.join(p1, p5), tl.join(p3, p7))
    return tl.reshape(tl.join(even, odd), [8 * p0.shape[0]])


@triton.jit
def _pair(words, at, mask):
    # Two words side by side, in one load of 8 bytes.
    G: tl.constexpr = at.shape[0]
    two = tl.arange(0, 2)[None, :]
    both = tl.load(words + (at[:, None] + two), tl.broadcast_to(mask[:, None], [G, 2]), 0)
    return tl.split(both)


@triton.jit
def shifted(low, high, shift):
    """Return the 32 bits that begin at bit `shift` of two words, int32; of it 5 bits count."""
    if INTERPRETED:
        shift = (shift & 31).to(tl.uint32)
        low, high = low.to(tl.uint32, bitcast=True), high.to(tl.uint32, bitcast=True)
        return ((low >> shift) | ((high << 1) << (31 - shift))).to(tl.int32, bitcast=True)
    else:
        return tl.inline_asm_elementwise(
            "shf.r.wrap.b32 $0, $1, $2, $3;", "=r,r,r,r", [low, high, shift], dtype=tl.int32,
            is_pure=True, pack=1,
        )  # fmt: skip


@triton.jit
def _aligned(words, at, mask, COUNT: tl.constexpr):
    # `COUNT` words from word `at` on; those beyond are the last again.
    if COUNT == 1:
        w0 = tl.load(words + at, mask, 0)
        return w0, w0, w0, w0, w0, w0
    elif COUNT == 2:
        w0, w1 = _pair(words, at, mask)
        return w0, w1, w1, w1, w1, w1
    elif COUNT == 3:
        w0 = tl.load(words + at, mask, 0)
        w1 = tl.load(words + at + 1, mask, 0)
        w2 = tl.load(words + at + 2, mask, 0)
        return w0, w1, w2, w2, w2, w2
    else:
        w0, w1 = _pair(words, at, mask)
        w2, w3 = _pair(words, at + 2, mask)
        w4, w5 = _pair(words, at + 4, mask)
        return w0, w1, w2, w3, w4, w5


@triton.jit
def _word(words, at, mask, count, BOUNDED: tl.constexpr):
    # A word, 0 where it is not one of the image's.
    if BOUNDED:
        mask = mask & (at.to(tl.uint32) < count)
    return tl.load(words + at, mask, 0)


@triton.jit
def _unaligned(words, at, shift, mask, count, COUNT: tl.constexpr, BOUNDED: tl.constexpr):
    # `COUNT` words that begin `shift` bits above word `at`. The one behind them is read only where
    # bytes of it are wanted: it may lie beyond the images.
    more = mask & (shift > 0)
    w0 = _word(words, at, mask, count, BOUNDED)
    w1 = _word(words, at + 1, mask if COUNT > 1 else more, count, BOUNDED)
    v0 = shifted(w0, w1, shift)
    if COUNT == 1:
        return v0, v0, v0, v0, v0, v0
    else:
        w2 = _word(words, at + 2, mask if COUNT > 2 else more, count, BOUNDED)
        v1 = shifted(w1, w2, shift)
        if COUNT == 2:
            return v0, v1, v1, v1, v1, v1
        else:
            w3 = _word(words, at + 3, mask if COUNT > 3 else more, count, BOUNDED)
            v2 = shifted(w2, w3, shift)
            if COUNT == 3:
                return v0, v1, v2, v2, v2, v2
            else:
                w4 = _word(words, at + 4, mask, count, BOUNDED)
                w5 = _word(words, at + 5, mask, count, BOUNDED)
                w6 = _word(words, at + 6, more, count, BOUNDED)
                v3, v4 = shifted(w3, w4, shift), shifted(w4, w5, shift)
                return v0, v1, v2, v3, v4, shifted(w5, w6, shift)


@triton.jit
def _byte(w, AT: tl.constexpr):
    # Byte `AT` of six words.
    if AT < 4:
        word = w[0]
    elif AT < 8:
        word = w[1]
    elif AT < 12:
        word = w[2]
    elif AT < 16:
        word = w[3]
    elif AT < 20:
        word = w[4]
    else:
        word = w[5]
    return (word >> (8 * (AT % 4))) & 255


@triton.jit
def _channel(w, MIRROR: tl.constexpr, VEC: tl.constexpr, C: tl.constexpr, c: tl.constexpr):
    # Channel `c` of a group's pixels, of which a mirrored image has the first at the other end.
    FIRST: tl.constexpr = (VEC - 1) * C + c if MIRROR else c
    BY: tl.constexpr = -C if MIRROR else C
    if VEC == 4:
        values = line_of_4(
            _byte(w, FIRST), _byte(w, FIRST + BY), _byte(w, FIRST + 2 * BY),
            _byte(w, FIRST + 3 * BY),
        )  # fmt: skip
    else:
        values = line_of_8(
            _byte(w, FIRST), _byte(w, FIRST + BY), _byte(w, FIRST + 2 * BY),
            _byte(w, FIRST + 3 * BY), _byte(w, FIRST + 4 * BY), _byte(w, FIRST + 5 * BY),
            _byte(w, FIRST + 6 * BY), _byte(w, FIRST + 7 * BY),
        )  # fmt: skip
    return values.to(tl.float32)


@triton.jit
def _channels(w, MIRROR: tl.constexpr, VEC: tl.constexpr, C: tl.constexpr):
    v0 = _channel(w, MIRROR, VEC, C, 0)
    v1, v2 = v0, v0
    if C == 3:
        v1, v2 = _channel(w, MIRROR, VEC, C, 1), _channel(w, MIRROR, VEC, C, 2)
    return v0, v1, v2


@triton.jit
def read_groups(
    words, at, mask, flip, count, C: tl.constexpr, FLIP: tl.constexpr, VEC: tl.constexpr,
    ALIGNED: tl.constexpr, BOUNDED: tl.constexpr,
):  # fmt: skip
    """Return three `[VEC G]` floats: the pixels of groups whose first byte is at `at`, int32 `[G]`.

    `words` points at the image as int32. `ALIGNED` says that every `at` is a multiple of 4 bytes
    (8 where a group has an even number of words), `BOUNDED` that groups may reach beyond the
    image's `count` words, uint32: what lies there is 0.
    """
    COUNT: tl.constexpr = VEC * C // 4
    if ALIGNED:
        w = _aligned(words, at >> 2, mask, COUNT)
    else:
        w = _unaligned(words, at >> 2, (at & 3) * 8, mask, count, COUNT, BOUNDED)
    if FLIP:
        # A branch that all of a row take: bytes become floats where they lie, and none is moved.
        if flip:
            v0, v1, v2 = _channels(w, True, VEC, C)
        else:
            v0, v1, v2 = _channels(w, False, VEC, C)
    else:
        v0, v1, v2 = _channels(w, False, VEC, C)
    return v0, v1, v2


@triton.jit
def _quarters(values):
    # Four `[G]` of `[4 G]`.
    even, odd = tl.split(tl.reshape(values, [values.shape[0] // 4, 2, 2]))
    v0, v2 = tl.split(even)
    v1, v3 = tl.split(odd)
    return v0, v1, v2, v3


@triton.jit
def _four(p0, p1, p2, p3):
    # `[G, 4]` of four `[G]`.
    return tl.reshape(tl.join(tl.join(p0, p2), tl.join(p1, p3)), [p0.shape[0], 4])


@triton.jit
def write_interleaved(out, at, r, g, b, mask):
    """Store three `[4 G]` channels pixel by pixel: group g from element `at[g]` on, 12 values."""
    r0, r1, r2, r3 = _quarters(r)
    g0, g1, g2, g3 = _quarters(g)
    b0, b1, b2, b3 = _quarters(b)
    here = out + (at[:, None] + tl.arange(0, 4)[None, :])
    wanted = tl.broadcast_to(mask[:, None], [at.shape[0], 4])
    tl.store(here, _four(r0, g0, b0, r1), wanted)
    tl.store(here + 4, _four(g1, b1, r2, g2), wanted)
    tl.store(here + 8, _four(b2, r3, g3, b3), wanted)

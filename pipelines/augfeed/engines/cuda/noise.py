"""Numbers for every value, as `augfeed.kernels.noise` defines them, and what is made of them."""

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import (
    EPOCH,
    HIGH,
    INTERPRETED,
    LOW,
    SEED,
    SIGMA_SCALE,
    load_float,
)
from augfeed.philox import Stream

ERASE_PIXELS: tl.constexpr = tl.constexpr(int(Stream.ERASE_PIXELS))
NOISE_PIXELS: tl.constexpr = tl.constexpr(int(Stream.NOISE_PIXELS))
SALT_PIXELS: tl.constexpr = tl.constexpr(int(Stream.SALT_PIXELS))


@triton.jit
def load_key(table, row, ID: tl.constexpr):
    """Return the key of a row's numbers; see `blocks_of`."""
    seed_low = tl.load(table + SEED).to(tl.uint32, bitcast=True)
    seed_high = tl.load(table + SEED + 1).to(tl.uint32, bitcast=True)
    epoch = tl.load(table + EPOCH).to(tl.uint32, bitcast=True)
    id_low = tl.load(row + ID).to(tl.uint32, bitcast=True)
    id_high = tl.load(row + ID + 1).to(tl.uint32, bitcast=True)
    return seed_low, seed_high, epoch, id_low, id_high


@triton.jit
def _halves(a, factor: tl.constexpr, WHOLE: tl.constexpr):
    # Of a product of 64 bits.
    if WHOLE:
        product = a.to(tl.uint64) * factor
        return (product >> 32).to(tl.uint32), product.to(tl.uint32)
    else:
        return tl.umulhi(a, tl.full([], factor, tl.uint32)), a * factor


@triton.jit
def blocks_of(first, c, key, stream: tl.constexpr, blocks, WHOLE: tl.constexpr = False):
    """Return the four words of Philox for blocks `first` (int32 `[B]`) of plane `c`.

    `key` is (low and high word of the seed, epoch, low word of the sample id, bits 32 to 47 of it
    in the upper half of a word), each uint32. `WHOLE` products take one instruction in place of
    one for each half, and pairs of registers.
    """
    c3 = (first + c * blocks).to(tl.uint32)
    zero = c3 ^ c3
    c0, c1, c2 = zero + key[3], zero + key[2], zero + (key[4] | stream)
    k0, k1 = key[0], key[1]
    for _ in tl.static_range(10):
        high0, low0 = _halves(c0, 0xD2511F53, WHOLE)
        high1, low1 = _halves(c2, 0xCD9E8D57, WHOLE)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def _word(words, lane):
    low = tl.where(lane < 2, words[0], words[1])
    high = tl.where(lane < 6, words[2], words[3])
    return tl.where(lane < 4, low, high)


@triton.jit
def number(words, lane):
    """Return the 16 bits of lane 0 to 7 of a block, as int32."""
    return ((_word(words, lane) >> ((lane & 1) * 16)) & 0xFFFF).to(tl.int32)


@triton.jit
def _log2_of_rest(x):
    # Of 16 - x x. What Triton calls takes thirty instructions, for numbers that are denormal,
    # infinite or none; and only a GPU adds to a product that has not been rounded.
    if INTERPRETED:
        return tl.log2((4.0 - x) * (4.0 + x))
    else:
        return tl.inline_asm_elementwise(
            "{ .reg .f32 r; neg.f32 r, $1; lg2.approx.ftz.f32 $0, r; }", "=f,f",
            [tl.fma(x, x, -16.0)], dtype=tl.float32, is_pure=True, pack=1,
        )  # fmt: skip


@triton.jit
def _beyond(word, lane):
    # 2**23 and the half of a word that is the lane's, as a float: its bytes as they are, in place
    # of a shift, a mask and a conversion.
    if INTERPRETED:
        half = (word >> ((lane & 1) * 16)) & 0xFFFF
        return (half | 0x4B000000).to(tl.float32, bitcast=True)
    else:
        return tl.inline_asm_elementwise(
            "prmt.b32 $0, $1, 0x4B000000, $2;", "=r,r,r", [word, (lane & 1) * 0x22 + 0x7410],
            dtype=tl.uint32, is_pure=True, pack=1,
        ).to(tl.float32, bitcast=True)  # fmt: skip


@triton.jit
def _quantile(number):
    x = tl.fma(number, 8.0 / 65536.0, -4.0 * 65535.0 / 65536.0)
    w = _log2_of_rest(x)
    p = tl.fma(w, 1.27981742e-13, 5.09568967e-12)
    p = tl.fma(p, w, 6.20570855e-11)
    p = tl.fma(p, w, -1.96092651e-10)
    p = tl.fma(p, w, -1.20701405e-08)
    p = tl.fma(p, w, -9.53553713e-08)
    p = tl.fma(p, w, 5.47428382e-07)
    p = tl.fma(p, w, 1.69456699e-05)
    p = tl.fma(p, w, 1.20094131e-04)
    p = tl.fma(p, w, -8.67195063e-04)
    p = tl.fma(p, w, -5.98205688e-02)
    p = tl.fma(p, w, 5.54479908e-01)
    return p * x


@triton.jit
def normal(number):
    """Return the standard normal quantile of `(number + 0.5) / 65536`, number in [0, 65536).

    With y from -1 to 1 in place of 0 to 1 it is y times a function of log2(16 - 16 y y), which one
    polynomial comes near to over all of its range (x is 4 y). Within 1e-6 of the table of the other
    engines, which a GPU would read at random places of 256 KB: a load for every value.
    """
    return _quantile(number.to(tl.float32))


@triton.jit
def erased_value(v, fill, inside, key, first, lane, blocks, c: tl.constexpr, ERASE: tl.constexpr):
    """Return channel `c` with what is inside of a box replaced by the fill, or by noise."""
    if ERASE > 1:
        drawn = number(blocks_of(first, c, key, ERASE_PIXELS, blocks), lane)
        if ERASE == 3:
            fill = normal(drawn)
        else:
            fill = (drawn.to(tl.float32) + 0.5) * (1.0 / 65536.0)
    return tl.where(inside, fill, v)


@triton.jit
def load_sigmas(table, row, SIGMA: tl.constexpr, C: tl.constexpr):
    """Return by how much normal numbers are multiplied, of three channels."""
    sigma = load_float(row + SIGMA)
    s0 = sigma * load_float(table + SIGMA_SCALE)
    if C == 1:
        return s0, s0, s0
    else:
        return (
            s0, sigma * load_float(table + SIGMA_SCALE + 1),
            sigma * load_float(table + SIGMA_SCALE + 2),
        )  # fmt: skip


@triton.jit
def noisy_value(v, sigma, words, lane):
    """Return a channel with the normal number of a lane times `sigma` added."""
    drawn = _beyond(_word(words, lane), lane) - 8388608.0
    return tl.fma(sigma, _quantile(drawn), v)


@triton.jit
def salted_value(v, table, drawn, pepper, salt, c: tl.constexpr):
    """Return channel `c`, black where the pixel's number is below `pepper`, white below `salt`."""
    v = tl.where(drawn < salt, load_float(table + HIGH + c), v)
    return tl.where(drawn < pepper, load_float(table + LOW + c), v)

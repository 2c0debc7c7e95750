"""Numbers for every value, as `augfeed.kernels.noise` defines them, and what is made of them."""

import triton
import triton.language as tl

from augfeed.engines.cuda.fields import EPOCH, HIGH, LOW, SEED, SIGMA_SCALE, load_float
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
def blocks_of(first, c, key, stream: tl.constexpr, blocks):
    """Return the four words of Philox for blocks `first` (int32 `[B]`) of plane `c`.

    `key` is (low and high word of the seed, epoch, low word of the sample id, bits 32 to 47 of it
    in the upper half of a word), each uint32.
    """
    c3 = (first + c * blocks).to(tl.uint32)
    zero = c3 ^ c3
    return tl.philox_impl(zero + key[3], zero + key[2], zero + (key[4] | stream), c3, key[0],
                          key[1], 10)  # fmt: skip


@triton.jit
def number(words, lane):
    """Return the 16 bits of lane 0 to 7 of a block, as int32."""
    low = tl.where(lane < 2, words[0], words[1])
    high = tl.where(lane < 6, words[2], words[3])
    word = tl.where(lane < 4, low, high)
    return ((word >> ((lane & 1) * 16)) & 0xFFFF).to(tl.int32)


@triton.jit
def normal(number):
    """Return the standard normal quantile of `(number + 0.5) / 65536`, number in [0, 65536).

    Giles, Approximating the erfinv function (GPU Computing Gems, 2011), its polynomials times the
    root of 2. Within 5e-7 of the table of the other engines, which a GPU would read at random
    places of 256 KB: a load for every value.
    """
    x = (2 * number - 65535).to(tl.float32) * (1.0 / 65536.0)
    w = -tl.log((1.0 - x) * (1.0 + x))
    near = w - 2.5
    p = tl.fma(3.97426023e-08, near, 4.85462660e-07)
    p = tl.fma(p, near, -4.98282267e-06)
    p = tl.fma(p, near, -6.21052811e-06)
    p = tl.fma(p, near, 3.09120031e-04)
    p = tl.fma(p, near, -1.77303494e-03)
    p = tl.fma(p, near, -5.90813403e-03)
    p = tl.fma(p, near, 3.48802661e-01)
    p = tl.fma(p, near, 2.12331355e00)
    far = tl.sqrt(tl.maximum(w, 5.0)) - 3.0
    q = tl.fma(-2.83145718e-04, far, 1.42765648e-04)
    q = tl.fma(q, far, 1.90825948e-03)
    q = tl.fma(q, far, -5.19501232e-03)
    q = tl.fma(q, far, 8.11688967e-03)
    q = tl.fma(q, far, -1.07797881e-02)
    q = tl.fma(q, far, 1.33485786e-02)
    q = tl.fma(q, far, 1.41658104e00)
    q = tl.fma(q, far, 4.00643424e00)
    return tl.where(w < 5.0, p, q) * x


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
def noisy_value(v, sigma, numbers, lane):
    """Return a channel with its normal number times `sigma` added."""
    return tl.fma(sigma, normal(number(numbers, lane)), v)


@triton.jit
def salted_value(v, table, drawn, pepper, salt, c: tl.constexpr):
    """Return channel `c`, black where the pixel's number is below `pepper`, white below `salt`."""
    v = tl.where(drawn < salt, load_float(table + HIGH + c), v)
    return tl.where(drawn < pepper, load_float(table + LOW + c), v)

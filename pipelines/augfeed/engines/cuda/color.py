"""Colour: all linear operations of a row as one matrix, then what is not linear."""

import triton
import triton.language as tl

from augfeed.engines.cuda.fields import GAIN, HIGH, LOW, PLAIN_GAIN, SUMS, load_float


@triton.jit
def gray_mean(sums, r, pixels, unit, C: tl.constexpr):
    """Return the mean grey of row `r` in [0, 1], from the whole numbers of `sum_frames`."""
    here = sums + r * (SUMS * C)
    weight = unit / pixels.to(tl.float32)
    total = tl.load(here)
    for k in tl.static_range(1, SUMS):
        total += tl.load(here + k * C)
    if C == 1:
        return total.to(tl.float32) * weight
    else:
        green, blue = tl.load(here + 1), tl.load(here + 2)
        for k in tl.static_range(1, SUMS):
            green += tl.load(here + k * C + 1)
            blue += tl.load(here + k * C + 2)
        gray = 0.299 * total.to(tl.float32) + 0.587 * green.to(tl.float32)
        return (gray + 0.114 * blue.to(tl.float32)) * weight


@triton.jit
def _plain(v, table, C: tl.constexpr, c: tl.constexpr):
    return tl.fma(v, load_float(table + PLAIN_GAIN + c), load_float(table + LOW + c))


@triton.jit
def _mapped(v0, v1, v2, table, map_, mean, C: tl.constexpr, c: tl.constexpr, STEPS: tl.constexpr):
    # One channel after the linear operations of a row; values that these changed are clamped.
    offset = load_float(map_ + 9 + c)
    if mean is not None:
        offset = tl.fma(load_float(map_ + 12 + c), mean, offset)
    if C == 1:
        v = tl.fma(v0, load_float(map_), offset)
    else:
        v = tl.fma(v0, load_float(map_ + 3 * c), offset)
        v = tl.fma(v1, load_float(map_ + 3 * c + 1), v)
        v = tl.fma(v2, load_float(map_ + 3 * c + 2), v)
    if STEPS:
        return tl.minimum(tl.maximum(v, 0.0), 1.0)
    else:
        changed = load_float(map_ + 15) != 0.0
        low = tl.where(changed, load_float(table + LOW + c), float("-inf"))
        high = tl.where(changed, load_float(table + HIGH + c), float("inf"))
        return tl.minimum(tl.maximum(v, low), high)


@triton.jit
def _stepped(v, table, bits, threshold, c: tl.constexpr):
    # Posterize, solarize, then normalise.
    level = tl.floor(tl.fma(v, 255.0, 0.5)).to(tl.int32) & bits
    v = tl.where(bits != 255, level.to(tl.float32) * (1.0 / 255.0), v)
    v = tl.where(v >= threshold, 1.0 - v, v)
    return tl.fma(v, load_float(table + GAIN + c), load_float(table + LOW + c))


@triton.jit
def colored(
    v0, v1, v2, table, row, mean, C: tl.constexpr, COLOR: tl.constexpr, STEPS: tl.constexpr
):
    """Return a pixel of a row in normalised values, of one in the images' units."""
    if COLOR < 0:
        w0 = _plain(v0, table, C, 0)
        if C == 1:
            return w0, w0, w0
        else:
            return w0, _plain(v1, table, C, 1), _plain(v2, table, C, 2)
    else:
        map_ = row + COLOR
        w0 = _mapped(v0, v1, v2, table, map_, mean, C, 0, STEPS >= 0)
        w1, w2 = w0, w0
        if C == 3:
            w1 = _mapped(v0, v1, v2, table, map_, mean, C, 1, STEPS >= 0)
            w2 = _mapped(v0, v1, v2, table, map_, mean, C, 2, STEPS >= 0)
        if STEPS >= 0:
            bits, threshold = tl.load(row + STEPS), load_float(row + STEPS + 1)
            w0 = _stepped(w0, table, bits, threshold, 0)
            if C == 3:
                w1 = _stepped(w1, table, bits, threshold, 1)
                w2 = _stepped(w2, table, bits, threshold, 2)
        return w0, w1, w2

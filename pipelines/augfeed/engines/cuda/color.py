"""Colour: all linear operations of a row as one matrix, then what is not linear."""

import triton
import triton.language as tl

from augfeed.engines.cuda.fields import GAIN, HEAD, HIGH, LOW, PLAIN_GAIN, SUMS, load_float


@triton.jit
def _total(sums, rows, mask, c, C: tl.constexpr):
    # Of channel `c`, over the parts that a frame is summed in.
    total = tl.load(sums + rows * (SUMS * C) + c, mask, 0)
    for k in tl.static_range(1, SUMS):
        total += tl.load(sums + rows * (SUMS * C) + k * C + c, mask, 0)
    return total.to(tl.float32)


@triton.jit
def finish_colors(
    table, sums, offsets, count, pixels, unit, ROW: tl.constexpr, COLOR: tl.constexpr,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the offsets of the colour maps to `offsets`, float32 `[M, C]`, mean greys included.

    `sums` is what `sum_frames` wrote for `count` rows; `unit` what a level of it is in [0, 1].
    """
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = rows < count
    gray = _total(sums, rows, mask, 0, C)
    if C == 3:
        gray = 0.299 * gray + 0.587 * _total(sums, rows, mask, 1, C)
        gray = gray + 0.114 * _total(sums, rows, mask, 2, C)
    mean = gray * (unit / pixels.to(tl.float32))
    maps = (table + HEAD + COLOR).to(tl.pointer_type(tl.float32), bitcast=True) + rows * ROW
    for c in tl.static_range(0, C):
        own = tl.load(maps + 9 + c, mask, 0.0)
        own = tl.fma(tl.load(maps + 12 + c, mask, 0.0), mean, own)
        tl.store(offsets + rows * C + c, own, mask)


@triton.jit
def load_look(table, row, offset, C: tl.constexpr, COLOR: tl.constexpr):
    """Return the colour map of a row: a matrix by rows, then what is added to each channel.

    `offset` points at what is added, where that is not what the table says.
    """
    if COLOR < 0:
        gain, low = table + PLAIN_GAIN, table + LOW
        a, b = load_float(gain), load_float(low)
        if C == 1:
            return a, a, a, a, a, a, a, a, a, b, b, b
        else:
            e, i = load_float(gain + 1), load_float(gain + 2)
            return a, a, a, a, e, a, a, a, i, b, load_float(low + 1), load_float(low + 2)
    else:
        m = row + COLOR
        if offset is None:
            offset = (m + 9).to(tl.pointer_type(tl.float32), bitcast=True)
        a, b = load_float(m), tl.load(offset)
        if C == 1:
            return a, a, a, a, a, a, a, a, a, b, b, b
        else:
            return (
                a, load_float(m + 1), load_float(m + 2), load_float(m + 3), load_float(m + 4),
                load_float(m + 5), load_float(m + 6), load_float(m + 7), load_float(m + 8), b,
                tl.load(offset + 1), tl.load(offset + 2),
            )  # fmt: skip


@triton.jit
def load_bounds(table, C: tl.constexpr, COLOR: tl.constexpr, STEPS: tl.constexpr):
    """Return the least and the largest value of each channel, for what colour has changed."""
    if COLOR < 0 or STEPS >= 0:
        return 0.0, 0.0, 0.0, 1.0, 1.0, 1.0
    elif C == 1:
        low, high = load_float(table + LOW), load_float(table + HIGH)
        return low, low, low, high, high, high
    else:
        return (
            load_float(table + LOW), load_float(table + LOW + 1), load_float(table + LOW + 2),
            load_float(table + HIGH), load_float(table + HIGH + 1), load_float(table + HIGH + 2),
        )  # fmt: skip


@triton.jit
def _held(v, bounds, c: tl.constexpr):
    return tl.minimum(tl.maximum(v, bounds[c]), bounds[3 + c])


@triton.jit
def _stepped(v, table, bits, threshold, c: tl.constexpr):
    # Posterize, solarize, then normalise.
    level = tl.floor(tl.fma(v, 255.0, 0.5)).to(tl.int32) & bits
    v = tl.where(bits != 255, level.to(tl.float32) * (1.0 / 255.0), v)
    v = tl.where(v >= threshold, 1.0 - v, v)
    return tl.fma(v, load_float(table + GAIN + c), load_float(table + LOW + c))


@triton.jit
def colored(
    v0, v1, v2, table, row, look, bounds, C: tl.constexpr, COLOR: tl.constexpr,
    STEPS: tl.constexpr,
):  # fmt: skip
    """Return a pixel of a row in normalised values, of one in the images' units."""
    if COLOR < 0:
        w0 = tl.fma(v0, look[0], look[9])
        if C == 1:
            return w0, w0, w0
        else:
            return w0, tl.fma(v1, look[4], look[10]), tl.fma(v2, look[8], look[11])
    else:
        if C == 1:
            w0 = _held(tl.fma(v0, look[0], look[9]), bounds, 0)
            w1, w2 = w0, w0
        else:
            w0 = tl.fma(v2, look[2], tl.fma(v1, look[1], tl.fma(v0, look[0], look[9])))
            w1 = tl.fma(v2, look[5], tl.fma(v1, look[4], tl.fma(v0, look[3], look[10])))
            w2 = tl.fma(v2, look[8], tl.fma(v1, look[7], tl.fma(v0, look[6], look[11])))
            w0, w1, w2 = _held(w0, bounds, 0), _held(w1, bounds, 1), _held(w2, bounds, 2)
        if STEPS >= 0:
            bits, threshold = tl.load(row + STEPS), load_float(row + STEPS + 1)
            w0 = _stepped(w0, table, bits, threshold, 0)
            if C == 3:
                w1 = _stepped(w1, table, bits, threshold, 1)
                w2 = _stepped(w2, table, bits, threshold, 2)
        return w0, w1, w2

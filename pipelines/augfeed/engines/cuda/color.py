"""Color: all linear operations of a row as one matrix, then the pointwise ones."""

import triton
import triton.language as tl

from augfeed.constants import LUMA
from augfeed.engines.cuda._pointwise import change_point, load_reads
from augfeed.engines.cuda.table_layout import GAIN, HEAD, LOW, PLAIN_GAIN, SUMS, load_float

RED: tl.constexpr = tl.constexpr(LUMA[0])
GREEN: tl.constexpr = tl.constexpr(LUMA[1])
BLUE: tl.constexpr = tl.constexpr(LUMA[2])


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
    """Write the offsets of the color maps to `offsets`, float32 `[M, C]`, mean grays included.

    `sums` is what `sum_frames` wrote for `count` rows; `unit` what a level of it is in [0, 1].
    """
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = rows < count
    gray = _total(sums, rows, mask, 0, C)
    if C == 3:
        gray = RED * gray + GREEN * _total(sums, rows, mask, 1, C)
        gray = gray + BLUE * _total(sums, rows, mask, 2, C)
    # Of 1 x 1 images Triton makes a constant, which has no `to`.
    mean = gray * (unit / tl.cast(pixels, tl.float32))
    maps = (table + HEAD + COLOR).to(tl.pointer_type(tl.float32), bitcast=True) + rows * ROW
    for c in tl.static_range(0, C):
        own = tl.load(maps + 9 + c, mask, 0.0)
        own = tl.fma(tl.load(maps + 12 + c, mask, 0.0), mean, own)
        tl.store(offsets + rows * C + c, own, mask)


@triton.jit
def load_color_matrix(row, offset, C: tl.constexpr, COLOR: tl.constexpr):
    """Return the color map of a row: a matrix by rows, then what is added to each channel.

    `offset` points at what is added, where that is not what the table says.
    """
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
def load_scale(table, C: tl.constexpr, COLOR: tl.constexpr):
    """Return what takes a pixel's values to those of the batch: three factors, three summands.

    Values that color has changed are in [0, 1], others in the images' units.
    """
    gain, low = table + (PLAIN_GAIN if COLOR < 0 else GAIN), table + LOW
    a, b = load_float(gain), load_float(low)
    if C == 1:
        return a, a, a, b, b, b
    else:
        return (
            a, load_float(gain + 1), load_float(gain + 2),
            b, load_float(low + 1), load_float(low + 2),
        )  # fmt: skip


@triton.jit
def _saturated(v):
    # An addition that saturates, where `v` is one: no instruction more.
    return tl.minimum(tl.maximum(v, 0.0), 1.0)


@triton.jit
def colored(
    v0, v1, v2, row, m, C: tl.constexpr, COLOR: tl.constexpr, POINTS: tl.constexpr,
    USED: tl.constexpr,
):  # fmt: skip
    """Return the colors of a pixel of a row, of its values in the images' units; see `scaled`.

    `m` is what `load_color_matrix` returns.
    """
    if COLOR < 0:
        return v0, v1, v2
    else:
        if C == 1:
            w0 = _saturated(tl.fma(v0, m[0], m[9]))
            w1, w2 = w0, w0
        else:
            w0 = tl.fma(
                v2,
                m[2],
                tl.fma(v1, m[1], tl.fma(v0, m[0], m[9])),
            )
            w1 = tl.fma(
                v2,
                m[5],
                tl.fma(v1, m[4], tl.fma(v0, m[3], m[10])),
            )
            w2 = tl.fma(
                v2,
                m[8],
                tl.fma(v1, m[7], tl.fma(v0, m[6], m[11])),
            )
            w0, w1, w2 = _saturated(w0), _saturated(w1), _saturated(w2)
        if POINTS >= 0:
            reads = load_reads(row, POINTS, USED)
            w0 = change_point(w0, reads, USED)
            if C == 3:
                w1, w2 = change_point(w1, reads, USED), change_point(w2, reads, USED)
        return w0, w1, w2


@triton.jit
def scaled(v0, v1, v2, scale, C: tl.constexpr):
    """Return values as the batch has them; `scale` is of `load_scale`."""
    w0 = tl.fma(v0, scale[0], scale[3])
    if C == 1:
        return w0, w0, w0
    else:
        return w0, tl.fma(v1, scale[1], scale[4]), tl.fma(v2, scale[2], scale[5])


@triton.jit
def _mixed(v, u, share, c: tl.constexpr, scale):
    gain = scale[c]
    return tl.fma(v, share * gain, tl.fma(u, (1.0 - share) * gain, scale[3 + c]))


@triton.jit
def mixed(v0, v1, v2, u0, u1, u2, share, scale, C: tl.constexpr):
    """Return what `scaled` does, of a pixel of which `v` has a share and `u` the rest."""
    w0 = _mixed(v0, u0, share, 0, scale)
    if C == 1:
        return w0, w0, w0
    else:
        return w0, _mixed(v1, u1, share, 1, scale), _mixed(v2, u2, share, 2, scale)

"""Masks on a device: each output pixel takes the value of the pixel that it shows.

Places are found in float64 by the operations of `kernels.nearest`, one by one, so that the value is
the one that a CPU takes.
"""

import triton
import triton.language as tl

from augfeed import constants
from augfeed.engines.cuda.sample import fold
from augfeed.engines.cuda.shifted_masks import PLANES, border_place, read_place, shift_place

CONSTANT: tl.constexpr = tl.constexpr(constants.CONSTANT)
# Words of a row of the table, int64; matrices are float64, by rows.
FILL: tl.constexpr = tl.constexpr(0)
START: tl.constexpr = tl.constexpr(1)  # the first value of the row's masks
PLANE: tl.constexpr = tl.constexpr(2)  # values of one mask
WIDTH: tl.constexpr = tl.constexpr(3)
WINDOW: tl.constexpr = tl.constexpr(4)  # box, resized, offset, each (y, x)
COUNT: tl.constexpr = tl.constexpr(12)  # maps; 0 where lines stay such
ALONE: tl.constexpr = tl.constexpr(13)  # the row that is shown beside what is pasted
PASTED: tl.constexpr = tl.constexpr(14)  # the row that is pasted, or -1
PATCH: tl.constexpr = tl.constexpr(15)  # top, left, bottom, right
SHIFTED: tl.constexpr = tl.constexpr(19)  # whether a displacement is among the maps
TOTAL: tl.constexpr = tl.constexpr(20)
STEPS: tl.constexpr = tl.constexpr(29)  # of maps, each a matrix, or the factor of a field, and
FIELD: tl.constexpr = tl.constexpr(9)  # the number of the field, or -1
STEP: tl.constexpr = tl.constexpr(10)
FAR: tl.constexpr = tl.constexpr(float(1 << 20))


@triton.jit
def _int(words, k):
    return tl.load(words + k).to(tl.int32)


@triton.jit
def _float(words, k):
    return tl.load(words + k).to(tl.float64, bitcast=True)


@triton.jit
def _near(u):
    return tl.minimum(tl.maximum(u, -FAR), FAR)


@triton.jit
def _source(m, y, x):
    # Row and column of the frame that an output pixel comes from; `m` points at a matrix.
    fx, fy = x.to(tl.float64), y.to(tl.float64)
    u = _float(m, 0) * fx + _float(m, 1) * fy + _float(m, 2)
    v = _float(m, 3) * fx + _float(m, 4) * fy + _float(m, 5)
    a, b, c = _float(m, 6), _float(m, 7), _float(m, 8)
    if (a != 0.0) | (b != 0.0) | (c != 1.0):
        z = a * fx + b * fy + c
        z = tl.where(z == 0.0, 1e-30, z)
        u, v = u / z, v / z
    return _near(v), _near(u)


@triton.jit
def _along(u, side, begin, length, resized, offset, BORDER: tl.constexpr, PADDING: tl.constexpr):
    # The place in the source of a position along a side of the frame, -1 outside.
    near = tl.floor(u + 0.5).to(tl.int32)
    beyond = (near < 0) | (near >= side)
    folded = fold(near, side, BORDER)
    outside = beyond & (folded < 0)
    near = tl.where(beyond, folded, near)
    u = tl.where(beyond, near.to(tl.float64), u)
    near = near + offset
    at = u + offset.to(tl.float64) + 0.5
    padded = (near < 0) | (near >= resized)
    folded = fold(near, resized, PADDING)
    outside = outside | (padded & (folded < 0))
    at = tl.where(padded, folded.to(tl.float64) + 0.5, at)
    place = tl.floor(at * length.to(tl.float64) / resized.to(tl.float64)).to(tl.int32)
    return tl.where(outside, -1, begin + tl.minimum(tl.maximum(place, 0), length - 1))


@triton.jit
def _cut(words, v, u, height, width, BORDER: tl.constexpr, PADDING: tl.constexpr):
    # Row and column of the source that a position in the frame shows.
    w = words + WINDOW
    row = _along(v, height, _int(w, 0), _int(w, 2), _int(w, 4), _int(w, 6), BORDER, PADDING)
    column = _along(u, width, _int(w, 1), _int(w, 3), _int(w, 5), _int(w, 7), BORDER, PADDING)
    return row, column


@triton.jit
def _sampled(words, y, x, height, width, BORDER: tl.constexpr, PADDING: tl.constexpr):
    # Row and column of the source by the maps of a row: the last of them reads what the one before
    # it has made, the first the source.
    count = _int(words, COUNT)
    zero = height * 0
    outside = y < 0
    for k in range(count - 1):
        v, u = _source(words + STEPS + STEP * (count - 1 - k), y, x)
        row = _along(v, height, zero, height, height, zero, BORDER, PADDING)
        column = _along(u, width, zero, width, width, zero, BORDER, PADDING)
        outside = outside | (row < 0) | (column < 0)
        y, x = tl.maximum(row, 0), tl.maximum(column, 0)
    v, u = _source(words + STEPS, y, x)
    row, column = _cut(words, v, u, height, width, BORDER, PADDING)
    return tl.where(outside, -1, row), column


@triton.jit
def _displaced(
    words, fields, y, x, height, width, BORDER: tl.constexpr, PADDING: tl.constexpr
):  # fmt: skip
    # Row and column of the source by the maps of a row, some of which are displacements.
    count = _int(words, COUNT)
    v, u, outside = y.to(tl.float64), x.to(tl.float64), y < 0
    for k in range(count):
        step = words + STEPS + STEP * (count - 1 - k)
        number = tl.load(step + FIELD)
        if number >= 0:
            field = fields + number * (PLANES * height * width)
            v, u, shown = shift_place(field, _float(step, 0).to(tl.float32), v, u, height, width)
        else:
            v, u = _source(step, v, u)
            u, beside = border_place(u, width, BORDER)
            v, within = border_place(v, height, BORDER)
            shown = within & beside
        outside = outside | (shown == 0)
        v, u = tl.where(outside, 0.0, v), tl.where(outside, 0.0, u)
    w = words + WINDOW
    row = read_place(v, _int(w, 0), _int(w, 2), _int(w, 4), _int(w, 6), PADDING)
    column = read_place(u, _int(w, 1), _int(w, 3), _int(w, 5), _int(w, 7), PADDING)
    return tl.where(outside, -1, row), column


@triton.jit
def _place(
    table, lines, fields, row, pitch, y, x, height, width, SAMPLED: tl.constexpr,
    DISPLACED: tl.constexpr, BORDER: tl.constexpr, PADDING: tl.constexpr,
):  # fmt: skip
    # The number of the value that each pixel of a row shows, -1 outside.
    words = table + row.to(tl.int64) * pitch
    own = lines + row.to(tl.int64) * (height + width)
    down, across = tl.load(own + y), tl.load(own + height + x)
    if SAMPLED:
        count = _int(words, COUNT)
        if DISPLACED:
            if _int(words, SHIFTED) > 0:
                down, across = _displaced(words, fields, y, x, height, width, BORDER, PADDING)
                count = count * 0
        if count > 0:
            down, across = _sampled(words, y, x, height, width, BORDER, PADDING)
            if BORDER == CONSTANT:
                if count > 1:  # where all have one color outside, what they say together
                    v, u = _source(words + TOTAL, y, x)
                    together, beside = _cut(words, v, u, height, width, BORDER, PADDING)
                    outside = (down < 0) | (across < 0)
                    down, across = tl.where(outside, -1, together), beside
    at = tl.load(words + START) + down.to(tl.int64) * tl.load(words + WIDTH) + across
    return tl.where((down < 0) | (across < 0), -1, at)


@triton.jit(do_not_specialize=["planes", "pitch", "height", "width"])
def show_masks(
    values, table, lines, fields, out, planes, pitch, height, width, SAMPLED: tl.constexpr,
    DISPLACED: tl.constexpr, MIXED: tl.constexpr, BORDER: tl.constexpr, PADDING: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the masks of a row, `[planes, height, width]`, a block of pixels of each.

    `values` hold the masks of all rows, one after the other, `fields` those of displacements. What
    is pasted is looked at where `MIXED`, maps where `SAMPLED`, fields where `DISPLACED`.
    """
    row = tl.program_id(0)
    pixels = height * width
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    within = at < pixels
    at = tl.minimum(at, pixels - 1)
    y, x = at // width, at % width
    words = table + row.to(tl.int64) * pitch
    own = _int(words, ALONE)
    place = _place(
        table, lines, fields, own, pitch, y, x, height, width, SAMPLED, DISPLACED, BORDER, PADDING
    )
    step = tl.load(table + own.to(tl.int64) * pitch + PLANE)
    if MIXED:
        pasted = _int(words, PASTED)
        if pasted >= 0:
            other = _place(
                table, lines, fields, pasted, pitch, y, x, height, width, SAMPLED, DISPLACED,
                BORDER, PADDING,
            )  # fmt: skip
            inside = (y >= _int(words, PATCH)) & (y < _int(words, PATCH + 2))
            inside = inside & (x >= _int(words, PATCH + 1)) & (x < _int(words, PATCH + 3))
            place = tl.where(inside, other, place)
            beside = tl.load(table + pasted.to(tl.int64) * pitch + PLANE)
            each = tl.where(inside, beside, step)
        else:
            each = tl.where(within, step, step)
    else:
        each = step
    fill = tl.load(words + FILL).to(out.dtype.element_ty)
    shown = within & (place >= 0)
    for n in range(planes):
        value = tl.load(values + place + n * each, shown, 0).to(out.dtype.element_ty)
        value = tl.where(place >= 0, value, fill)
        tl.store(out + (row.to(tl.int64) * planes + n) * pixels + at, value, within)

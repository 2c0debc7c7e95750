"""Places of a frame that displacements have moved, on a device: see `kernels.shifted`.

Places are float64 and found by the operations of a CPU, one by one; the fields are those that move
the images there, whose sums a CPU adds up in another order.
"""

import triton
import triton.language as tl

from augfeed import constants
from augfeed.engines.cuda.sample import fold

CONSTANT: tl.constexpr = tl.constexpr(constants.CONSTANT)
EDGE: tl.constexpr = tl.constexpr(constants.EDGE)
PLANES: tl.constexpr = tl.constexpr(2)  # of a field: along x, and along y


@triton.jit
def border_place(u, side, BORDER: tl.constexpr):
    """Return the place that stands for one along a side, and whether there is any."""
    last = side.to(tl.float64) - 1.0
    if BORDER == CONSTANT:
        near = tl.floor(u + 0.5)
        return u, (near >= 0.0) & (near <= last)
    elif BORDER == EDGE:
        return tl.minimum(tl.maximum(u, 0.0), last), u == u
    else:
        period = tl.maximum(2.0 * last, 1.0)
        around = u - tl.floor(u / period) * period
        around = tl.minimum(around, period - around)
        held = tl.minimum(tl.maximum(u, 0.0), last)
        return tl.where(last > 0.0, around, held), u == u


@triton.jit
def _cell(u, side):
    held = tl.minimum(tl.maximum(u, 0.0), side.to(tl.float64) - 1.0)
    low = held.to(tl.int32)
    return low, tl.minimum(low + 1, side - 1), held - low.to(tl.float64)


@triton.jit
def _between(low, high, share):
    # Of float32 values, at a share of float64.
    return low.to(tl.float64) + share * (high - low).to(tl.float64)


@triton.jit
def _look(plane, half, rows, columns, a, b, width):
    # How far a place is displaced along one side, linear between pixels.
    y0, y1, x0, x1 = rows[0] * width, rows[1] * width, columns[0], columns[1]
    above = _between(tl.load(plane + y0 + x0) * half, tl.load(plane + y0 + x1) * half, a)
    below = _between(tl.load(plane + y1 + x0) * half, tl.load(plane + y1 + x1) * half, a)
    return above + b * (below - above)


@triton.jit
def shift_place(field, half, v, u, height, width):
    """Return where a displacement takes a place from, and whether that is in the frame.

    `field` are two planes of float32, of which `half` is the factor.
    """
    x0, x1, a = _cell(u, width)
    y0, y1, b = _cell(v, height)
    rows, columns = (y0, y1), (x0, x1)
    across = u + _look(field, half, rows, columns, a, b, width)
    down = v + _look(field + height * width, half, rows, columns, a, b, width)
    # Sums of float32, as those by which images are moved.
    u, beside = border_place(across.to(tl.float32).to(tl.float64), width, CONSTANT)
    v, within = border_place(down.to(tl.float32).to(tl.float64), height, CONSTANT)
    return v, u, within & beside


@triton.jit
def read_place(u, begin, length, resized, offset, PADDING: tl.constexpr):
    """Return the place in the source of one along a side of the frame, -1 outside."""
    at = u + offset.to(tl.float64) + 0.5
    near = tl.floor(at).to(tl.int32)
    folded = fold(near, resized, PADDING)
    at = tl.where(folded != near, folded.to(tl.float64) + 0.5, at)
    place = tl.floor(at * length.to(tl.float64) / resized.to(tl.float64)).to(tl.int32)
    return tl.where(folded < 0, -1, begin + tl.minimum(tl.maximum(place, 0), length - 1))

"""Frames moved by a smooth random field, as Triton kernels: see `augfeed.operation.elastic`.

Of a row, float32 `[pitch]`, two planes hold the field along x and along y, two more the same
smoothed along lines, and the next ones what the frame becomes. See `cuda.frames`.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda.frames import REFLECT, read_pixels, rounded, size_of, source_of
from augfeed.engines.cuda.noise import blocks_of, number
from augfeed.engines.cuda.sample import fold
from augfeed.engines.cuda.table_layout import HEAD, load_float
from augfeed.philox import Stream

ELASTIC_PIXELS: tl.constexpr = tl.constexpr(int(Stream.ELASTIC_PIXELS))


@triton.jit(do_not_specialize=["begin", "pitch", "height", "width"])
def fill_fields(
    table, sums, begin, pitch, height, width, ROW: tl.constexpr, MADE: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write numbers from -1 to 1, uniform, to both planes of a field.

    The grid is (rows, blocks, 2), of the rows from `begin` on.
    """
    row = table + HEAD + (begin + tl.program_id(0)) * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        c, pixels = tl.program_id(2), height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        low = load_float(row + MADE + NUMBERS + 3).to(tl.uint32)
        high = load_float(row + MADE + NUMBERS + 4).to(tl.uint32)
        zero = low ^ low
        key = (low | (high << 24), high >> 8, zero, zero, zero)
        blocks = (pixels + 7) // 8
        drawn = number(blocks_of(p % blocks, c, key, ELASTIC_PIXELS, blocks), p // blocks)
        v = (drawn.to(tl.float32) + 0.5) * (1.0 / 32768.0) - 1.0
        plane = sums + tl.program_id(0).to(tl.int64) * pitch + c * pixels
        tl.store(plane + p, v, p < pixels)


@triton.jit(do_not_specialize=["begin", "pitch", "height", "width"])
def smooth_fields(
    table, sums, begin, pitch, height, width, ROW: tl.constexpr, MADE: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
    DOWN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Weigh the field along its lines, to the other two planes, or from there back, if `DOWN`."""
    row = table + HEAD + (begin + tl.program_id(0)) * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        pixels = height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < pixels
        y, x = p // width, p % width
        sigma = load_float(row + MADE + NUMBERS + 1)
        reach = (tl.floor(8.0 * sigma).to(tl.int32) + 1) // 2
        rate = -0.5 / (sigma * sigma)
        own = sums + tl.program_id(0).to(tl.int64) * pitch + tl.program_id(2) * pixels
        source = own + 2 * pixels * DOWN
        v = tl.load(source + p, mask, 0.0)
        total = sigma * 0.0 + 1.0
        for j in range(1, reach + 1):
            far = j * 1.0
            weight = tl.exp(rate * far * far)
            if DOWN:
                a = fold(y - j, height, REFLECT) * width + x
                b = fold(y + j, height, REFLECT) * width + x
            else:
                a = y * width + fold(x - j, width, REFLECT)
                b = y * width + fold(x + j, width, REFLECT)
            v += weight * (tl.load(source + a, mask, 0.0) + tl.load(source + b, mask, 0.0))
            total += 2.0 * weight
        tl.store(own + 2 * pixels * (1 - DOWN) + p, v / total, mask)


@triton.jit
def _corner(source, y, x, mask, size, fill, C: tl.constexpr, PAD: tl.constexpr):
    inside = (y >= 0) & (x >= 0) & (y < size[0]) & (x < size[1])
    v0, v1, v2 = read_pixels(source, y, x, mask & inside, size, C, PAD)
    return tl.where(inside, v0, fill), tl.where(inside, v1, fill), tl.where(inside, v2, fill)


@triton.jit
def _between(a, b, d, e, right, low, images):
    upper, lower = a + right * (b - a), d + right * (e - d)
    made = upper + low * (lower - upper)
    if images.dtype.element_ty == tl.uint8:
        made = rounded(made)
    return made


@triton.jit(
    do_not_specialize=["begin", "pitch", "height", "width", "source_height", "source_width"]
)
def displace(
    images, frames, table, sums, begin, pitch, height, width, source_height, source_width,
    ROW: tl.constexpr, MADE: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr,
    NUMBERS: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write what frames become under their fields to the planes behind these."""
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW
    code = tl.load(row + MADE + 1 + SLOT)
    if (code & 255) == CODE:
        whole = (height, width, source_height, source_width)
        source = source_of(images, frames, table, row, r, code, whole, C, PAD)
        size, pixels = size_of(code, whole, PAD), height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < pixels
        y, x = p // width, p % width
        planes = sums + tl.program_id(0).to(tl.int64) * pitch
        half = load_float(row + MADE + NUMBERS) * 0.5
        at_x = x.to(tl.float32) + tl.load(planes + p, mask, 0.0) * half
        at_y = y.to(tl.float32) + tl.load(planes + pixels + p, mask, 0.0) * half
        at_x = tl.minimum(tl.maximum(at_x, -1.0), width * 1.0)
        at_y = tl.minimum(tl.maximum(at_y, -1.0), height * 1.0)
        left, top = tl.floor(at_x), tl.floor(at_y)
        right, low = at_x - left, at_y - top
        u, v = left.to(tl.int32), top.to(tl.int32)
        fill = load_float(row + MADE + NUMBERS + 2)
        if images.dtype.element_ty == tl.uint8:
            fill *= 255.0
        a = _corner(source, v, u, mask, size, fill, C, PAD)
        b = _corner(source, v, u + 1, mask, size, fill, C, PAD)
        d = _corner(source, v + 1, u, mask, size, fill, C, PAD)
        e = _corner(source, v + 1, u + 1, mask, size, fill, C, PAD)
        here = planes + 4 * pixels + p
        tl.store(here, _between(a[0], b[0], d[0], e[0], right, low, images), mask)
        if C == 3:
            tl.store(here + pixels, _between(a[1], b[1], d[1], e[1], right, low, images), mask)
            tl.store(here + 2 * pixels, _between(a[2], b[2], d[2], e[2], right, low, images), mask)

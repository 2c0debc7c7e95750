"""Frames that are made before the pass, as Triton kernels: tables of levels, kernels.

A program whose row has another code than its kernel does nothing. A step that is the first of its
row reads the image, where the window lies in it; the next ones read the frame that the one before
has written. Frames lie `pitch` values apart.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda import frame_steps as _steps
from augfeed.engines.cuda._tables import make_table
from augfeed.engines.cuda.levels import LEVELS
from augfeed.engines.cuda.sample import CONSTANT, direct, fold
from augfeed.engines.cuda.table_layout import HEAD, PAD_FILL, load_float

FIRST: tl.constexpr = tl.constexpr(_steps.FIRST)
PARTS: tl.constexpr = tl.constexpr(4)  # that the histogram of a frame is counted in
REFLECT: tl.constexpr = tl.constexpr(2)


@triton.jit
def rounded(v):
    """Return values rounded to whole numbers, halves to even."""
    return (v + 12582912.0) - 12582912.0


@triton.jit
def frame_pitch(height, width, C: tl.constexpr):
    """Return how many values apart frames lie: whole groups of 16."""
    return tl.cast((height * width * C + 15) // 16 * 16, tl.int64)


@triton.jit
def size_of(code, size, PAD: tl.constexpr):
    """Return (height, width, and those of what is read): a frame is its own window."""
    if PAD < 0:
        return size
    else:
        first = (code & FIRST) != 0
        return (
            size[0], size[1], tl.where(first, size[2], size[0]), tl.where(first, size[3], size[1])
        )  # fmt: skip


@triton.jit
def source_of(images, frames, table, row, r, code, size, C: tl.constexpr, PAD: tl.constexpr):
    """Return what a step reads: pointer, top and left of the window in it, what lies outside."""
    first = (code & FIRST) != 0
    image = images + tl.load(row).to(tl.int64) * (size[2] * size[3] * C)
    frame = frames + r.to(tl.int64) * frame_pitch(size[0], size[1], C)
    top, left, f0, f1, f2 = 0, 0, 0.0, 0.0, 0.0
    if PAD >= 0:
        top = tl.where(first, tl.load(row + 1), 0)
        left = tl.where(first, tl.load(row + 2), 0)
    if PAD == CONSTANT:
        f0 = load_float(table + PAD_FILL)
        f1, f2 = load_float(table + PAD_FILL + 1), load_float(table + PAD_FILL + 2)
        if images.dtype.element_ty == tl.uint8:
            f0, f1, f2 = rounded(f0), rounded(f1), rounded(f2)
    return tl.where(first, image, frame), top, left, f0, f1, f2


@triton.jit
def read_pixels(source, y, x, mask, size, C: tl.constexpr, PAD: tl.constexpr):
    """Return pixels of a frame, in the images' units."""
    fills = (source[3], source[4], source[5])
    return direct(source[0], y, x, mask, source[1], source[2], False, False, size, fills, C, PAD)


@triton.jit
def write_pixels(frame, p, v0, v1, v2, mask, C: tl.constexpr):
    """Write pixels of a frame."""
    kind: tl.constexpr = frame.dtype.element_ty
    tl.store(frame + p * C, v0.to(kind), mask)
    if C == 3:
        tl.store(frame + p * C + 1, v1.to(kind), mask)
        tl.store(frame + p * C + 2, v2.to(kind), mask)


@triton.jit
def level_of(v, images):
    """Return the nearest of 256 levels of values; what is not a number is black."""
    if images.dtype.element_ty == tl.uint8:
        return v.to(tl.int32)
    else:
        v = v * 255.0
        v = tl.where(v > 0.0, v, 0.0)
        return tl.floor(tl.where(v < 255.0, v, 255.0) + 0.5).to(tl.int32)


@triton.jit
def _histogram(v, mask, images):
    # What is not wanted is counted as 0, and taken off there.
    counts = tl.histogram(tl.where(mask, level_of(v, images), 0), LEVELS)
    beyond = tl.sum(tl.where(mask, 0, 1), 0)
    return counts - tl.where(tl.arange(0, LEVELS) == 0, beyond, 0)


@triton.jit(do_not_specialize=["height", "width", "source_height", "source_width"])
def count_levels(
    images, frames, table, counts, height, width, source_height, source_width, ROW: tl.constexpr,
    MADE: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr, C: tl.constexpr,
    PAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the histograms of the frames of some rows to `counts`, int32 `[M, PARTS, C, 256]`.

    The grid is (rows, PARTS). `MADE` is where the part of the steps begins in a row of the table;
    `CODE` says whose turn it is in slot `SLOT`.
    """
    r, part = tl.program_id(0), tl.program_id(1)
    row = table + HEAD + r * ROW
    code = tl.load(row + MADE + 1 + SLOT)
    if (code & 255) == CODE:
        whole = (height, width, source_height, source_width)
        source = source_of(images, frames, table, row, r, code, whole, C, PAD)
        size, pixels = size_of(code, whole, PAD), height * width
        h0 = tl.zeros([LEVELS], tl.int32)
        h1, h2 = h0, h0
        for start in range(part * BLOCK, pixels, PARTS * BLOCK):
            p = start + tl.arange(0, BLOCK)
            mask = p < pixels
            v0, v1, v2 = read_pixels(source, p // width, p % width, mask, size, C, PAD)
            h0 += _histogram(v0, mask, images)
            if C == 3:
                h1 += _histogram(v1, mask, images)
                h2 += _histogram(v2, mask, images)
        here = counts + (r * PARTS + part) * (C * LEVELS) + tl.arange(0, LEVELS)
        tl.store(here, h0)
        if C == 3:
            tl.store(here + LEVELS, h1)
            tl.store(here + 2 * LEVELS, h2)


@triton.jit
def fill_tables(
    table, counts, tables, ROW: tl.constexpr, MADE: tl.constexpr, SLOT: tl.constexpr,
    CODE: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Write what becomes of each level to `tables`, int32 `[M, C, 256]`.

    -1 where values stay as they are. `NUMBERS` is where in the part of the steps those that the
    operation reads begin. The grid is (rows, C).
    """
    r, c = tl.program_id(0), tl.program_id(1)
    row = table + HEAD + r * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        k = tl.arange(0, LEVELS)
        here = counts + (r * (PARTS * C) + c) * LEVELS + k
        found = tl.load(here)
        for part in tl.static_range(1, PARTS):
            found += tl.load(here + part * (C * LEVELS))
        made = make_table(found, row + MADE + NUMBERS, CODE)
        tl.store(tables + (r * C + c) * LEVELS + k, made)


@triton.jit
def _look_up(v, tables, c: tl.constexpr, mask, images):
    made = tl.load(tables + c * LEVELS + level_of(v, images), mask, 0)
    if images.dtype.element_ty == tl.uint8:
        return tl.where(made < 0, v, made.to(tl.float32))
    else:
        return tl.where(made < 0, v, made.to(tl.float32) * (1.0 / 255.0))


@triton.jit(do_not_specialize=["height", "width", "source_height", "source_width"])
def look_up(
    images, frames, table, tables, height, width, source_height, source_width, ROW: tl.constexpr,
    MADE: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr, C: tl.constexpr,
    PAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the frames of some rows, each level as `tables` say. The grid is (rows, blocks)."""
    r = tl.program_id(0)
    row = table + HEAD + r * ROW
    code = tl.load(row + MADE + 1 + SLOT)
    if (code & 255) == CODE:
        whole = (height, width, source_height, source_width)
        source = source_of(images, frames, table, row, r, code, whole, C, PAD)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        v0, v1, v2 = read_pixels(
            source, p // width, p % width, mask, size_of(code, whole, PAD), C, PAD
        )
        own = tables + r * (C * LEVELS)
        v0 = _look_up(v0, own, 0, mask, images)
        if C == 3:
            v1 = _look_up(v1, own, 1, mask, images)
            v2 = _look_up(v2, own, 2, mask, images)
        frame = frames + r.to(tl.int64) * frame_pitch(height, width, C)
        write_pixels(frame, p, v0, v1, v2, mask, C)


@triton.jit(do_not_specialize=["begin", "height", "width", "source_height", "source_width"])
def weigh_across(
    images, frames, table, sums, begin, height, width, source_height, source_width,
    ROW: tl.constexpr, MADE: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr,
    KERNEL: tl.constexpr, REACH: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames weighed along their lines to `sums`, float32 `[rows, C, height, width]`.

    The grid is (rows, blocks), of the rows from `begin` on. `KERNEL` is where the kernel begins
    in the part of the steps.
    """
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
        kernel = row + MADE + KERNEL
        weights = kernel + 2 + (REACH + 1)
        v0, v1, v2 = read_pixels(source, y, x, mask, size, C, PAD)
        w = load_float(weights)
        v0, v1, v2 = v0 * w, v1 * w, v2 * w
        for j in range(1, tl.load(kernel + 1) + 1):
            a0, a1, a2 = read_pixels(source, y, fold(x - j, width, REFLECT), mask, size, C, PAD)
            b0, b1, b2 = read_pixels(source, y, fold(x + j, width, REFLECT), mask, size, C, PAD)
            w = load_float(weights + j)
            v0 = tl.fma(w, a0 + b0, v0)
            v1 = tl.fma(w, a1 + b1, v1)
            v2 = tl.fma(w, a2 + b2, v2)
        here = sums + tl.program_id(0).to(tl.int64) * (C * pixels) + p
        tl.store(here, v0, mask)
        if C == 3:
            tl.store(here + pixels, v1, mask)
            tl.store(here + 2 * pixels, v2, mask)


@triton.jit
def weigh_column(plane, y, x, height, width, weights, reach, mask):
    """Return values of a plane of floats weighed along their columns."""
    v = load_float(weights) * tl.load(plane + y * width + x, mask, 0.0)
    for j in range(1, reach + 1):
        a = tl.load(plane + fold(y - j, height, REFLECT) * width + x, mask, 0.0)
        b = tl.load(plane + fold(y + j, height, REFLECT) * width + x, mask, 0.0)
        v = tl.fma(load_float(weights + j), a + b, v)
    return v


@triton.jit(do_not_specialize=["begin", "height", "width"])
def weigh_down(
    frames, table, sums, begin, height, width, ROW: tl.constexpr, MADE: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, KERNEL: tl.constexpr, C: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames from what `weigh_across` made of them, rounded where they are bytes."""
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        pixels = height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < pixels
        y, x = p // width, p % width
        weights, reach = row + MADE + KERNEL + 2, tl.load(row + MADE + KERNEL)
        plane = sums + tl.program_id(0).to(tl.int64) * (C * pixels)
        v0 = weigh_column(plane, y, x, height, width, weights, reach, mask)
        v1, v2 = v0, v0
        if C == 3:
            v1 = weigh_column(plane + pixels, y, x, height, width, weights, reach, mask)
            v2 = weigh_column(plane + 2 * pixels, y, x, height, width, weights, reach, mask)
        if frames.dtype.element_ty == tl.uint8:
            v0, v1, v2 = rounded(v0), rounded(v1), rounded(v2)
        write_pixels(
            frames + r.to(tl.int64) * frame_pitch(height, width, C), p, v0, v1, v2, mask, C
        )

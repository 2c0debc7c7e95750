"""Programs on frames, as Triton kernels: each carries out one slot, of the rows whose turn it is.

A frame is cut out of its image, mirrored and made whole levels; then slots change it where it lies.
A step that moves pixels writes another frame, which is brought back then, so that there are two for
each row: its own and, as many frames behind as there are rows, its second. Frames lie `pitch`
values apart.
"""

import triton
import triton.language as tl

from augfeed.constants import LUMA
from augfeed.engines.cuda._tables import make_drawn_table
from augfeed.engines.cuda.frames import (
    PARTS,
    frame_pitch,
    rounded,
    write_pixels,
)
from augfeed.engines.cuda.hue import turned
from augfeed.engines.cuda.levels import LEVELS
from augfeed.engines.cuda.program_layout import COLOR as _COLOR
from augfeed.engines.cuda.program_layout import HUE as _HUE
from augfeed.engines.cuda.program_layout import LINEAR as _LINEAR
from augfeed.engines.cuda.program_layout import SECOND as _SECOND
from augfeed.engines.cuda.read import load_fills
from augfeed.engines.cuda.sample import CONSTANT, bicubic, direct, filter_of, nearest, warped
from augfeed.engines.cuda.table_layout import (
    BICUBIC,
    HEAD,
    ONLY_BICUBIC,
    ONLY_BILINEAR,
    ONLY_NEAREST,
    PAD_FILL,
    load_float,
)

COLOR: tl.constexpr = tl.constexpr(_COLOR)
HUE: tl.constexpr = tl.constexpr(_HUE)
LINEAR: tl.constexpr = tl.constexpr(_LINEAR)
SECOND: tl.constexpr = tl.constexpr(_SECOND)
RED: tl.constexpr = tl.constexpr(LUMA[0])
GREEN: tl.constexpr = tl.constexpr(LUMA[1])
BLUE: tl.constexpr = tl.constexpr(LUMA[2])


@triton.jit
def own_frame(frames, r, size, C: tl.constexpr):
    """Return the frame of row `r`; its second is that of as many rows behind as there are."""
    return frames + r.to(tl.int64) * frame_pitch(size[0], size[1], C)


@triton.jit
def _level(v, images):
    # Whole numbers, of what frames hold.
    if images.dtype.element_ty == tl.uint8:
        return v.to(tl.int32)
    else:
        return rounded(v * 255.0).to(tl.int32)


@triton.jit
def _value(level, images):
    # What a frame holds for a level, int32 or float32.
    if images.dtype.element_ty == tl.uint8:
        return level
    else:
        return tl.div_rn(level.to(tl.float32), 255.0)


@triton.jit
def load_pixels(frame, p, mask, C: tl.constexpr):
    """Return pixels `p` of a frame, as its element type holds them."""
    v0 = tl.load(frame + p * C, mask, 0).to(tl.float32)
    v1, v2 = v0, v0
    if C == 3:
        v1 = tl.load(frame + p * C + 1, mask, 0).to(tl.float32)
        v2 = tl.load(frame + p * C + 2, mask, 0).to(tl.float32)
    return v0, v1, v2


@triton.jit
def store_levels(frame, p, l0, l1, l2, mask, images, C: tl.constexpr):
    """Store whole levels as pixels `p` of a frame."""
    write_pixels(frame, p, _value(l0, images), _value(l1, images), _value(l2, images), mask, C)


@triton.jit
def _cut_level(v, images):
    # The nearest level of an image's value; what is not a number is black.
    if images.dtype.element_ty != tl.uint8:
        v = v * 255.0
        v = tl.where(v > 0.0, v, 0.0)
        v = tl.floor(tl.where(v < 255.0, v, 255.0) + 0.5)
    return v.to(tl.int32)


@triton.jit(do_not_specialize=["rows", "height", "width", "source_height", "source_width"])
def cut_frames(
    images, frames, table, rows, height, width, source_height, source_width, ROW: tl.constexpr,
    START: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the frames of rows with a program, mirrored, as whole levels. The grid: (rows, blocks).

    `START` is where the part of the programs begins in a row of the table. What the policy does to
    all frames has been done to the first frame of a row; then the second is written.
    """
    r = tl.program_id(0)
    row = table + HEAD + r * ROW
    word = tl.load(row + START)
    if word >= 0:
        whole = (height, width, source_height, source_width)
        made = (word & SECOND) != 0
        first = own_frame(frames, r, whole, C)
        image = images + tl.load(row).to(tl.int64) * (source_height * source_width * C)
        image = tl.where(made, first, image)
        size, top, left, f0, f1, f2 = whole, 0, 0, 0.0, 0.0, 0.0
        if PAD >= 0:
            size = (height, width, tl.where(made, height, source_height),
                    tl.where(made, width, source_width))  # fmt: skip
            top = tl.where(made, 0, tl.load(row + 1))
            left = tl.where(made, 0, tl.load(row + 2))
        if PAD == CONSTANT:
            f0 = load_float(table + PAD_FILL)
            f1, f2 = load_float(table + PAD_FILL + 1), load_float(table + PAD_FILL + 2)
            if images.dtype.element_ty == tl.uint8:
                f0, f1, f2 = rounded(f0), rounded(f1), rounded(f2)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        v0, v1, v2 = direct(image, p // width, p % width, mask, top, left, (word & 1) != 0,
                            (word & 2) != 0, size, (f0, f1, f2), C, PAD)  # fmt: skip
        frame = own_frame(frames, r + tl.where(made, rows, 0), whole, C)
        l0, l1, l2 = _cut_level(v0, images), _cut_level(v1, images), _cut_level(v2, images)
        store_levels(frame, p, l0, l1, l2, mask, images, C)


@triton.jit
def _histogram(v, mask, images):
    counts = tl.histogram(tl.where(mask, _level(v, images), 0), LEVELS)
    beyond = tl.sum(tl.where(mask, 0, 1), 0)
    return counts - tl.where(tl.arange(0, LEVELS) == 0, beyond, 0)


@triton.jit(do_not_specialize=["rows", "height", "width"])
def bring_back(
    images, frames, table, rows, height, width, ROW: tl.constexpr, START: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, MOVED: tl.constexpr, C: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames of rows whose slot is `CODE`: from their second, if `MOVED`, as whole levels.

    Without a slot (-1), of rows whose frame was cut out of itself.
    """
    r = tl.program_id(0)
    word = tl.load(table + HEAD + r * ROW + START + 1 + SLOT)
    if SLOT < 0:
        wanted = (word >= 0) & ((word & SECOND) != 0)
    else:
        wanted = (word & 255) == CODE
    if wanted:
        size = (height, width)
        source = own_frame(frames, r + rows if MOVED else r, size, C)
        target = own_frame(frames, r, size, C)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        v0, v1, v2 = load_pixels(source, p, mask, C)
        store_levels(target, p, _level(v0, images), _level(v1, images), _level(v2, images), mask,
                     images, C)  # fmt: skip


@triton.jit(do_not_specialize=["rows", "height", "width"])
def count_drawn(
    images, frames, table, counts, rows, height, width, ROW: tl.constexpr, START: tl.constexpr,
    SLOT: tl.constexpr, COUNTS: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the histograms of frames to `counts`, int32 `[M, PARTS, C, 256]`, where wanted.

    The words of slots have the bit `COUNTS` where a step asks for them.
    """
    r, part = tl.program_id(0), tl.program_id(1)
    word = tl.load(table + HEAD + r * ROW + START + 1 + SLOT)
    if (word & COUNTS) != 0:
        pixels = height * width
        frame = own_frame(frames, r, (height, width), C)
        h0 = tl.zeros([LEVELS], tl.int32)
        h1, h2 = h0, h0
        for start in range(part * BLOCK, pixels, PARTS * BLOCK):
            p = start + tl.arange(0, BLOCK)
            mask = p < pixels
            v0, v1, v2 = load_pixels(frame, p, mask, C)
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
def _counted(counts, r, wanted, c: tl.constexpr, C: tl.constexpr):
    here = counts + (r * (PARTS * C) + c) * LEVELS + tl.arange(0, LEVELS)
    found = tl.load(here, wanted, 0)
    for part in tl.static_range(1, PARTS):
        found += tl.load(here + part * (C * LEVELS), wanted, 0)
    return found


@triton.jit
def _sum(counts):
    return tl.sum(counts.to(tl.int64) * tl.arange(0, LEVELS).to(tl.int64), 0)


@triton.jit(do_not_specialize=["pixels"])
def fill_drawn(
    table, counts, tables, means, pixels, ROW: tl.constexpr, START: tl.constexpr,
    SLOT: tl.constexpr, COUNTS: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Write what becomes of each level to `tables`, int32 `[M, C, 256]`, of steps that look it up.

    -1 where values stay as they are. `means` float32 `[M]` are mean grays from 0 to 1, of steps
    that ask for histograms. The grid is (rows,).
    """
    r = tl.program_id(0)
    row = table + HEAD + r * ROW + START
    word = tl.load(row + 1 + SLOT)
    if (word & 255) != 0:
        wanted = (word & COUNTS) != 0
        h0 = _counted(counts, r, wanted, 0, C)
        h1, h2 = h0, h0
        whole = tl.cast(pixels, tl.int64)
        if C == 3:
            h1, h2 = _counted(counts, r, wanted, 1, C), _counted(counts, r, wanted, 2, C)
            s0, s1, s2 = _sum(h0), _sum(h1), _sum(h2)
            total = 19595 * s0 + 38470 * s1 + 7471 * s2
            gray = (2 * total + 65536 * whole) // (131072 * whole)
            mean = RED * s0.to(tl.float32) + GREEN * s1.to(tl.float32) + BLUE * s2.to(tl.float32)
        else:
            total = _sum(h0)
            gray = (2 * total + whole) // (2 * whole)
            mean = total.to(tl.float32)
        tl.store(means + r, mean / (255.0 * whole.to(tl.float32)), wanted)
        code, gray, k = word & 255, gray.to(tl.float32), tl.arange(0, LEVELS)
        here = tables + r * (C * LEVELS) + k
        tl.store(here, make_drawn_table(code, h0, gray, row + NUMBERS))
        if C == 3:
            tl.store(here + LEVELS, make_drawn_table(code, h1, gray, row + NUMBERS))
            tl.store(here + 2 * LEVELS, make_drawn_table(code, h2, gray, row + NUMBERS))


@triton.jit
def _look_up(v, tables, c: tl.constexpr, mask, images):
    level = _level(v, images)
    made = tl.load(tables + c * LEVELS + level, mask, 0)
    return tl.where(made < 0, level, made)


@triton.jit(do_not_specialize=["rows", "height", "width"])
def look_up_drawn(
    images, frames, table, tables, rows, height, width, ROW: tl.constexpr, START: tl.constexpr,
    SLOT: tl.constexpr, TABLES: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Change the levels of frames as `tables` say, where slots have the bit `TABLES`."""
    r = tl.program_id(0)
    word = tl.load(table + HEAD + r * ROW + START + 1 + SLOT)
    if (word & TABLES) != 0:
        frame = own_frame(frames, r, (height, width), C)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        v0, v1, v2 = load_pixels(frame, p, mask, C)
        own = tables + r * (C * LEVELS)
        l0 = _look_up(v0, own, 0, mask, images)
        l1, l2 = l0, l0
        if C == 3:
            l1, l2 = _look_up(v1, own, 1, mask, images), _look_up(v2, own, 2, mask, images)
        store_levels(frame, p, l0, l1, l2, mask, images, C)


@triton.jit
def _saturated(v):
    return tl.minimum(tl.maximum(v, 0.0), 255.0)


@triton.jit
def _summand(numbers, base: tl.constexpr, by_mean: tl.constexpr, mean):
    return (load_float(numbers + base) + load_float(numbers + by_mean) * mean) * 255.0


@triton.jit
def _row(numbers, first: tl.constexpr, r, g, b):
    return (load_float(numbers + first) * r + load_float(numbers + first + 1) * g) + (
        load_float(numbers + first + 2) * b
    )


@triton.jit
def _linear(v0, v1, v2, numbers, mean, C: tl.constexpr):
    if C == 3:
        r = _row(numbers, 0, v0, v1, v2) + _summand(numbers, 9, 12, mean)
        g = _row(numbers, 3, v0, v1, v2) + _summand(numbers, 10, 13, mean)
        b = _row(numbers, 6, v0, v1, v2) + _summand(numbers, 11, 14, mean)
        return rounded(_saturated(r)), rounded(_saturated(g)), rounded(_saturated(b))
    else:
        v = rounded(_saturated(load_float(numbers + 15) * v0 + _summand(numbers, 16, 17, mean)))
        return v, v, v


@triton.jit
def _colored(v0, v1, v2, factor):
    whole = (19595 * v0.to(tl.int32) + 38470 * v1.to(tl.int32)) + 7471 * v2.to(tl.int32)
    gray = ((whole + 32768) >> 16).to(tl.float32)
    d0, d1, d2 = factor * (v0 - gray), factor * (v1 - gray), factor * (v2 - gray)
    v0, v1, v2 = _saturated(gray + d0), _saturated(gray + d1), _saturated(gray + d2)
    return tl.floor(v0), tl.floor(v1), tl.floor(v2)


@triton.jit(do_not_specialize=["rows", "height", "width"])
def combine_drawn(
    images, frames, table, means, rows, height, width, ROW: tl.constexpr, START: tl.constexpr,
    SLOT: tl.constexpr, COUNTS: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Change the colors of frames, where a slot is linear, blends with gray, or turns the hue."""
    r = tl.program_id(0)
    row = table + HEAD + r * ROW + START
    word = tl.load(row + 1 + SLOT)
    code = word & 255
    if (code == LINEAR) | (((code == COLOR) | (code == HUE)) & (C == 3)):
        frame = own_frame(frames, r, (height, width), C)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        v0, v1, v2 = load_pixels(frame, p, mask, C)
        v0, v1, v2 = _level(v0, images), _level(v1, images), _level(v2, images)
        v0, v1, v2 = v0.to(tl.float32), v1.to(tl.float32), v2.to(tl.float32)
        numbers = row + NUMBERS
        if code == LINEAR:
            mean = tl.load(means + r, (word & COUNTS) != 0, 0.0)
            v0, v1, v2 = _linear(v0, v1, v2, numbers, mean, C)
        else:
            if code == HUE:
                v0, v1, v2 = turned(v0, v1, v2, load_float(numbers))
            else:
                v0, v1, v2 = _colored(v0, v1, v2, load_float(numbers))
        store_levels(frame, p, v0.to(tl.int32), v1.to(tl.int32), v2.to(tl.int32), mask, images, C)


@triton.jit
def sampled_level(v, images):
    """Return the nearest level of a value that a frame may hold between two levels."""
    if images.dtype.element_ty == tl.uint8:
        return rounded(v).to(tl.int32)
    else:
        return rounded(v * 255.0).to(tl.int32)


@triton.jit(do_not_specialize=["rows", "height", "width"])
def warp_drawn(
    images, frames, table, rows, height, width, ROW: tl.constexpr, START: tl.constexpr,
    SLOT: tl.constexpr, MATRIX: tl.constexpr, NUMBERS: tl.constexpr, BORDER: tl.constexpr,
    PERSPECTIVE: tl.constexpr, FILTERS: tl.constexpr, EACH: tl.constexpr, WARP: tl.constexpr,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the second frames of rows whose slot moves pixels; see `read.moved` for `FILTERS`."""
    r = tl.program_id(0)
    row = table + HEAD + r * ROW + START
    word = tl.load(row + 1 + SLOT)
    if (word & 255) == MATRIX:
        size = (height, width, height, width)
        source = own_frame(frames, r, size, C)
        target = own_frame(frames, r + rows, size, C)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        m = row + NUMBERS
        matrix = (
            load_float(m), load_float(m + 1), load_float(m + 2), load_float(m + 3),
            load_float(m + 4), load_float(m + 5), load_float(m + 6), load_float(m + 7),
            load_float(m + 8), True, 0,
        )  # fmt: skip
        y, x, fills = p // width, p % width, load_fills(table, EACH)
        if FILTERS == ONLY_BILINEAR:
            v0, v1, v2 = warped(source, matrix, y, x, mask, 0, 0, size, fills, C, -1, BORDER,
                                PERSPECTIVE)  # fmt: skip
        elif FILTERS == ONLY_NEAREST:
            v0, v1, v2 = nearest(source, matrix, y, x, mask, 0, 0, size, fills, C, -1, BORDER,
                                 PERSPECTIVE)  # fmt: skip
        elif FILTERS == ONLY_BICUBIC:
            v0, v1, v2 = bicubic(source, matrix, y, x, mask, 0, 0, size, fills, C, -1, BORDER,
                                 PERSPECTIVE)  # fmt: skip
        else:
            if filter_of(tl.load(table + HEAD + r * ROW + WARP)) == BICUBIC:
                v0, v1, v2 = bicubic(source, matrix, y, x, mask, 0, 0, size, fills, C, -1, BORDER,
                                     PERSPECTIVE)  # fmt: skip
            else:
                v0, v1, v2 = warped(source, matrix, y, x, mask, 0, 0, size, fills, C, -1, BORDER,
                                    PERSPECTIVE)  # fmt: skip
        l0, l1 = sampled_level(v0, images), sampled_level(v1, images)
        store_levels(target, p, l0, l1, sampled_level(v2, images), mask, images, C)

"""Slots of programs that weigh the neighbors of each pixel, as kernels: across, then down."""

import triton
import triton.language as tl

from augfeed.engines.cuda.frames import REFLECT, weigh_column
from augfeed.engines.cuda.program import load_pixels, own_frame, sampled_level, store_levels
from augfeed.engines.cuda.sample import fold
from augfeed.engines.cuda.table_layout import HEAD, load_float


@triton.jit(do_not_specialize=["begin", "rows", "height", "width"])
def weigh_drawn_across(
    images, frames, table, sums, begin, rows, height, width, ROW: tl.constexpr,
    START: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr, KERNEL: tl.constexpr,
    REACH: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames weighed along their lines to `sums`, float32 `[rows, C, height, width]`."""
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW + START
    word = tl.load(row + 1 + SLOT)
    if (word & 255) == CODE:
        frame, pixels = own_frame(frames, r, (height, width), C), height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < pixels
        y, x = p // width, p % width
        kernel = row + KERNEL
        weights = kernel + 2 + (REACH + 1)
        v0, v1, v2 = load_pixels(frame, p, mask, C)
        w = load_float(weights)
        v0, v1, v2 = v0 * w, v1 * w, v2 * w
        for j in range(1, tl.load(kernel + 1) + 1):
            a0, a1, a2 = load_pixels(frame, y * width + fold(x - j, width, REFLECT), mask, C)
            b0, b1, b2 = load_pixels(frame, y * width + fold(x + j, width, REFLECT), mask, C)
            w = load_float(weights + j)
            v0 = tl.fma(w, a0 + b0, v0)
            v1 = tl.fma(w, a1 + b1, v1)
            v2 = tl.fma(w, a2 + b2, v2)
        here = sums + tl.program_id(0).to(tl.int64) * (C * pixels) + p
        tl.store(here, v0, mask)
        if C == 3:
            tl.store(here + pixels, v1, mask)
            tl.store(here + 2 * pixels, v2, mask)


@triton.jit(do_not_specialize=["begin", "rows", "height", "width"])
def weigh_drawn_down(
    images, frames, table, sums, begin, rows, height, width, ROW: tl.constexpr,
    START: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr, KERNEL: tl.constexpr,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames from what `weigh_drawn_across` made of them, as whole levels."""
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW + START
    word = tl.load(row + 1 + SLOT)
    if (word & 255) == CODE:
        pixels = height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < pixels
        y, x = p // width, p % width
        kernel = row + KERNEL
        reach, weights = tl.load(kernel), kernel + 2
        plane = sums + tl.program_id(0).to(tl.int64) * (C * pixels)
        v0 = weigh_column(plane, y, x, height, width, weights, reach, mask)
        v1, v2 = v0, v0
        if C == 3:
            v1 = weigh_column(plane + pixels, y, x, height, width, weights, reach, mask)
            v2 = weigh_column(plane + 2 * pixels, y, x, height, width, weights, reach, mask)
        frame = own_frame(frames, r, (height, width), C)
        l0, l1 = sampled_level(v0, images), sampled_level(v1, images)
        store_levels(frame, p, l0, l1, sampled_level(v2, images), mask, images, C)

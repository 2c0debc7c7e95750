"""Frames whose pixels are made of the 3 x 3 about them, as Triton kernels; see `cuda.frames`."""

import triton
import triton.language as tl

from augfeed.engines.cuda._stencils import make_pixel
from augfeed.engines.cuda.frames import (
    frame_pitch,
    read_pixels,
    rounded,
    size_of,
    source_of,
    write_pixels,
)
from augfeed.engines.cuda.table_layout import HEAD


@triton.jit
def _levels(
    source, y, x, mask, size, images, QUANTIZED: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr
):
    v0, v1, v2 = read_pixels(source, y, x, mask, size, C, PAD)
    if QUANTIZED and images.dtype.element_ty != tl.uint8:
        v0, v1, v2 = rounded(v0 * 255.0), rounded(v1 * 255.0), rounded(v2 * 255.0)
    return v0, v1, v2


@triton.jit
def _value(v, images, QUANTIZED: tl.constexpr):
    if QUANTIZED and images.dtype.element_ty != tl.uint8:
        v = tl.div_rn(v, 255.0)
    return v


@triton.jit(
    do_not_specialize=["begin", "pitch", "height", "width", "source_height", "source_width"]
)
def make_stencils(
    images, frames, table, sums, begin, pitch, height, width, source_height, source_width,
    ROW: tl.constexpr, MADE: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr,
    NUMBERS: tl.constexpr, QUANTIZED: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames, each pixel made of those about it, to `sums`, float32 `[rows, C, H * W]`.

    The grid is (rows, blocks), of the rows from `begin` on; rows lie `pitch` apart. `NUMBERS` is
    where in the part of the steps those that the operation reads begin. `QUANTIZED`: floats are
    whole levels, and have to be.
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
        top = 255.0 if QUANTIZED or images.dtype.element_ty == tl.uint8 else 1.0
        v0, v1, v2 = _levels(source, y, x, mask, size, images, QUANTIZED, C, PAD)
        inner = mask & (y > 0) & (x > 0) & (y < height - 1) & (x < width - 1)
        a0, a1, a2 = _levels(source, y - 1, x - 1, inner, size, images, QUANTIZED, C, PAD)
        b0, b1, b2 = _levels(source, y - 1, x, inner, size, images, QUANTIZED, C, PAD)
        c0, c1, c2 = _levels(source, y - 1, x + 1, inner, size, images, QUANTIZED, C, PAD)
        d0, d1, d2 = _levels(source, y, x - 1, inner, size, images, QUANTIZED, C, PAD)
        e0, e1, e2 = _levels(source, y, x + 1, inner, size, images, QUANTIZED, C, PAD)
        f0, f1, f2 = _levels(source, y + 1, x - 1, inner, size, images, QUANTIZED, C, PAD)
        g0, g1, g2 = _levels(source, y + 1, x, inner, size, images, QUANTIZED, C, PAD)
        h0, h1, h2 = _levels(source, y + 1, x + 1, inner, size, images, QUANTIZED, C, PAD)
        numbers = row + MADE + NUMBERS
        m0 = make_pixel((a0, b0, c0), (d0, v0, e0), (f0, g0, h0), top, numbers, CODE)
        here = sums + tl.program_id(0).to(tl.int64) * pitch + p
        m0 = _value(tl.where(inner, m0, v0), images, QUANTIZED)
        tl.store(here, m0, mask)
        if C == 3:
            m1 = make_pixel((a1, b1, c1), (d1, v1, e1), (f1, g1, h1), top, numbers, CODE)
            m2 = make_pixel((a2, b2, c2), (d2, v2, e2), (f2, g2, h2), top, numbers, CODE)
            m1 = _value(tl.where(inner, m1, v1), images, QUANTIZED)
            tl.store(here + pixels, m1, mask)
            m2 = _value(tl.where(inner, m2, v2), images, QUANTIZED)
            tl.store(here + 2 * pixels, m2, mask)


@triton.jit(do_not_specialize=["begin", "pitch", "height", "width"])
def put_frames(
    frames, table, sums, begin, pitch, height, width, ROW: tl.constexpr, MADE: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames from planes that a step made of them, float32 `[rows, C, H * W]`."""
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        pixels = height * width
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < pixels
        plane = sums + tl.program_id(0).to(tl.int64) * pitch + p
        v0 = tl.load(plane, mask, 0.0)
        v1, v2 = v0, v0
        if C == 3:
            v1 = tl.load(plane + pixels, mask, 0.0)
            v2 = tl.load(plane + 2 * pixels, mask, 0.0)
        frame = frames + r.to(tl.int64) * frame_pitch(height, width, C)
        write_pixels(frame, p, v0, v1, v2, mask, C)

"""What frames lose as JPEGs, as Triton kernels: see `augfeed.operation.jpeg` and `cuda.frames`.

The planes of a row, float32 `[rows, pitch]` of whole numbers, are gray, whose sides are filled up
to whole blocks of 8 x 8, then both colors, halved and filled up likewise.
"""

import triton
import triton.language as tl

from augfeed import jpeg_tables as _jpeg
from augfeed.engines.cuda.frames import (
    frame_pitch,
    level_of,
    read_pixels,
    size_of,
    source_of,
    write_pixels,
)
from augfeed.engines.cuda.table_layout import HEAD, load_float

TO_GRAY: tl.constexpr = tl.constexpr(_jpeg.TO_GRAY)
TO_BLUE: tl.constexpr = tl.constexpr(_jpeg.TO_BLUE)
TO_RED: tl.constexpr = tl.constexpr(_jpeg.TO_RED)
FROM_RED: tl.constexpr = tl.constexpr(_jpeg.FROM_RED)
FROM_BLUE: tl.constexpr = tl.constexpr(_jpeg.FROM_BLUE)
GREEN_RED: tl.constexpr = tl.constexpr(_jpeg.GREEN_RED)
GREEN_BLUE: tl.constexpr = tl.constexpr(_jpeg.GREEN_BLUE)


@triton.jit
def _filled(side):
    # A side of whole blocks.
    return (side + 7) // 8 * 8


@triton.jit
def _levels(source, y, x, mask, size, images, C: tl.constexpr, PAD: tl.constexpr):
    v0, v1, v2 = read_pixels(source, y, x, mask, size, C, PAD)
    return level_of(v0, images), level_of(v1, images), level_of(v2, images)


@triton.jit
def _color(levels, weights: tl.constexpr):
    total = weights[0] * levels[0] + weights[1] * levels[1] + weights[2] * levels[2]
    return (total + ((128 << 16) + 32767)) >> 16


@triton.jit(
    do_not_specialize=["begin", "pitch", "height", "width", "source_height", "source_width"]
)
def fill_planes(
    images, frames, table, sums, begin, pitch, height, width, source_height, source_width,
    ROW: tl.constexpr, MADE: tl.constexpr, SLOT: tl.constexpr, CODE: tl.constexpr,
    C: tl.constexpr, PAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the planes of frames to `sums`.

    The grid is (rows, parts of gray, then parts of a color), of the rows from `begin` on.
    """
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW
    code = tl.load(row + MADE + 1 + SLOT)
    if (code & 255) == CODE:
        whole = (height, width, source_height, source_width)
        source = source_of(images, frames, table, row, r, code, whole, C, PAD)
        size, part = size_of(code, whole, PAD), tl.program_id(1)
        planes = sums + tl.program_id(0).to(tl.int64) * pitch
        across = _filled(width)
        pixels = _filled(height) * across
        parts = (pixels + BLOCK - 1) // BLOCK
        if part < parts:
            p = part * BLOCK + tl.arange(0, BLOCK)
            mask = p < pixels
            y, x = tl.minimum(p // across, height - 1), tl.minimum(p % across, width - 1)
            levels = _levels(source, y, x, mask, size, images, C, PAD)
            gray = levels[0]
            if C == 3:
                gray = TO_GRAY[0] * levels[0] + TO_GRAY[1] * levels[1] + TO_GRAY[2] * levels[2]
                gray = (gray + 32768) >> 16
            tl.store(planes + p, gray.to(tl.float32), mask)
        elif C == 3:
            p = (part - parts) * BLOCK + tl.arange(0, BLOCK)
            across = _filled((width + 1) // 2)
            halved = _filled((height + 1) // 2) * across
            mask = p < halved
            y, x = 2 * tl.minimum(p // across, (height + 1) // 2 - 1), 2 * (p % across)
            blue = 1 + p % across % 2
            red = blue
            for k in tl.static_range(4):
                v, u = tl.minimum(y + k // 2, height - 1), tl.minimum(x + k % 2, width - 1)
                levels = _levels(source, v, u, mask, size, images, C, PAD)
                blue += _color(levels, TO_BLUE)
                red += _color(levels, TO_RED)
            tl.store(planes + pixels + p, (blue >> 2).to(tl.float32), mask)
            tl.store(planes + pixels + halved + p, (red >> 2).to(tl.float32), mask)


@triton.jit
def _left(matrix, block, BITS: tl.constexpr):
    # The product of a matrix and each of some blocks, rounded by a shift.
    total = tl.sum(matrix[None, :, :, None] * block[:, None, :, :], axis=2)
    return (total + (1 << (BITS - 1))) >> BITS


@triton.jit
def _right(block, matrix, BITS: tl.constexpr):
    total = tl.sum(block[:, :, :, None] * matrix[None, None, :, :], axis=2)
    return (total + (1 << (BITS - 1))) >> BITS


@triton.jit(do_not_specialize=["begin", "pitch", "height", "width"])
def transform_planes(
    table, sums, numbers, begin, pitch, height, width, ROW: tl.constexpr, MADE: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
    MANY: tl.constexpr,
):  # fmt: skip
    """Bring the blocks of planes there and back, in place; a program takes `MANY` of a plane.

    `numbers` int32 `[3, 8, 8]` are cosines, and the tables of gray and of colors. The grid is
    (rows, parts of gray, then those of both colors).
    """
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        quality = load_float(row + MADE + NUMBERS).to(tl.int32)
        planes = sums + tl.program_id(0).to(tl.int64) * pitch
        across, down = _filled(width) // 8, _filled(height) // 8
        parts, part = (across * down + MANY - 1) // MANY, tl.program_id(1)
        steps = numbers + 64
        if C == 3:
            if part >= parts:
                part -= parts
                planes += across * down * 64
                across, down = _filled((width + 1) // 2) // 8, _filled((height + 1) // 2) // 8
                parts = (across * down + MANY - 1) // MANY
                if part >= parts:
                    part -= parts
                    planes += across * down * 64
                steps += 64
        i, j = tl.arange(0, 8)[:, None], tl.arange(0, 8)[None, :]
        cosines, back = tl.load(numbers + i * 8 + j), tl.load(numbers + j * 8 + i)
        scale = tl.where(quality < 50, 5000 // tl.maximum(quality, 1), 200 - 2 * quality)
        step = tl.load(steps + i * 8 + j)
        step = tl.minimum(tl.maximum((step * scale + 50) // 100, 1), 255)[None, :, :]
        b = part * MANY + tl.arange(0, MANY)[:, None, None]
        mask = (b < across * down) & (i >= 0)[None, :, :] & (j >= 0)[None, :, :]
        at = planes + (b // across * 8 + i[None, :, :]) * (across * 8) + b % across * 8
        at += j[None, :, :]
        block = tl.load(at, mask, 128.0).to(tl.int32) - 128
        found = _left(cosines, _right(block, back, 11), 15)
        count = (tl.abs(found) + 4 * step) // (8 * step)
        kept = tl.where(found > 0, count, -count) * step
        made = _right(_left(back, kept, 11), cosines, 18) + 128
        tl.store(at, tl.minimum(tl.maximum(made, 0), 255).to(tl.float32), mask)


@triton.jit
def _enlarged(plane, y, x, height, width, across, mask):
    # Twice as large: three parts of the nearest and one of the next, each way.
    i, j = y // 2, x // 2
    over = tl.minimum(tl.maximum(i - 1 + 2 * (y % 2), 0), height - 1)
    beside = tl.minimum(tl.maximum(j - 1 + 2 * (x % 2), 0), width - 1)
    own = tl.load(plane + i * across + j, mask, 0.0).to(tl.int32)
    near = 3 * own + tl.load(plane + over * across + j, mask, 0.0).to(tl.int32)
    far = 3 * tl.load(plane + i * across + beside, mask, 0.0).to(tl.int32)
    far += tl.load(plane + over * across + beside, mask, 0.0).to(tl.int32)
    return tl.where(width <= 2, own, (3 * near + far + 8 - x % 2) >> 4)


@triton.jit
def _value(level, frames):
    level = tl.minimum(tl.maximum(level, 0), 255).to(tl.float32)
    if frames.dtype.element_ty == tl.uint8:
        return level
    else:
        return level * (1.0 / 255.0)


@triton.jit(do_not_specialize=["begin", "pitch", "height", "width"])
def put_planes(
    frames, table, sums, begin, pitch, height, width, ROW: tl.constexpr, MADE: tl.constexpr,
    SLOT: tl.constexpr, CODE: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write frames from their planes. The grid is (rows, blocks)."""
    r = begin + tl.program_id(0)
    row = table + HEAD + r * ROW
    if (tl.load(row + MADE + 1 + SLOT) & 255) == CODE:
        planes = sums + tl.program_id(0).to(tl.int64) * pitch
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        y, x, across = p // width, p % width, _filled(width)
        gray = tl.load(planes + y * across + x, mask, 0.0).to(tl.int32)
        v0, v1, v2 = gray, gray, gray
        if C == 3:
            planes += _filled(height) * across
            h, w = (height + 1) // 2, (width + 1) // 2
            across = _filled(w)
            blue = _enlarged(planes, y, x, h, w, across, mask) - 128
            red = _enlarged(planes + _filled(h) * across, y, x, h, w, across, mask) - 128
            v0 = gray + ((FROM_RED * red + 32768) >> 16)
            v1 = gray + ((GREEN_BLUE * blue + GREEN_RED * red + 32768) >> 16)
            v2 = gray + ((FROM_BLUE * blue + 32768) >> 16)
        frame = frames + r.to(tl.int64) * frame_pitch(height, width, C)
        write_pixels(frame, p, _value(v0, frames), _value(v1, frames), _value(v2, frames), mask, C)

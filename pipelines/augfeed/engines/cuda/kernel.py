"""The one pass as a Triton kernel: pictures and a table of the plan in, the batch out.

Fused multiply-adds stand where they are written and nowhere else (`enable_fp_fusion=False` at the
launch), so that values do not depend on how the compiler sees the rest of a specialisation.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda.color import colored, load_bounds, load_look
from augfeed.engines.cuda.fields import CUTOUT_FILL, ERASE_FILL, HEAD, SUMS, load_float
from augfeed.engines.cuda.noise import (
    NOISE_PIXELS,
    SALT_PIXELS,
    blocks_of,
    erased_value,
    load_key,
    noisy_value,
    number,
    salted_value,
)
from augfeed.engines.cuda.read import moved, places, read_frame, tiled
from augfeed.engines.cuda.words import write_interleaved


@triton.jit
def _box(words):
    return tl.load(words), tl.load(words + 1), tl.load(words + 2), tl.load(words + 3)


@triton.jit
def _inside(y, x, box):
    # Of a box (top, left, bottom, right).
    return (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])


@triton.jit
def _pasted(y, x, gy, gx, box, VEC: tl.constexpr):
    # Which pixels lie in a box, which groups touch it, and which it covers.
    line = (gy >= box[0]) & (gy < box[2])
    touched = line & (gx + VEC > box[1]) & (gx < box[3])
    covered = line & (gx >= box[1]) & (gx + VEC <= box[3])
    return _inside(y, x, box), touched, covered


@triton.jit
def _cast(v, out):
    if out.dtype.element_ty == tl.uint8:
        v = tl.minimum(tl.maximum(tl.floor(tl.fma(v, 255.0, 0.5)), 0.0), 255.0)
        return v.to(tl.int32).to(tl.uint8)
    else:
        return v.to(out.dtype.element_ty)


@triton.jit
def augment(
    words, images, table, offsets, out, height, width, source_height, source_width,
    ROW: tl.constexpr, MIXING: tl.constexpr, PATCH: tl.constexpr, CUTOUT: tl.constexpr,
    ERASED: tl.constexpr, ID: tl.constexpr, SIGMA: tl.constexpr, SALT: tl.constexpr,
    WARP: tl.constexpr, COLOR: tl.constexpr, STEPPED: tl.constexpr, C: tl.constexpr,
    PAD: tl.constexpr, FLIP: tl.constexpr, BORDER: tl.constexpr, MEAN: tl.constexpr,
    MIX: tl.constexpr, ERASE: tl.constexpr, LAST: tl.constexpr, VEC: tl.constexpr,
    ALIGNED: tl.constexpr, WIDE: tl.constexpr, LANES: tl.constexpr, TILE: tl.constexpr,
    HELD: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Write rows of a plan to `out`, `[count, C, height, width]`, or channels last if `LAST`.

    `out = noise(occlude(mix(color(images[sample(p)]), color(partner[sample'(p)]))))` for every
    pixel p. `images` `[N, h, w, C]` is uint8 (`words` the same memory as int32) or float32;
    `table` see `augfeed.engines.cuda.table`, of which the capitals up to `STEPPED` say where the
    parts of a row begin (-1: not there); `offsets` is what `finish_colors` wrote, if `MEAN`. The
    grid is (rows, parts of a picture); the other capitals are those of
    `augfeed.engines.cuda.spec.Spec`.
    """
    r = tl.program_id(0)
    if MEAN:
        # The pictures that were summed last lie in the cache.
        r = tl.num_programs(0) - 1 - r
    row = table + HEAD + r * ROW
    size = (height, width, source_height, source_width)
    pixels = height * width
    blocks = (pixels + 7) // 8
    if VEC > 1:
        width, pixels = tl.multiple_of(width, VEC), tl.multiple_of(pixels, VEC)
        blocks = tl.multiple_of(blocks, VEC if LANES else 1)
    stride, first = BLOCK, tl.program_id(1) * (BLOCK * STEPS)
    if LANES:
        stride, first = blocks, tl.program_id(1) * BLOCK
    lane_pixels = first + tl.arange(0, BLOCK)
    lane_groups = first + tl.arange(0, BLOCK // VEC) * VEC
    mode, partner, lam = 0, r, 1.0
    if MIX:
        mode, partner = tl.load(row + MIXING), tl.load(row + MIXING + 1)
        lam = load_float(row + MIXING + 2)
    if MIX & 2:
        patch = _box(row + PATCH)
    if CUTOUT >= 0:
        cutout = _box(row + CUTOUT)
    if ERASED >= 0:
        erased = _box(row + ERASED)
    other = table + HEAD + partner * ROW
    own_offset = None
    other_offset = None
    key = None
    if MEAN:
        own_offset, other_offset = offsets + r * C, offsets + partner * C
    look, bounds = (
        load_look(table, row, own_offset, C, COLOR),
        load_bounds(table, C, COLOR, STEPPED),
    )
    other_look = look
    if MIX:
        if COLOR >= 0:
            other_look = load_look(table, other, other_offset, C, COLOR)
    if ID >= 0:
        key = load_key(table, row, ID)
    if SIGMA >= 0:
        sigma = load_float(row + SIGMA)
        n0 = blocks_of(lane_pixels, 0, key, NOISE_PIXELS, blocks)
        n1, n2 = n0, n0
        if C == 3:
            n1 = blocks_of(lane_pixels, 1, key, NOISE_PIXELS, blocks)
            n2 = blocks_of(lane_pixels, 2, key, NOISE_PIXELS, blocks)
    if SALT >= 0:
        pepper, salt = tl.load(row + SALT), tl.load(row + SALT + 1)
        s0 = blocks_of(lane_pixels, 0, key, SALT_PIXELS, blocks)
    for step in range(STEPS):
        if not HELD:
            look = load_look(table, row, own_offset, C, COLOR)
            if MIX:
                other_look = load_look(table, other, other_offset, C, COLOR)
        if TILE > 0:
            p, y, x, gy, gx, low = tiled(tl.program_id(1) * STEPS + step, width, TILE, BLOCK, VEC)
            mask, group = (x < width) & (y < height), (gx < width) & (gy < height)
            high = low + BLOCK // TILE
        else:
            p, g = lane_pixels + step * stride, lane_groups + step * stride
            mask, group = p < pixels, g < pixels
            if LANES:
                mask, group = mask & (lane_pixels < blocks), group & (lane_groups < blocks)
            y, x, gy, gx = places(p, g, width, VEC)
            # Lines of this step: those of its first pixel and of the one behind its last.
            low, high = (first + step * stride) // width, (first + step * stride + BLOCK) // width
        own, own_group, seen, seen_group, mixed = mask, group, mask, group, mode != 0
        if MIX & 2:
            # Of a patch the partner is read, of the rest the picture itself: never both.
            cut = mode == 2
            pasted, touched, covered = _pasted(y, x, gy, gx, patch, VEC)
            own, own_group = mask & ((pasted & cut) == 0), group & ((covered & cut) == 0)
            seen = mask & (pasted | (cut == 0))
            seen_group = group & (touched | (cut == 0))
            mixed = mixed & ((cut == 0) | ((patch[0] <= high) & (low < patch[2])))
        v0, v1, v2 = moved(words, images, table, row, y, x, gy, gx, own, own_group, size, C, PAD,
                           FLIP, VEC, ALIGNED, WARP, BORDER, WIDE)  # fmt: skip
        v0, v1, v2 = colored(v0, v1, v2, table, row, look, bounds, C, COLOR, STEPPED)
        if MIX:
            if mixed:
                u0, u1, u2 = moved(words, images, table, other, y, x, gy, gx, seen, seen_group,
                                   size, C, PAD, FLIP, VEC, ALIGNED, WARP, BORDER,
                                   WIDE)  # fmt: skip
                u0, u1, u2 = colored(u0, u1, u2, table, other, other_look, bounds, C, COLOR,
                                     STEPPED)  # fmt: skip
                own_share = tl.where(mode == 1, lam, tl.where(seen, 0.0, 1.0))
                v0 = v0 * own_share + u0 * (1.0 - own_share)
                v1 = v1 * own_share + u1 * (1.0 - own_share)
                v2 = v2 * own_share + u2 * (1.0 - own_share)
        if CUTOUT >= 0:
            hidden = _inside(y, x, cutout)
            fill = load_float(table + CUTOUT_FILL)
            v0 = tl.where(hidden, fill, v0)
            v1 = tl.where(hidden, fill, v1)
            v2 = tl.where(hidden, fill, v2)
        if ERASED >= 0:
            if (erased[0] <= high) & (low < erased[2]):
                hidden = _inside(y, x, erased)
                fill = load_float(table + ERASE_FILL)
                v0 = erased_value(v0, fill, hidden, key, lane_pixels, step, blocks, 0, ERASE)
                if C == 3:
                    v1 = erased_value(v1, fill, hidden, key, lane_pixels, step, blocks, 1, ERASE)
                    v2 = erased_value(v2, fill, hidden, key, lane_pixels, step, blocks, 2, ERASE)
        if SIGMA >= 0:
            v0 = noisy_value(v0, table, sigma, n0, step, 0)
            if C == 3:
                v1 = noisy_value(v1, table, sigma, n1, step, 1)
                v2 = noisy_value(v2, table, sigma, n2, step, 2)
        if SALT >= 0:
            drawn = number(s0, step)
            v0 = salted_value(v0, table, drawn, pepper, salt, 0)
            if C == 3:
                v1 = salted_value(v1, table, drawn, pepper, salt, 1)
                v2 = salted_value(v2, table, drawn, pepper, salt, 2)
        to = r.to(tl.int64) * (pixels * C)
        if LAST:
            if VEC > 1:
                write_interleaved(out, to + (gy * width + gx) * C, _cast(v0, out), _cast(v1, out),
                                  _cast(v2, out), group)  # fmt: skip
            else:
                tl.store(out + to + p * C, _cast(v0, out), mask)
                tl.store(out + to + p * C + 1, _cast(v1, out), mask)
                tl.store(out + to + p * C + 2, _cast(v2, out), mask)
        else:
            tl.store(out + to + p, _cast(v0, out), mask)
            if C == 3:
                tl.store(out + to + pixels + p, _cast(v1, out), mask)
                tl.store(out + to + 2 * pixels + p, _cast(v2, out), mask)


@triton.jit
def sum_frames(
    words, images, table, sums, height, width, source_height, source_width, ROW: tl.constexpr,
    C: tl.constexpr, PAD: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the sums of the frames of all rows, before any flip, to `sums`, int64 `[M, SUMS, C]`.

    Of constant padding nothing is summed: the table's colour maps know of it.
    Bytes are summed as they are, floats in whole multiples of 2**-24: exact in any order.
    """
    r, part = tl.program_id(0), tl.program_id(1)
    row = table + HEAD + r * ROW
    size = (height, width, source_height, source_width)
    pixels = height * width
    zero = tl.zeros([BLOCK], tl.int32)
    if images.dtype.element_ty != tl.uint8:
        zero = tl.zeros([BLOCK], tl.int64)
    t0, t1, t2 = zero, zero, zero
    for start in range(part * BLOCK, pixels, SUMS * BLOCK):
        p = start + tl.arange(0, BLOCK)
        g = start + tl.arange(0, BLOCK // VEC) * VEC
        v0, v1, v2 = read_frame(words, images, row, *places(p, g, width, VEC), p < pixels,
                                g < pixels, size, 0.0, C, PAD, False, VEC, ALIGNED)  # fmt: skip
        inside = p < pixels
        t0 += _whole(v0, inside, images)
        if C == 3:
            t1 += _whole(v1, inside, images)
            t2 += _whole(v2, inside, images)
    here = sums + (r * SUMS + part) * C
    tl.store(here, tl.sum(t0, 0).to(tl.int64))
    if C == 3:
        tl.store(here + 1, tl.sum(t1, 0).to(tl.int64))
        tl.store(here + 2, tl.sum(t2, 0).to(tl.int64))


@triton.jit
def _whole(v, inside, images):
    v = tl.where(inside, v, 0.0)
    if images.dtype.element_ty == tl.uint8:
        return v.to(tl.int32)
    else:
        return tl.floor(tl.fma(v, 16777216.0, 0.5)).to(tl.int64)

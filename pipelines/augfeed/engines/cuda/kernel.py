"""The one pass as a Triton kernel: images and a table of the plan in, the batch out.

Fused multiply-adds stand where they are written and nowhere else (`enable_fp_fusion=False` at the
launch), so that values do not depend on how the compiler sees the rest of a specialization.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda.color import colored, load_color_matrix, load_scale, mixed, scaled
from augfeed.engines.cuda.noise import (
    NOISE_PIXELS,
    SALT_PIXELS,
    blocks_of,
    erased_value,
    load_key,
    load_sigmas,
    noisy_value,
    number,
    salted_value,
)
from augfeed.engines.cuda.read import (
    in_box,
    load_fills,
    load_frame,
    moved,
    places,
    read_frame,
    size_of,
    tiled,
)
from augfeed.engines.cuda.sample import load_matrix
from augfeed.engines.cuda.table_layout import (
    CUTMIX,
    CUTOUT_FILL,
    ERASE_FILL,
    HEAD,
    MIXUP,
    SUMS,
    load_float,
)
from augfeed.engines.cuda.vector_io import write_interleaved
from augfeed.engines.cuda.warp_wide import clearance, is_clear


@triton.jit
def _box(words):
    # Top, left, bottom and right.
    return tl.load(words), tl.load(words + 1), tl.load(words + 2), tl.load(words + 3)


@triton.jit
def _packed_box(words):
    # The same of two words that hold two sides each.
    first, last = tl.load(words), tl.load(words + 1)
    return (first >> 16) & 0xFFFF, first & 0xFFFF, (last >> 16) & 0xFFFF, last & 0xFFFF


@triton.jit
def _meets(box, top, left, begin, width, TILE: tl.constexpr, BLOCK: tl.constexpr):
    # Whether a step may have pixels in a box: a tile by its corner, a run by its first pixel.
    if TILE > 0:
        line = (box[0] < top + BLOCK // TILE) & (top < box[2])
        return line & (box[1] < left + TILE) & (left < box[3])
    else:
        return (box[0] * width < begin + BLOCK) & (begin < box[2] * width)


@triton.jit
def _meets_any(
    box, more, top, left, begin, width, TILE: tl.constexpr, BLOCK: tl.constexpr, MORE: tl.constexpr
):
    # The same of a box, and of more of them, which `more` points to.
    met = _meets(box, top, left, begin, width, TILE, BLOCK)
    for k in tl.static_range(MORE):
        met |= _meets(_packed_box(more + 2 * k), top, left, begin, width, TILE, BLOCK)
    return met


@triton.jit
def _pasted(gy, gx, box, VEC: tl.constexpr):
    # Which pixels lie in a box, which groups touch it, and which it covers.
    line = (gy >= box[0]) & (gy < box[2])
    touched = line & (gx + VEC > box[1]) & (gx < box[3])
    covered = line & (gx >= box[1]) & (gx + VEC <= box[3])
    return in_box(gy, gx, box, VEC), touched, covered


@triton.jit
def _cast(v, out):
    if out.dtype.element_ty == tl.uint8:
        v = tl.minimum(tl.maximum(tl.floor(tl.fma(v, 255.0, 0.5)), 0.0), 255.0)
        return v.to(tl.int32).to(tl.uint8)
    else:
        return v.to(out.dtype.element_ty)


@triton.jit(do_not_specialize=["factor", "shift"])
def augment(
    words, images, frame_words, frames, table, offsets, out, height, width, source_height,
    source_width, factor, shift, ROW: tl.constexpr, MIXING: tl.constexpr, PATCH: tl.constexpr,
    CUTOUT: tl.constexpr, ERASED: tl.constexpr, ID: tl.constexpr, SIGMA: tl.constexpr,
    SALT: tl.constexpr, WARP: tl.constexpr, COLOR: tl.constexpr, MADE: tl.constexpr,
    POINTS: tl.constexpr, USED: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr,
    EACH: tl.constexpr, FLIP: tl.constexpr, BORDER: tl.constexpr, PERSPECTIVE: tl.constexpr,
    FILTERS: tl.constexpr, MEAN: tl.constexpr,
    MIX: tl.constexpr, ERASE: tl.constexpr, LAST: tl.constexpr, VEC: tl.constexpr,
    ALIGNED: tl.constexpr, WIDE: tl.constexpr, LANES: tl.constexpr, TILE: tl.constexpr,
    KEEP_COLOR: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr, MORE: tl.constexpr,
):  # fmt: skip
    """Write rows of a plan to `out`, `[count, C, height, width]`, or channels last if `LAST`.

    `out = noise(occlude(mix(color(images[sample(p)]), color(partner[sample'(p)]))))` for every
    pixel p. `images` `[N, h, w, C]` is uint8 (`words` the same memory as int32) or float32, and so
    are `frames`, which were made before for rows that ask for one, if `MADE` (`frame_words`);
    `table` see `augfeed.engines.cuda.table`, of which the capitals up to `POINTS` say where the
    parts of a row begin (-1: not there); `offsets` is what `finish_colors` wrote, if `MEAN`;
    `factor` and `shift` see `places`. The grid is (rows, parts of an image); the other capitals
    are those of `augfeed.engines.cuda.spec.Spec`.
    """
    r = tl.program_id(0)
    if MEAN:
        # The images that were summed last lie in the cache.
        r = tl.num_programs(0) - 1 - r
    row = table + HEAD + r * ROW
    whole = (height, width, source_height, source_width)
    size = size_of(row, whole, PAD, MADE)
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
    if MIX:
        mode, partner = tl.load(row + MIXING), tl.load(row + MIXING + 1)
        lam = load_float(row + MIXING + 2)
        other = table + HEAD + partner * ROW
        other_frame = load_frame(words, images, frame_words, frames, other, whole, C, PAD, FLIP,
                                 MADE)  # fmt: skip
        other_size = size_of(other, whole, PAD, MADE)
    if CUTMIX & MIX:
        patch = _box(row + PATCH)
    if CUTOUT >= 0:
        cutout, cutout_fill = _box(row + CUTOUT), load_float(table + CUTOUT_FILL)
    if ERASED >= 0:
        erased, erase_fill = _box(row + ERASED), load_float(table + ERASE_FILL)
    own_offset = None
    other_offset = None
    key = None
    if MEAN:
        own_offset = offsets + r * C
        if MIX:
            other_offset = offsets + partner * C
    frame = load_frame(words, images, frame_words, frames, row, whole, C, PAD, FLIP, MADE)
    fills, scale = load_fills(table, EACH), load_scale(table, C, COLOR)
    # A tile that no border is near takes a way of its own.
    CLEAR: tl.constexpr = WIDE and (TILE > 0 and not PERSPECTIVE)
    matrix, other_matrix, color_matrix, other_color_matrix = 0, 0, 0, 0
    if WARP >= 0:
        matrix = load_matrix(row, WARP, PERSPECTIVE)
        if MIX:
            other_matrix = load_matrix(other, WARP, PERSPECTIVE)
        if CLEAR:
            between = clearance(matrix, frame[2], frame[3], size, TILE, BLOCK // TILE, PAD)
            if MIX:
                others_between = clearance(other_matrix, other_frame[2], other_frame[3],
                                           other_size, TILE, BLOCK // TILE, PAD)  # fmt: skip
    if COLOR >= 0:
        color_matrix = load_color_matrix(row, own_offset, C, COLOR)
        if MIX:
            other_color_matrix = load_color_matrix(other, other_offset, C, COLOR)
    if ID >= 0:
        key = load_key(table, row, ID)
    if SIGMA >= 0:
        sigmas = load_sigmas(table, row, SIGMA, C)
        n0 = blocks_of(lane_pixels, 0, key, NOISE_PIXELS, blocks, WARP < 0)
        n1, n2 = n0, n0
        if C == 3:
            n1 = blocks_of(lane_pixels, 1, key, NOISE_PIXELS, blocks, WARP < 0)
            n2 = blocks_of(lane_pixels, 2, key, NOISE_PIXELS, blocks, WARP < 0)
    if SALT >= 0:
        pepper, salt = tl.load(row + SALT), tl.load(row + SALT + 1)
        s0 = blocks_of(lane_pixels, 0, key, SALT_PIXELS, blocks, WARP < 0)
    # The last program of an image ends with it.
    steps, top, left = STEPS, 0, 0
    if TILE > 0:
        across, tile = (width + TILE - 1) // TILE, tl.program_id(1) * STEPS
        line = (tile.to(tl.uint32) // tl.cast(across, tl.uint32)).to(tl.int32)
        top, left = line * (BLOCK // TILE), (tile - line * across) * TILE
        down = (height + BLOCK // TILE - 1) // (BLOCK // TILE)
        steps = tl.minimum(STEPS, down * across - tile)
    elif STEPS > 1 and not LANES:
        steps = tl.minimum(STEPS, (pixels - first + BLOCK - 1) // BLOCK)
    for step in range(steps):
        if WARP >= 0 and LANES:
            # Numbers of eight lanes leave no registers to hold maps in.
            matrix = load_matrix(row, WARP, PERSPECTIVE)
        if COLOR >= 0 and not KEEP_COLOR:
            color_matrix = load_color_matrix(row, own_offset, C, COLOR)
        begin, clear, other_clear = first + step * stride, False, False
        if TILE > 0:
            p, y, x, gy, gx = tiled(top, left, width, TILE, BLOCK, VEC)
            mask, group = (x < width) & (y < height), (gx < width) & (gy < height)
        else:
            p, g = lane_pixels + step * stride, lane_groups + step * stride
            mask, group = p < pixels, g < pixels
            if LANES:
                mask, group = mask & (lane_pixels < blocks), group & (lane_groups < blocks)
            y, x, gy, gx = places(p, g, width, factor, shift, VEC)
        if CLEAR:
            clear = is_clear(matrix, top, left, between)
            if MIX:
                other_clear = is_clear(other_matrix, top, left, others_between)
        own, own_group, seen, seen_group = mask, group, mask, group
        if MIX:
            mixes = mode != 0
        if CUTMIX & MIX:
            # Of a patch the partner is read, of the rest the image itself: never both.
            cut = mode == CUTMIX
            pasted, touched, covered = _pasted(gy, gx, patch, VEC)
            own, own_group = mask & ((pasted & cut) == 0), group & ((covered & cut) == 0)
            seen = mask & (pasted | (cut == 0))
            seen_group = group & (touched | (cut == 0))
            mixes = mixes & ((cut == 0) | _meets(patch, top, left, begin, width, TILE, BLOCK))
        v0, v1, v2 = moved(frame, matrix, y, x, gy, gx, own, own_group, clear, size, fills, C, PAD,
                           FLIP, VEC, ALIGNED, WARP, BORDER, PERSPECTIVE, FILTERS,
                           WIDE)  # fmt: skip
        v0, v1, v2 = colored(v0, v1, v2, row, color_matrix, C, COLOR, POINTS, USED)
        if MIX:
            if mixes:
                their_matrix, their_color_matrix = other_matrix, other_color_matrix
                if WARP >= 0 and LANES:
                    their_matrix = load_matrix(other, WARP, PERSPECTIVE)
                if COLOR >= 0 and not KEEP_COLOR:
                    their_color_matrix = load_color_matrix(other, other_offset, C, COLOR)
                u0, u1, u2 = moved(other_frame, their_matrix, y, x, gy, gx, seen, seen_group,
                                   other_clear, other_size, fills, C, PAD, FLIP, VEC, ALIGNED, WARP,
                                   BORDER, PERSPECTIVE, FILTERS, WIDE)  # fmt: skip
                u0, u1, u2 = colored(u0, u1, u2, other, their_color_matrix, C, COLOR, POINTS, USED)
                if MIX == MIXUP:
                    v0, v1, v2 = mixed(v0, v1, v2, u0, u1, u2, lam, scale, C)
                else:
                    if mode == MIXUP:
                        v0, v1, v2 = mixed(v0, v1, v2, u0, u1, u2, lam, scale, C)
                    else:
                        v0 = tl.where(pasted, u0, v0)
                        v1 = tl.where(pasted, u1, v1)
                        v2 = tl.where(pasted, u2, v2)
                        v0, v1, v2 = scaled(v0, v1, v2, scale, C)
            else:
                v0, v1, v2 = scaled(v0, v1, v2, scale, C)
        else:
            v0, v1, v2 = scaled(v0, v1, v2, scale, C)
        if CUTOUT >= 0:
            if _meets(cutout, top, left, begin, width, TILE, BLOCK):
                hidden = in_box(gy, gx, cutout, VEC)
                v0 = tl.where(hidden, cutout_fill, v0)
                v1 = tl.where(hidden, cutout_fill, v1)
                v2 = tl.where(hidden, cutout_fill, v2)
        if ERASED >= 0:
            if _meets_any(erased, row + ERASED + 4, top, left, begin, width, TILE, BLOCK, MORE):
                hidden = in_box(gy, gx, erased, VEC)
                for k in tl.static_range(MORE):
                    hidden |= in_box(gy, gx, _packed_box(row + ERASED + 4 + 2 * k), VEC)
                v0 = erased_value(v0, erase_fill, hidden, key, lane_pixels, step, blocks, 0, ERASE)
                if C == 3:
                    v1 = erased_value(v1, erase_fill, hidden, key, lane_pixels, step, blocks, 1,
                                      ERASE)  # fmt: skip
                    v2 = erased_value(v2, erase_fill, hidden, key, lane_pixels, step, blocks, 2,
                                      ERASE)  # fmt: skip
        if SIGMA >= 0:
            v0 = noisy_value(v0, sigmas[0], n0, step)
            if C == 3:
                v1 = noisy_value(v1, sigmas[1], n1, step)
                v2 = noisy_value(v2, sigmas[2], n2, step)
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
        if TILE > 0:
            over = left + TILE >= width
            top, left = top + tl.where(over, BLOCK // TILE, 0), tl.where(over, 0, left + TILE)


@triton.jit(do_not_specialize=["factor", "shift"])
def sum_frames(
    words, images, frame_words, frames, table, sums, height, width, source_height, source_width,
    factor, shift, ROW: tl.constexpr, MADE: tl.constexpr, C: tl.constexpr, PAD: tl.constexpr,
    VEC: tl.constexpr, ALIGNED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the sums of the frames of all rows, before any flip, to `sums`, int64 `[M, SUMS, C]`.

    Of constant padding nothing is summed: the table's color maps know of it.
    Bytes are summed as they are, floats in whole multiples of 2**-24: exact in any order.
    """
    r, part = tl.program_id(0), tl.program_id(1)
    row = table + HEAD + r * ROW
    whole = (height, width, source_height, source_width)
    size = size_of(row, whole, PAD, MADE)
    pixels = height * width
    zero = tl.zeros([BLOCK], tl.int32)
    if images.dtype.element_ty != tl.uint8:
        zero = tl.zeros([BLOCK], tl.int64)
    t0, t1, t2 = zero, zero, zero
    frame = load_frame(words, images, frame_words, frames, row, whole, C, PAD, False, MADE)
    for start in range(part * BLOCK, pixels, SUMS * BLOCK):
        p = start + tl.arange(0, BLOCK)
        g = start + tl.arange(0, BLOCK // VEC) * VEC
        # Beyond the frame and in constant padding values are 0.
        v0, v1, v2 = read_frame(frame, *places(p, g, width, factor, shift, VEC), p < pixels,
                                g < pixels, size, (0.0, 0.0, 0.0), C, PAD, False, VEC,
                                ALIGNED)  # fmt: skip
        t0 += _whole(v0, images)
        if C == 3:
            t1 += _whole(v1, images)
            t2 += _whole(v2, images)
    here = sums + (r * SUMS + part) * C
    tl.store(here, tl.sum(t0, 0).to(tl.int64))
    if C == 3:
        tl.store(here + 1, tl.sum(t1, 0).to(tl.int64))
        tl.store(here + 2, tl.sum(t2, 0).to(tl.int64))


@triton.jit
def _whole(v, images):
    if images.dtype.element_ty == tl.uint8:
        return v.to(tl.int32)
    else:
        return tl.floor(tl.fma(v, 16777216.0, 0.5)).to(tl.int64)

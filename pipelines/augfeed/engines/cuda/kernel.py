"""The one pass as a Triton kernel: pictures and a table of the plan in, the batch out.

Fused multiply-adds stand where they are written and nowhere else (`enable_fp_fusion=False` at the
launch), so that values do not depend on how the compiler sees the rest of a specialisation.
"""

import triton
import triton.language as tl

from augfeed.engines.cuda import table as _table
from augfeed.engines.cuda.noise import blocks_of, normal, number
from augfeed.engines.cuda.sample import direct, warped
from augfeed.engines.cuda.words import read_groups, write_interleaved
from augfeed.philox import Stream

HEAD: tl.constexpr = tl.constexpr(_table.HEAD)
SEED: tl.constexpr = tl.constexpr(_table.SEED)
EPOCH: tl.constexpr = tl.constexpr(_table.EPOCH)
PAD_FILL: tl.constexpr = tl.constexpr(_table.PAD_FILL)
BORDER_FILL: tl.constexpr = tl.constexpr(_table.BORDER_FILL)
CUTOUT_FILL: tl.constexpr = tl.constexpr(_table.CUTOUT_FILL)
ERASE_FILL: tl.constexpr = tl.constexpr(_table.ERASE_FILL)
LOW: tl.constexpr = tl.constexpr(_table.LOW)
HIGH: tl.constexpr = tl.constexpr(_table.HIGH)
GAIN: tl.constexpr = tl.constexpr(_table.GAIN)
SIGMA_SCALE: tl.constexpr = tl.constexpr(_table.SIGMA_SCALE)
PLAIN_GAIN: tl.constexpr = tl.constexpr(_table.PLAIN)
ERASE_PIXELS: tl.constexpr = tl.constexpr(int(Stream.ERASE_PIXELS))
NOISE_PIXELS: tl.constexpr = tl.constexpr(int(Stream.NOISE_PIXELS))
SALT_PIXELS: tl.constexpr = tl.constexpr(int(Stream.SALT_PIXELS))
SUMS: tl.constexpr = tl.constexpr(4)  # parts that the grey mean of a picture is summed in


@triton.jit
def _float(words):
    return tl.load(words).to(tl.float32, bitcast=True)


@triton.jit
def _key(table, row, ID: tl.constexpr):
    seed_low = tl.load(table + SEED).to(tl.uint32, bitcast=True)
    seed_high = tl.load(table + SEED + 1).to(tl.uint32, bitcast=True)
    epoch = tl.load(table + EPOCH).to(tl.uint32, bitcast=True)
    id_low = tl.load(row + ID).to(tl.uint32, bitcast=True)
    id_high = tl.load(row + ID + 1).to(tl.uint32, bitcast=True)
    return seed_low, seed_high, epoch, id_low, id_high


@triton.jit
def _places(p, g, width, VEC: tl.constexpr):
    # Lines and columns of pixels and of the first pixels of their groups; one division a group.
    gy = g // width
    gx = g - gy * width
    if VEC == 1:
        return gy, gx, gy, gx
    else:
        G: tl.constexpr = g.shape[0]
        y = tl.reshape(tl.broadcast_to(gy[:, None], [G, VEC]), [G * VEC])
        return y, p - y * width, gy, gx


@triton.jit
def _read(
    words, images, row, y, x, gy, gx, mask, group, size, fill, C: tl.constexpr, PAD: tl.constexpr,
    FLIP: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    # Pixels of the frame of a row, moved by nothing but flips. `(gy, gx)` and `group` are the first
    # pixels of the groups and whether they are wanted.
    pitch = (size[2] * size[3] * C).to(tl.int64)
    start = tl.load(row).to(tl.int64) * pitch
    top, left, flips = 0, 0, 0
    if PAD >= 0:
        top, left = tl.load(row + 1), tl.load(row + 2)
    if FLIP:
        flips = tl.load(row + 3)
    flip_x, flip_y = (flips & 1) != 0, (flips & 2) != 0
    if VEC == 1:
        return direct(images + start, y, x, mask, top, left, flip_x, flip_y, size, fill, C, PAD)
    else:
        sx = tl.where(flip_x, size[1] - VEC - gx, gx) + left
        sy = tl.where(flip_y, size[0] - 1 - gy, gy) + top
        at = start + (sy * size[3] + sx) * C
        if PAD < 0:
            return read_groups(words, at, group, flip_x, C, VEC, ALIGNED)
        else:
            inside = (sx >= 0) & (sx + VEC <= size[3]) & (sy >= 0) & (sy < size[2])
            v0, v1, v2 = read_groups(words, at, group & inside, flip_x, C, VEC, ALIGNED)
            whole = (top >= 0) & (left >= 0)
            whole = whole & (top + size[0] <= size[2]) & (left + size[1] <= size[3])
            if not whole:
                # The same question for the group of every pixel; what is not inside comes in bytes.
                ox = tl.where(flip_x, size[1] - VEC - x // VEC * VEC, x // VEC * VEC) + left
                oy = tl.where(flip_y, size[0] - 1 - y, y) + top
                within = (ox >= 0) & (ox + VEC <= size[3]) & (oy >= 0) & (oy < size[2])
                b0, b1, b2 = direct(images + start, y, x, mask & (within == 0), top, left, flip_x,
                                    flip_y, size, fill, C, PAD)  # fmt: skip
                v0 = tl.where(within, v0, b0)
                v1 = tl.where(within, v1, b1)
                v2 = tl.where(within, v2, b2)
            return v0, v1, v2


@triton.jit
def _moved(
    words, images, table, row, y, x, gy, gx, mask, group, size, C: tl.constexpr, PAD: tl.constexpr,
    FLIP: tl.constexpr, VEC: tl.constexpr, ALIGNED: tl.constexpr, WARP: tl.constexpr,
    BORDER: tl.constexpr,
):  # fmt: skip
    # Pixels of a row wherever its geometry takes them from.
    fill = _float(table + PAD_FILL)
    if WARP < 0:
        v0, v1, v2 = _read(words, images, row, y, x, gy, gx, mask, group, size, fill, C, PAD,
                           FLIP, VEC, ALIGNED)  # fmt: skip
    else:
        if tl.load(row + WARP) != 0:
            pitch = (size[2] * size[3] * C).to(tl.int64)
            start = tl.load(row).to(tl.int64) * pitch
            top, left = 0, 0
            if PAD >= 0:
                top, left = tl.load(row + 1), tl.load(row + 2)
            matrix = (row + WARP + 1).to(tl.pointer_type(tl.float32), bitcast=True)
            v0, v1, v2 = warped(images + start, matrix, y, x, mask, top, left, size, fill,
                                _float(table + BORDER_FILL), C, PAD, BORDER)  # fmt: skip
        else:
            v0, v1, v2 = _read(words, images, row, y, x, gy, gx, mask, group, size, fill, C, PAD,
                               FLIP, VEC, ALIGNED)  # fmt: skip
    return v0, v1, v2


@triton.jit
def _gray_mean(sums, r, pixels, unit, C: tl.constexpr):
    # The mean grey of row `r` of the plan, in [0, 1]. Sums are whole numbers: exact in any order.
    here = sums + r * (SUMS * C)
    weight = unit / pixels.to(tl.float32)
    total = tl.load(here)
    for k in tl.static_range(1, SUMS):
        total += tl.load(here + k * C)
    if C == 1:
        return total.to(tl.float32) * weight
    else:
        green, blue = tl.load(here + 1), tl.load(here + 2)
        for k in tl.static_range(1, SUMS):
            green += tl.load(here + k * C + 1)
            blue += tl.load(here + k * C + 2)
        gray = 0.299 * total.to(tl.float32) + 0.587 * green.to(tl.float32)
        return (gray + 0.114 * blue.to(tl.float32)) * weight


@triton.jit
def _plain(v, table, C: tl.constexpr, c: tl.constexpr):
    return tl.fma(v, _float(table + PLAIN_GAIN + c), _float(table + LOW + c))


@triton.jit
def _mapped(v0, v1, v2, table, map_, mean, C: tl.constexpr, c: tl.constexpr, STEPS: tl.constexpr):
    # One channel after the linear operations of a row; values that these changed are clamped.
    offset = _float(map_ + 9 + c)
    if mean is not None:
        offset = tl.fma(_float(map_ + 12 + c), mean, offset)
    if C == 1:
        v = tl.fma(v0, _float(map_), offset)
    else:
        v = tl.fma(v0, _float(map_ + 3 * c), offset)
        v = tl.fma(v1, _float(map_ + 3 * c + 1), v)
        v = tl.fma(v2, _float(map_ + 3 * c + 2), v)
    if STEPS:
        return tl.minimum(tl.maximum(v, 0.0), 1.0)
    else:
        changed = _float(map_ + 15) != 0.0
        low = tl.where(changed, _float(table + LOW + c), float("-inf"))
        high = tl.where(changed, _float(table + HIGH + c), float("inf"))
        return tl.minimum(tl.maximum(v, low), high)


@triton.jit
def _stepped(v, table, bits, threshold, c: tl.constexpr):
    # Posterize, solarize, then normalise.
    level = tl.floor(tl.fma(v, 255.0, 0.5)).to(tl.int32) & bits
    v = tl.where(bits != 255, level.to(tl.float32) * (1.0 / 255.0), v)
    v = tl.where(v >= threshold, 1.0 - v, v)
    return tl.fma(v, _float(table + GAIN + c), _float(table + LOW + c))


@triton.jit
def _colored(
    v0, v1, v2, table, row, mean, C: tl.constexpr, COLOR: tl.constexpr, STEPS: tl.constexpr
):
    # From the images' units to normalised values.
    if COLOR < 0:
        w0 = _plain(v0, table, C, 0)
        if C == 1:
            return w0, w0, w0
        else:
            return w0, _plain(v1, table, C, 1), _plain(v2, table, C, 2)
    else:
        map_ = row + COLOR
        w0 = _mapped(v0, v1, v2, table, map_, mean, C, 0, STEPS >= 0)
        w1, w2 = w0, w0
        if C == 3:
            w1 = _mapped(v0, v1, v2, table, map_, mean, C, 1, STEPS >= 0)
            w2 = _mapped(v0, v1, v2, table, map_, mean, C, 2, STEPS >= 0)
        if STEPS >= 0:
            bits, threshold = tl.load(row + STEPS), _float(row + STEPS + 1)
            w0 = _stepped(w0, table, bits, threshold, 0)
            if C == 3:
                w1 = _stepped(w1, table, bits, threshold, 1)
                w2 = _stepped(w2, table, bits, threshold, 2)
        return w0, w1, w2


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
def _erased(v, fill, inside, key, first, lane, blocks, c: tl.constexpr, ERASE: tl.constexpr):
    if ERASE > 1:
        drawn = number(blocks_of(first, c, key, ERASE_PIXELS, blocks), lane)
        if ERASE == 3:
            fill = normal(drawn)
        else:
            fill = (drawn.to(tl.float32) + 0.5) * (1.0 / 65536.0)
    return tl.where(inside, fill, v)


@triton.jit
def _noisy(v, table, sigma, numbers, lane, c: tl.constexpr):
    return tl.fma(sigma * _float(table + SIGMA_SCALE + c), normal(number(numbers, lane)), v)


@triton.jit
def _salted(v, table, drawn, pepper, salt, c: tl.constexpr):
    v = tl.where(drawn < salt, _float(table + HIGH + c), v)
    return tl.where(drawn < pepper, _float(table + LOW + c), v)


@triton.jit
def _cast(v, out):
    if out.dtype.element_ty == tl.uint8:
        v = tl.minimum(tl.maximum(tl.floor(tl.fma(v, 255.0, 0.5)), 0.0), 255.0)
        return v.to(tl.int32).to(tl.uint8)
    else:
        return v.to(out.dtype.element_ty)


@triton.jit
def augment(
    words, images, table, sums, out, height, width, source_height, source_width, unit,
    ROW: tl.constexpr, MIXING: tl.constexpr, PATCH: tl.constexpr, CUTOUT: tl.constexpr,
    ERASED: tl.constexpr, ID: tl.constexpr, SIGMA: tl.constexpr, SALT: tl.constexpr,
    WARP: tl.constexpr, COLOR: tl.constexpr, STEPPED: tl.constexpr, C: tl.constexpr,
    PAD: tl.constexpr, FLIP: tl.constexpr, BORDER: tl.constexpr, MEAN: tl.constexpr,
    MIX: tl.constexpr, ERASE: tl.constexpr, LAST: tl.constexpr, VEC: tl.constexpr,
    ALIGNED: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Write rows of a plan to `out`, `[count, C, height, width]`, or channels last if `LAST`.

    `out = noise(occlude(mix(color(images[sample(p)]), color(partner[sample'(p)]))))` for every
    pixel p. `images` `[N, h, w, C]` is uint8 (`words` the same memory as int32) or float32;
    `table` see `augfeed.engines.cuda.table`, of which the capitals up to `STEPPED` say where the
    parts of a row begin (-1: not there); `sums` int64 `[M, SUMS, C]` of `sum_frames`; `unit` is
    what one level of a picture is in [0, 1], for the means. The grid is (rows, parts of a picture);
    the other capitals are those of `augfeed.engines.cuda.spec.Spec`.
    """
    r = tl.program_id(0)
    row = table + HEAD + r * ROW
    size = (height, width, source_height, source_width)
    pixels = height * width
    blocks = (pixels + 7) // 8
    if VEC > 1:
        pixels, blocks = tl.multiple_of(pixels, VEC), tl.multiple_of(blocks, VEC if LANES else 1)
    stride, first = BLOCK, tl.program_id(1) * (BLOCK * STEPS)
    if LANES:
        stride, first = blocks, tl.program_id(1) * BLOCK
    lane_pixels = first + tl.arange(0, BLOCK)
    lane_groups = first + tl.arange(0, BLOCK // VEC) * VEC
    mode, partner, lam = 0, r, 1.0
    if MIX:
        mode, partner = tl.load(row + MIXING), tl.load(row + MIXING + 1)
        lam = _float(row + MIXING + 2)
    if MIX & 2:
        patch = _box(row + PATCH)
    if CUTOUT >= 0:
        cutout = _box(row + CUTOUT)
    if ERASED >= 0:
        erased = _box(row + ERASED)
    other = table + HEAD + partner * ROW
    mean = None
    other_mean = None
    key = None
    if MEAN:
        mean = _gray_mean(sums, r, pixels, unit, C)
        if MIX:
            other_mean = _gray_mean(sums, partner, pixels, unit, C)
    if ID >= 0:
        key = _key(table, row, ID)
    if SIGMA >= 0:
        sigma = _float(row + SIGMA)
        n0 = blocks_of(lane_pixels, 0, key, NOISE_PIXELS, blocks)
        n1, n2 = n0, n0
        if C == 3:
            n1 = blocks_of(lane_pixels, 1, key, NOISE_PIXELS, blocks)
            n2 = blocks_of(lane_pixels, 2, key, NOISE_PIXELS, blocks)
    if SALT >= 0:
        pepper, salt = tl.load(row + SALT), tl.load(row + SALT + 1)
        s0 = blocks_of(lane_pixels, 0, key, SALT_PIXELS, blocks)
    for step in range(STEPS):
        p = lane_pixels + step * stride
        mask = p < pixels
        if LANES:
            mask = mask & (lane_pixels < blocks)
        g = lane_groups + step * stride
        group = g < pixels
        if LANES:
            group = group & (lane_groups < blocks)
        y, x, gy, gx = _places(p, g, width, VEC)
        own, own_group, seen, seen_group, mixed = mask, group, mask, group, mode != 0
        if MIX & 2:
            # Of a patch the partner is read, of the rest the picture itself: never both.
            cut = mode == 2
            pasted, touched, covered = _pasted(y, x, gy, gx, patch, VEC)
            own, own_group = mask & ((pasted & cut) == 0), group & ((covered & cut) == 0)
            seen = mask & (pasted | (cut == 0))
            seen_group = group & (touched | (cut == 0))
            # Lines of this step: those of a group of the first and of the last pixel.
            low, high = (first + step * stride) // width, (first + step * stride + BLOCK) // width
            mixed = mixed & ((cut == 0) | ((patch[0] <= high) & (low < patch[2])))
        v0, v1, v2 = _moved(words, images, table, row, y, x, gy, gx, own, own_group, size, C, PAD,
                            FLIP, VEC, ALIGNED, WARP, BORDER)  # fmt: skip
        v0, v1, v2 = _colored(v0, v1, v2, table, row, mean, C, COLOR, STEPPED)
        if MIX:
            if mixed:
                u0, u1, u2 = _moved(words, images, table, other, y, x, gy, gx, seen, seen_group,
                                    size, C, PAD, FLIP, VEC, ALIGNED, WARP, BORDER)  # fmt: skip
                u0, u1, u2 = _colored(u0, u1, u2, table, other, other_mean, C, COLOR, STEPPED)
                own_share = tl.where(mode == 1, lam, tl.where(seen, 0.0, 1.0))
                v0 = v0 * own_share + u0 * (1.0 - own_share)
                v1 = v1 * own_share + u1 * (1.0 - own_share)
                v2 = v2 * own_share + u2 * (1.0 - own_share)
        if CUTOUT >= 0:
            hidden = _inside(y, x, cutout)
            fill = _float(table + CUTOUT_FILL)
            v0 = tl.where(hidden, fill, v0)
            v1 = tl.where(hidden, fill, v1)
            v2 = tl.where(hidden, fill, v2)
        if ERASED >= 0:
            hidden = _inside(y, x, erased)
            fill = _float(table + ERASE_FILL)
            v0 = _erased(v0, fill, hidden, key, lane_pixels, step, blocks, 0, ERASE)
            if C == 3:
                v1 = _erased(v1, fill, hidden, key, lane_pixels, step, blocks, 1, ERASE)
                v2 = _erased(v2, fill, hidden, key, lane_pixels, step, blocks, 2, ERASE)
        if SIGMA >= 0:
            v0 = _noisy(v0, table, sigma, n0, step, 0)
            if C == 3:
                v1 = _noisy(v1, table, sigma, n1, step, 1)
                v2 = _noisy(v2, table, sigma, n2, step, 2)
        if SALT >= 0:
            drawn = number(s0, step)
            v0 = _salted(v0, table, drawn, pepper, salt, 0)
            if C == 3:
                v1 = _salted(v1, table, drawn, pepper, salt, 1)
                v2 = _salted(v2, table, drawn, pepper, salt, 2)
        to = r.to(tl.int64) * (pixels * C)
        if LAST:
            if VEC > 1:
                write_interleaved(out, to + g * C, _cast(v0, out), _cast(v1, out), _cast(v2, out),
                                  group)  # fmt: skip
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
        v0, v1, v2 = _read(words, images, row, *_places(p, g, width, VEC), p < pixels, g < pixels,
                           size, 0.0, C, PAD, False, VEC, ALIGNED)  # fmt: skip
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

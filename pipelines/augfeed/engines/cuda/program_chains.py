"""Slots of programs that mix chains, as a kernel: see `augfeed.ops._chains`."""

import triton
import triton.language as tl

from augfeed.engines.cuda.frames import frame_pitch, write_pixels
from augfeed.engines.cuda.program import load_pixels, own_frame, sampled_level, store_levels
from augfeed.engines.cuda.table_layout import HEAD, load_float
from augfeed.ops._steps import CHAINS

KEEP: tl.constexpr = tl.constexpr(CHAINS)
ADD: tl.constexpr = tl.constexpr(CHAINS + 1)
BLEND: tl.constexpr = tl.constexpr(CHAINS + 2)


@triton.jit
def _load_levels(frame, p, mask, images, C: tl.constexpr):
    v0, v1, v2 = load_pixels(frame, p, mask, C)
    l0, l1 = sampled_level(v0, images).to(tl.float32), sampled_level(v1, images).to(tl.float32)
    return l0, l1, sampled_level(v2, images).to(tl.float32)


@triton.jit
def _copy_pixels(source, target, p, mask, C: tl.constexpr):
    v0, v1, v2 = load_pixels(source, p, mask, C)
    write_pixels(target, p, v0, v1, v2, mask, C)


@triton.jit
def _added(total, level, kept, weight, whole):
    made = kept * total + weight * level
    return tl.where(whole, tl.floor(made), made)


@triton.jit
def _blended(total, level, weight):
    return (level + weight * (tl.floor(total) - level)).to(tl.int32)


@triton.jit(do_not_specialize=["rows", "height", "width"])
def mix_drawn(
    images, frames, table, kept, totals, rows, height, width, ROW: tl.constexpr,
    START: tl.constexpr, SLOT: tl.constexpr, NUMBERS: tl.constexpr, C: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Keep frames in `kept`, add them to `totals` (float32), or blend both, as a slot says.

    Both lie as frames do, one for each row.
    """
    r = tl.program_id(0)
    row = table + HEAD + r * ROW + START
    code, numbers = tl.load(row + 1 + SLOT) & 255, row + NUMBERS
    if (code >= KEEP) & (code <= BLEND):
        size = (height, width)
        frame, image = own_frame(frames, r, size, C), own_frame(kept, r, size, C)
        total = totals + r.to(tl.int64) * frame_pitch(height, width, C)
        p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        mask = p < height * width
        weight = load_float(numbers)
        if code == KEEP:
            _copy_pixels(frame, image, p, mask, C)
            l0, l1, l2 = _load_levels(frame, p, mask, images, C)
            write_pixels(total, p, weight * l0, weight * l1, weight * l2, mask, C)
        else:
            t0, t1, t2 = load_pixels(total, p, mask, C)
            if code == ADD:
                added, whole = load_float(numbers + 1), load_float(numbers + 2) != 0.0
                l0, l1, l2 = _load_levels(frame, p, mask, images, C)
                t0 = _added(t0, l0, weight, added, whole)
                t1 = _added(t1, l1, weight, added, whole)
                t2 = _added(t2, l2, weight, added, whole)
                write_pixels(total, p, t0, t1, t2, mask, C)
                _copy_pixels(image, frame, p, mask, C)
            else:
                l0, l1, l2 = _load_levels(image, p, mask, images, C)
                m0, m1 = _blended(t0, l0, weight), _blended(t1, l1, weight)
                m2 = _blended(t2, l2, weight)
                store_levels(frame, p, m0, m1, m2, mask, images, C)

"""Tables of levels, by the number of the step that makes them.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float
from augfeed.engines.cuda.levels import LEVELS, nearest, to_unit, cumulative, divide, floor_divide, saturated, highest, lowest, real, total, truncate


@triton.jit
def _posterize_pixel(value, levels, part):
    level = tl.floor(tl.fma(value, 255.0, 0.5))
    return tl.where(levels != 1.0, tl.floor(level * part) * levels * 0.00392156862745098, value)


@triton.jit
def _solarize_pixel(value, threshold):
    return tl.where(value >= threshold, 1.0 - value, value)


@triton.jit
def _gamma_pixel(value, gamma, gain):
    power = tl.exp2(gamma * tl.log2(tl.where(value > 0.0, value, 1.0)))
    return tl.where(gamma > 0.0, tl.where(value > 0.0, tl.minimum(gain * power, 1.0), 0.0), value)


@triton.jit
def _solarize_add_pixel(value, addition, threshold):
    return tl.where(value < threshold, tl.minimum(tl.maximum(value + addition, 0.0), 1.0), value)


@triton.jit
def _equalize_table(counts, level):
    last = total(tl.where(level == highest(counts > 0), counts, 0))
    step = floor_divide(total(counts) - last, 255)
    below = cumulative(counts) - counts
    made = floor_divide(below + floor_divide(step, 2), tl.maximum(step, 1))
    return tl.where(step > 0, tl.minimum(made, 255), -1)


@triton.jit
def _autocontrast_table(counts, level):
    low, high = (lowest(counts > 0), highest(counts > 0))
    scale = divide(255, tl.maximum(high - low, 1))
    made = truncate(level * scale - low * scale)
    return tl.where(high > low, tl.minimum(tl.maximum(made, 0), 255), -1)


@triton.jit
def _brightness_table(counts, level, factor):
    return saturated(factor * real(level))


@triton.jit
def _contrast_table(counts, level, gray, factor):
    return saturated(gray + factor * (real(level) - gray))


@triton.jit
def make_table(counts, numbers, CODE: tl.constexpr):
    """Return what becomes of each level, int32 `[256]`, -1 where values stay as they are.

    `counts` int32 `[256]` is a histogram, `numbers` points to what the operation reads of a sample.
    """
    level = tl.arange(0, LEVELS)
    made = tl.full([LEVELS], -1, tl.int32)
    if CODE == 1:
        made = _equalize_table(counts, level)
    if CODE == 3:
        made = _autocontrast_table(counts, level)
    if CODE == 128:
        made = _brightness_table(counts, level, load_float(numbers + 0))
    return made


@triton.jit
def make_drawn_table(code, counts, gray, numbers):
    """Return what `make_table` does, of a step whose number was drawn.

    `gray` is the nearest level of the frame's mean gray, float32.
    """
    level = tl.arange(0, LEVELS)
    made = tl.full([LEVELS], -1, tl.int32)
    if code == 1:
        made = _equalize_table(counts, level)
    if code == 3:
        made = _autocontrast_table(counts, level)
    if code == 64:
        made = nearest(_posterize_pixel(to_unit(level), load_float(numbers + 0), load_float(numbers + 1)))
    if code == 65:
        made = nearest(_solarize_pixel(to_unit(level), load_float(numbers + 0)))
    if code == 66:
        made = nearest(_gamma_pixel(to_unit(level), load_float(numbers + 0), load_float(numbers + 1)))
    if code == 67:
        made = nearest(_solarize_add_pixel(to_unit(level), load_float(numbers + 0), load_float(numbers + 1)))
    if code == 128:
        made = _brightness_table(counts, level, load_float(numbers + 0))
    if code == 129:
        made = _contrast_table(counts, level, gray, load_float(numbers + 0))
    return made

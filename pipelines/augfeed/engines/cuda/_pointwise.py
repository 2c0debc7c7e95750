"""Pointwise color operations of a pixel.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float

WORDS = {'posterize': 2, 'solarize': 1, 'solarize_add': 2, 'gamma': 2}


@triton.jit
def _posterize_pixel(value, levels, part):
    level = tl.floor(tl.fma(value, 255.0, 0.5))
    return tl.where(levels != 1.0, tl.floor(level * part) * levels * 0.00392156862745098, value)


@triton.jit
def _solarize_pixel(value, threshold):
    return tl.where(value >= threshold, 1.0 - value, value)


@triton.jit
def _solarize_add_pixel(value, addition, threshold):
    return tl.where(value < threshold, tl.minimum(tl.maximum(value + addition, 0.0), 1.0), value)


@triton.jit
def _gamma_pixel(value, gamma, gain):
    power = tl.exp2(gamma * tl.log2(tl.where(value > 0.0, value, 1.0)))
    return tl.where(gamma > 0.0, tl.where(value > 0.0, tl.minimum(gain * power, 1.0), 0.0), value)


@triton.jit
def load_reads(row, START: tl.constexpr, USED: tl.constexpr):
    """Return what those that a policy uses (a bit for each) read of a row."""
    p0 = 0.0
    p1 = 0.0
    p2 = 0.0
    p3 = 0.0
    p4 = 0.0
    p5 = 0.0
    p6 = 0.0
    if USED & 1:
        p0 = load_float(row + START + 0)
        p1 = load_float(row + START + 1)
    if USED & 2:
        p2 = load_float(row + START + 0 + 2 * ((USED >> 0) & 1))
    if USED & 4:
        p3 = load_float(row + START + 0 + 2 * ((USED >> 0) & 1) + 1 * ((USED >> 1) & 1))
        p4 = load_float(row + START + 1 + 2 * ((USED >> 0) & 1) + 1 * ((USED >> 1) & 1))
    if USED & 8:
        p5 = load_float(row + START + 0 + 2 * ((USED >> 0) & 1) + 1 * ((USED >> 1) & 1) + 2 * ((USED >> 2) & 1))
        p6 = load_float(row + START + 1 + 2 * ((USED >> 0) & 1) + 1 * ((USED >> 1) & 1) + 2 * ((USED >> 2) & 1))
    return p0, p1, p2, p3, p4, p5, p6


@triton.jit
def change_point(v, reads, USED: tl.constexpr):
    """Return a value in [0, 1] after those that a policy uses."""
    if USED & 1:
        v = _posterize_pixel(v, reads[0], reads[1])
    if USED & 2:
        v = _solarize_pixel(v, reads[2])
    if USED & 4:
        v = _solarize_add_pixel(v, reads[3], reads[4])
    if USED & 8:
        v = _gamma_pixel(v, reads[5], reads[6])
    return v

"""Pixels made of the 3 x 3 about them, by the number of the operation.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float


@triton.jit
def _sharpness_stencil(above, line, below, top, factor):
    own = line[1]
    beside = above[0] + above[1] + above[2] + line[0] + line[2]
    total = beside + below[0] + below[1] + below[2] + own * 5.0
    mean = total * 0.07692307692307693
    smooth = tl.where(top > 1.0, tl.floor(mean + 0.5), mean)
    made = tl.minimum(tl.maximum(smooth + factor * (own - smooth), 0.0), top)
    return tl.where(top > 1.0, tl.floor(made), made)


@triton.jit
def make_pixel(above, line, below, top, numbers, CODE: tl.constexpr):
    """Return what becomes of `line[1]`, the middle of three pixels of each of three lines.

    `top` is the highest value that there is, `numbers` points to what the operation reads of a
    sample.
    """
    made = line[1]
    if CODE == 4:
        made = _sharpness_stencil(above, line, below, top, load_float(numbers + 0))
    return made

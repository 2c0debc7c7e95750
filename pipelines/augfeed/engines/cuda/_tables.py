"""Tables of levels, by the number of the operation that makes them.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float
from augfeed.engines.cuda.levels import LEVELS, cumulative, floor_divide, highest, lowest, total


@triton.jit
def _equalize_table(counts, level):
    last = total(tl.where(level == highest(counts > 0), counts, 0))
    step = floor_divide(total(counts) - last, 255)
    below = cumulative(counts) - counts
    made = floor_divide(below + floor_divide(step, 2), tl.maximum(step, 1))
    return tl.where(step > 0, tl.minimum(made, 255), -1)


@triton.jit
def make_table(counts, numbers, CODE: tl.constexpr):
    """Return what becomes of each level, int32 `[256]`, -1 where values stay as they are.

    `counts` int32 `[256]` is a histogram, `numbers` points to what the operation reads of a sample.
    """
    level = tl.arange(0, LEVELS)
    made = tl.full([LEVELS], -1, tl.int32)
    if CODE == 1:
        made = _equalize_table(counts, level)
    return made

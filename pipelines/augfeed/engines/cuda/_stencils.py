"""Pixels made of the 3 x 3 about them, by the number of the operation.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

import triton
import triton.language as tl

from augfeed.engines.cuda.fields import load_float


@triton.jit
def _sharpness_stencil(nw, n, ne, w, own, e, sw, s, se, top, factor):
    total = nw + n + ne + w + e + sw + s + se + own * 5.0
    mean = total * 0.07692307692307693
    smooth = tl.where(top > 1.0, tl.floor(mean + 0.5), mean)
    made = tl.minimum(tl.maximum(smooth + factor * (own - smooth), 0.0), top)
    return tl.where(top > 1.0, tl.floor(made), made)


@triton.jit
def make_pixel(nw, n, ne, w, own, e, sw, s, se, top, numbers, CODE: tl.constexpr):
    """Return what becomes of `own` among its neighbors, named by where they lie.

    `top` is the highest value that there is, `numbers` points to what the operation reads of a
    sample.
    """
    made = own
    if CODE == 4:
        made = _sharpness_stencil(nw, n, ne, w, own, e, sw, s, se, top, load_float(numbers + 0))
    return made

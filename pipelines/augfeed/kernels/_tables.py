"""Tables of levels, by the number of the operation that makes them.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels.levels import cumulative, divide, floor_divide, highest, lowest, total, truncate
from augfeed.kernels.types import Floats, Ints


@njit(nogil=True)
def _equalize_table(counts: Any, level: Any) -> Any:
    last = total(np.where(level == highest(counts > 0), counts, 0))
    step = floor_divide(total(counts) - last, 255)
    below = cumulative(counts) - counts
    made = floor_divide(below + floor_divide(step, 2), np.maximum(step, 1))
    return np.where(step > 0, np.minimum(made, 255), -1)


@njit(nogil=True)
def _autocontrast_table(counts: Any, level: Any) -> Any:
    low, high = (lowest(counts > 0), highest(counts > 0))
    scale = divide(255, np.maximum(high - low, 1))
    made = truncate(level * scale - low * scale)
    return np.where(high > low, np.minimum(np.maximum(made, 0), 255), -1)


@njit(nogil=True)
def makes_table(code: int) -> bool:
    """Return whether an operation is one of these."""
    return False or code == 1 or code == 3


@njit(nogil=True)
def make_table(code: int, counts: Ints, level: Ints, numbers: Floats, made: Ints) -> None:
    """Write what becomes of each level to `made`, -1 where values stay as they are.

    `counts` int64 `[256]` is a histogram, `level` int64 `[256]` is 0 to 255, `numbers` are what
    the operation reads of a sample.
    """
    made[:] = -1
    if code == 1:
        made[:] = _equalize_table(counts, level)
    if code == 3:
        made[:] = _autocontrast_table(counts, level)

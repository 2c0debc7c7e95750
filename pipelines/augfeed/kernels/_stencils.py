"""Pixels made of the 3 x 3 about them, by the number of the operation.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

from typing import Any

import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.types import Floats

U = np.uint64


@njit(nogil=True)
def _sharpness_stencil(above: Any, line: Any, below: Any, top: Any, factor: Any) -> Any:
    own = line[1]
    beside = above[0] + above[1] + above[2] + line[0] + line[2]
    total = beside + below[0] + below[1] + below[2] + own * np.float32(5.0)
    mean = total * np.float32(0.07692307692307693)
    smooth = np.floor(mean + np.float32(0.5)) if top > np.float32(1.0) else mean
    made = min(max(smooth + factor * (own - smooth), np.float32(0.0)), top)
    return np.floor(made) if top > np.float32(1.0) else made


@njit(nogil=True)
def makes_stencil(code: int) -> bool:
    """Return whether an operation is one of these."""
    return False or code == 4


@njit(nogil=True)
def makes_blocks(code: int) -> bool:
    """Return whether an operation is one on blocks, as those of JPEG."""
    return False or code == 5


@njit(nogil=True)
def makes_displacement(code: int) -> bool:
    """Return whether an operation moves pixels by a smooth field."""
    return False or code == 6


@njit(nogil=True)
def make_line(
    code: int, above: Floats, line: Floats, below: Floats, channels: Any, count: int, top: Any,
    numbers: Floats, made: Floats,
) -> None:
    """Write what becomes of `count` values of a line, the first pixel left out, to `made`.

    `above` and `below` are the lines next to it, of pixels of `channels` (uint64) values; `top` is
    the highest value that there is, `numbers` are what the operation reads of a sample.
    """
    if code == 4:
        r0 = numbers[0]
        for k in range(count):
            i = channels + U(k)
            made[i] = _sharpness_stencil((above[i - channels], above[i], above[i + channels]), (line[i - channels], line[i], line[i + channels]), (below[i - channels], below[i], below[i + channels]), top, r0)

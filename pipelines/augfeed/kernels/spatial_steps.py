"""Steps on frames that make pixels of others: those that are not kernels of taps."""

from typing import Literal

import numpy as np

from augfeed.kernels._stencils import make_line, makes_blocks, makes_displacement, makes_stencil
from augfeed.kernels.elastic import run_elastic
from augfeed.kernels.inner import njit
from augfeed.kernels.jpeg import run_jpeg
from augfeed.kernels.place import U
from augfeed.kernels.pointers import keep, moved, pointer_to
from augfeed.kernels.types import Array, Floats, Index

# Whether there may be other steps than tables, warps, colors and stencils, which are those that
# automatic policies draw. None is a type of its own: where it is given, the code of all others is
# left out, which takes a third of the time that steps take to compile.
Rarer = Literal[True] | None


@njit(nogil=True)
def is_spatial(code: int) -> bool:
    """Return whether `run_spatial` carries a step out."""
    return makes_stencil(code) or makes_blocks(code) or makes_displacement(code)


@njit(nogil=True)
def run_spatial(
    code: int, out: Array, at: Index, size: tuple[int, int, int], scale: float, numbers: Floats,
    rarer: Rarer,
) -> None:  # fmt: skip
    """Carry a step out on a frame `(height, width, channels)`, from `out[at]` on, in place.

    `scale` is the highest value, 255 of bytes and 1 of floats; `numbers` are what the step reads.
    """
    if makes_stencil(code):
        _stencil(code, out, at, size, scale, numbers)
    elif rarer is not None:
        if makes_blocks(code):
            run_jpeg(out, at, size, scale, numbers)
        elif makes_displacement(code):
            run_elastic(out, at, size, scale, numbers)


@njit(nogil=True)
def _read(out: Array, at: Index, count: int, line: Floats) -> None:
    for i in range(count):
        line[U(i)] = out[at + U(i)]


@njit(nogil=True)
def _stencil(
    code: int, out: Array, at: Index, size: tuple[int, int, int], scale: float, numbers: Floats
) -> None:
    # The lines above and of the pixels are kept as they were; the one below has not been changed.
    height, width, channels = size
    if height < 3 or width < 3:
        return
    values, inner, top = width * channels, (width - 2) * channels, np.float32(scale)
    held = (np.empty(4 * values, np.float32),)
    above, made = pointer_to(held[0]), moved(pointer_to(held[0]), 3 * values)
    line, below = moved(above, values), moved(above, 2 * values)
    _read(out, at, values, above)
    _read(out, at + U(values), values, line)
    for y in range(1, height - 1):
        here = at + U(y * values)
        _read(out, here + U(values), values, below)
        make_line(code, above, line, below, U(channels), inner, top, numbers, made)
        for i in range(channels, channels + inner):
            out[here + U(i)] = made[U(i)]
        above, line, below = line, below, above
    keep(held)

"""The text of compiled code that makes pixels of the 3 x 3 about them."""

from collections.abc import Iterable, Iterator

from augfeed.operation import Blocks, Displacement, Frame, Stencil
from augfeed.operation.kinds import frame_codes
from augfeed.ops._bodies import NUMBA, TRITON, Written
from augfeed.ops._emit import NOTE, OFF, Class


def _stencils(classes: Iterable[Class], written: Written) -> Iterator[tuple[int, str, int]]:
    # Code, function, and number of reads.
    for code, cls in frame_codes(classes).items():
        if issubclass(cls, Stencil):
            yield code, written.add(cls.stencil, cls.json_name()), len(cls.read_columns())


def _any_of(classes: Iterable[Class], kind: type[Frame]) -> str:
    codes = (code for code, cls in frame_codes(classes).items() if issubclass(cls, kind))
    return " or ".join(["False", *(f"code == {code}" for code in codes)])


def numba(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_stencils.py`."""
    classes, written = tuple(classes), Written(NUMBA)
    lines = []
    for code, name, reads in _stencils(classes, written):
        given = [f"({line}[i - channels], {line}[i], {line}[i + channels])"
                 for line in ("above", "line", "below")]  # fmt: skip
        given += ["top", *(f"r{k}" for k in range(reads))]
        lines.append(f"    if code == {code}:")
        lines += [f"        r{k} = numbers[{k}]" for k in range(reads)]
        lines += ["        for k in range(count):", "            i = channels + U(k)",
                  f"            made[i] = {name}({', '.join(given)})"]  # fmt: skip
    return f'''"""Pixels made of the 3 x 3 about them, by the number of the operation.

{NOTE}
"""
{OFF}

from typing import Any

import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.types import Floats

U = np.uint64


{chr(10).join(f"{text}{chr(10)}" for text in written.functions.values())}
@njit(nogil=True)
def makes_stencil(code: int) -> bool:
    """Return whether an operation is one of these."""
    return {_any_of(classes, Stencil)}


@njit(nogil=True)
def makes_blocks(code: int) -> bool:
    """Return whether an operation is one on blocks, as those of JPEG."""
    return {_any_of(classes, Blocks)}


@njit(nogil=True)
def makes_displacement(code: int) -> bool:
    """Return whether an operation moves pixels by a smooth field."""
    return {_any_of(classes, Displacement)}


@njit(nogil=True)
def make_line(
    code: int, above: Floats, line: Floats, below: Floats, channels: Any, count: int, top: Any,
    numbers: Floats, made: Floats,
) -> None:
    """Write what becomes of `count` values of a line, the first pixel left out, to `made`.

    `above` and `below` are the lines next to it, of pixels of `channels` (uint64) values; `top` is
    the highest value that there is, `numbers` are what the operation reads of a sample.
    """
{chr(10).join(lines)}
'''


def triton(classes: Iterable[Class]) -> str:
    """Return the text of `engines/cuda/_stencils.py`."""
    written = Written(TRITON)
    lines = []
    for code, name, reads in _stencils(classes, written):
        given = [
            "above",
            "line",
            "below",
            "top",
            *(f"load_float(numbers + {i})" for i in range(reads)),
        ]
        lines += [f"    if CODE == {code}:", f"        made = {name}({', '.join(given)})"]
    return f'''"""Pixels made of the 3 x 3 about them, by the number of the operation.

{NOTE}
"""
{OFF}

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float


{chr(10).join(f"{text}{chr(10)}" for text in written.functions.values())}
@triton.jit
def make_pixel(above, line, below, top, numbers, CODE: tl.constexpr):
    """Return what becomes of `line[1]`, the middle of three pixels of each of three lines.

    `top` is the highest value that there is, `numbers` points to what the operation reads of a
    sample.
    """
    made = line[1]
{chr(10).join(lines)}
    return made
'''

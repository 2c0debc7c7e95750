"""The text of compiled code that makes tables of levels from histograms."""

from collections.abc import Iterable, Iterator

from augfeed.operation import Statistics
from augfeed.operation.kinds import frame_codes
from augfeed.ops._bodies import NUMBA_TABLE, OF_LEVELS, TRITON_TABLE, Written
from augfeed.ops._emit import NOTE, OFF, Class


def _tables(classes: Iterable[Class], written: Written) -> Iterator[tuple[int, str, int]]:
    # Code, function, and number of reads.
    for code, cls in frame_codes(classes).items():
        if issubclass(cls, Statistics):
            yield code, written.add(cls.table, cls.json_name()), len(cls.read_columns())


def numba(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_tables.py`."""
    written = Written(NUMBA_TABLE)
    lines, wanted = ["    made[:] = -1"], ["False"]
    for code, name, reads in _tables(classes, written):
        given = ", ".join(["counts", "level", *(f"numbers[{i}]" for i in range(reads))])
        lines += [f"    if code == {code}:", f"        made[:] = {name}({given})"]
        wanted.append(f"code == {code}")
    return f'''"""Tables of levels, by the number of the operation that makes them.

{NOTE}
"""
{OFF}

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels.levels import {", ".join(OF_LEVELS)}
from augfeed.kernels.types import Floats, Ints


{chr(10).join(f"{text}{chr(10)}" for text in written.functions.values())}
@njit(nogil=True)
def makes_table(code: int) -> bool:
    """Return whether an operation is one of these."""
    return {" or ".join(wanted)}


@njit(nogil=True)
def make_table(code: int, counts: Ints, level: Ints, numbers: Floats, made: Ints) -> None:
    """Write what becomes of each level to `made`, -1 where values stay as they are.

    `counts` int64 `[256]` is a histogram, `level` int64 `[256]` is 0 to 255, `numbers` are what
    the operation reads of a sample.
    """
{chr(10).join(lines)}
'''


def triton(classes: Iterable[Class]) -> str:
    """Return the text of `engines/cuda/_tables.py`."""
    written = Written(TRITON_TABLE)
    lines = ["    made = tl.full([LEVELS], -1, tl.int32)"]
    for code, name, reads in _tables(classes, written):
        given = ["counts", "level", *(f"load_float(numbers + {i})" for i in range(reads))]
        lines += [f"    if CODE == {code}:", f"        made = {name}({', '.join(given)})"]
    return f'''"""Tables of levels, by the number of the operation that makes them.

{NOTE}
"""
{OFF}

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float
from augfeed.engines.cuda.levels import LEVELS, {", ".join(OF_LEVELS)}


{chr(10).join(f"{text}{chr(10)}" for text in written.functions.values())}
@triton.jit
def make_table(counts, numbers, CODE: tl.constexpr):
    """Return what becomes of each level, int32 `[256]`, -1 where values stay as they are.

    `counts` int32 `[256]` is a histogram, `numbers` points to what the operation reads of a sample.
    """
    level = tl.arange(0, LEVELS)
{chr(10).join(lines)}
    return made
'''

"""The text of compiled code that makes tables of 256 levels."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from augfeed.operation import Pointwise
from augfeed.ops._bodies import NUMBA, NUMBA_TABLE, OF_LEVELS, TRITON, TRITON_TABLE, Written
from augfeed.ops._emit import NOTE, OFF, Class
from augfeed.ops._steps import table_steps


@dataclass(frozen=True)
class _Table:
    """A step that makes a table: by which function, of how many numbers, and of what else."""

    code: int
    name: str
    reads: int
    pointwise: bool
    needs_gray: bool = False
    needs_counts: bool = False


def _tables(
    classes: Iterable[Class], written: Written, points: Written
) -> Iterator[_Table]:  # fmt: skip
    for code, cls in table_steps(classes):
        reads = len(cls.read_columns())
        if issubclass(cls, Pointwise):
            yield _Table(code, points.add(cls.pixel, cls.json_name()), reads, pointwise=True)
        else:
            name = written.add(cls.table, _name(cls))
            yield _Table(code, name, reads, pointwise=False, needs_gray=cls.needs_gray,
                         needs_counts=_uses_counts(cls))  # fmt: skip


def _name(cls: type[Any]) -> str:
    named = "op" in vars(cls).get("__dataclass_fields__", {})
    return cls.json_name() if named else cls.__name__.lower()


def _uses_counts(cls: type[Any]) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls.table)))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return cls.needs_gray or "counts" in names


def _one_of(codes: Iterable[int]) -> str:
    return " or ".join(["False", *(f"code == {code}" for code in codes)])


def numba(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_tables.py`."""
    written, points = Written(NUMBA_TABLE), Written(NUMBA)
    tables, lines = list(_tables(classes, written, points)), ["    made[:] = -1"]
    for table in tables:
        numbers = [f"numbers[{i}]" for i in range(table.reads)]
        lines.append(f"    if code == {table.code}:")
        if table.pointwise:
            given = ", ".join(["to_unit(k)", *numbers])
            lines += ["        for k in range(LEVELS):",
                      f"            made[k] = nearest({table.name}({given}))"]  # fmt: skip
        else:
            given = ", ".join(["counts", "level", *["gray"][: table.needs_gray], *numbers])
            lines.append(f"        fill_table({table.name}({given}), made)")
    functions = points.functions | written.functions
    names = ", ".join(("LEVELS", "fill_table", "nearest", "where", "to_unit", *OF_LEVELS))
    return f'''"""Tables of levels, by the number of the step that makes them.

{NOTE}
"""
{OFF}

from typing import Any

import numba
import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.levels import {names}
from augfeed.kernels.types import Floats, Ints


{chr(10).join(f"{text}{chr(10)}" for text in functions.values())}
@numba.njit(nogil=True)
def makes_table(code: int) -> bool:
    """Return whether a step is one of these."""
    return {_one_of(table.code for table in tables)}


@numba.njit(nogil=True)
def needs_counts(code: int) -> bool:
    """Return whether a table depends on the histogram, or on the mean gray."""
    return {_one_of(table.code for table in tables if table.needs_counts)}


@njit(nogil=True)
def needs_gray(code: int) -> bool:
    """Return whether a table depends on the mean gray, and on nothing else of the frame."""
    return {_one_of(table.code for table in tables if table.needs_gray)}


@njit(nogil=True)
def make_table(
    code: int, counts: Ints, level: Ints, gray: Any, numbers: Floats, made: Ints
) -> None:  # fmt: skip
    """Write what becomes of each level to `made`, -1 where values stay as they are.

    `counts` int64 `[256]` is a histogram, `level` int64 `[256]` is 0 to 255, `gray` the nearest
    level of the frame's mean gray, float32; `numbers` are what the step reads of a sample.
    """
{chr(10).join(lines)}
'''


def triton(classes: Iterable[Class]) -> str:
    """Return the text of `engines/cuda/_tables.py`."""
    written, points = Written(TRITON_TABLE), Written(TRITON)
    lines = ["    made = tl.full([LEVELS], -1, tl.int32)"]
    tables = list(_tables(classes, written, points))
    drawn = ["    made = tl.full([LEVELS], -1, tl.int32)"]
    for table in tables:
        numbers = [f"load_float(numbers + {i})" for i in range(table.reads)]
        if table.pointwise:
            given = ", ".join(["to_unit(level)", *numbers])
            made = f"nearest({table.name}({given}))"
        else:
            given = ", ".join(["counts", "level", *["gray"][: table.needs_gray], *numbers])
            made = f"{table.name}({given})"
        drawn += [f"    if code == {table.code}:", f"        made = {made}"]
        if not (table.pointwise or table.needs_gray):
            lines += [f"    if CODE == {table.code}:", f"        made = {made}"]
    functions = points.functions | written.functions
    return f'''"""Tables of levels, by the number of the step that makes them.

{NOTE}
"""
{OFF}

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float
from augfeed.engines.cuda.levels import LEVELS, nearest, to_unit, {", ".join(OF_LEVELS)}


{chr(10).join(f"{text}{chr(10)}" for text in functions.values())}
@triton.jit
def make_table(counts, numbers, CODE: tl.constexpr):
    """Return what becomes of each level, int32 `[256]`, -1 where values stay as they are.

    `counts` int32 `[256]` is a histogram, `numbers` points to what the operation reads of a sample.
    """
    level = tl.arange(0, LEVELS)
{chr(10).join(lines)}
    return made


@triton.jit
def make_drawn_table(code, counts, gray, numbers):
    """Return what `make_table` does, of a step whose number was drawn.

    `gray` is the nearest level of the frame's mean gray, float32.
    """
    level = tl.arange(0, LEVELS)
{chr(10).join(drawn)}
    return made
'''

"""The text of compiled code that follows from the declarations of operations."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from augfeed.operation import Column, Declaration, Frame, Linear, Mixing, Pointwise
from augfeed.operation.kinds import Box, Noise
from augfeed.ops._bodies import NUMBA, NUMBA_DOUBLE, TRITON, Written

Class = type[Declaration]
NOTE = "Written by `python -m augfeed.ops.generate` from the declarations: do not edit."
OFF = "# fmt: off\n# ruff: noqa"
# Narrow whole numbers are widened, so that loops need not convert them.
WIDER = {np.int32: np.int64, np.uint8: np.int64}


def dtype_text(dtype: type[np.generic]) -> str:
    """Return an element type as it is written."""
    return f"np.{'bool_' if dtype is np.bool_ else dtype.__name__}"


def literal(column: Column) -> str:
    """Return the neutral value of a column as compiled loops compare it."""
    if column.dtype is np.bool_:
        return str(bool(column.neutral))
    return f"np.float32({float(column.neutral)!r})" if column.dtype is np.float32 else "0"


def fields_of(column: Column) -> Iterator[tuple[str, type[np.generic]]]:
    """Yield the fields of a record that hold a column."""
    dtype = WIDER.get(column.dtype, column.dtype)
    size = int(np.prod(column.shape, dtype=int))
    yield from ((f"{column.name}{k if column.shape else ''}", dtype) for k in range(size))


def _record(columns: Sequence[Column]) -> str:
    rows = (f'    ("{name}", {dtype_text(dtype)}),' for column in columns
            for name, dtype in fields_of(column))  # fmt: skip
    return "\n".join(rows)


def record(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_record.py`."""
    classes = tuple(classes)
    every = [column for cls in classes if not issubclass(cls, Mixing | Frame)
             for column in cls.read_columns()]  # fmt: skip
    linear = [column for cls in classes if issubclass(cls, Linear)
              for column in cls.read_columns()]  # fmt: skip
    neutral = "\n".join(f'    "{column.name}": {column.neutral!r},' for column in every
                        if column.neutral)  # fmt: skip
    return f'''"""Fields of a plan's rows that operations declare, as compiled loops read them.

{NOTE}
"""

from typing import Any

import numpy as np

COLUMNS: list[tuple[str, Any]] = [
{_record(every)}
]
LINEAR: list[tuple[str, Any]] = [
{_record(linear)}
]
NEUTRAL: dict[str, float | bool] = {{  # the others: 0
{neutral}
}}
'''


def linear(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_linear.py`."""
    written = Written(NUMBA_DOUBLE)
    lines, means = [], ["False"]
    for cls in classes:
        for step in cls.steps if issubclass(cls, Linear) else ():
            columns = {column.name: column for column in cls.read_columns()}
            wanted = f"row.{step.reads[0]} != {literal(columns[step.reads[0]])}"
            name = written.add(step.body, cls.json_name())
            given = [f"row.{read}" for read in step.reads] + ["mean"] * bool(step.mean_unless)
            call = f"{name}({', '.join(given)})"
            if step.rgb:
                lines += [f"    if channels == 3 and {wanted}:",
                          f"        multiply({call}, total, spare)"]  # fmt: skip
            else:
                lines += [f"    if {wanted}:", f"        factor, summand = {call}",
                          "        scale(total, factor, summand)"]  # fmt: skip
            lines.append("        changed = True")
            if step.mean_unless:
                means.append(f"({wanted} and not row.{step.mean_unless})")
    imports = ", ".join(sorted(written.constants))
    return f'''"""Linear color operations, composed to one matrix.

{NOTE}
"""
{OFF}

from typing import Any

import numpy as np

from augfeed.constants import {imports}
from augfeed.kernels.affine import identity, multiply, scale
from augfeed.kernels.inner import njit
from augfeed.kernels.types import Floats


{chr(10).join(f"{text}{chr(10)}" for text in written.functions.values())}
@njit(nogil=True)
def needs_mean(row: Any) -> bool:
    """Return whether a row's colors depend on the mean gray of its frame."""
    return {" or ".join(means)}


@njit(nogil=True)
def compose(row: Any, mean: float, total: Floats, spare: Floats) -> bool:
    """Write the linear color operations, on values in [0, 1], to `total`, float64 `[C, C + 1]`.

    `mean` is the mean gray of the frame. Returns whether they change anything. `spare` float64
    `[3, 4]` is scratch: memory of its own for each row would take longer than the row.
    """
    channels, changed = total.shape[0], False
    identity(total)
{chr(10).join(lines)}
    return changed
'''


def _bodies(classes: Iterable[Class], written: Written) -> Iterator[tuple[Class, str, Any]]:
    for cls in classes:
        if issubclass(cls, Pointwise):
            yield cls, written.add(cls.pixel, cls.json_name()), cls.read_columns()


def pointwise(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_pointwise.py`."""
    written = Written(NUMBA)
    lines, wanted = [], []
    for _, name, columns in _bodies(classes, written):
        test = f"row.{columns[0].name} != {literal(columns[0])}"
        given = [column.name for column in columns]
        wanted.append(test)
        lines += [
            f"    if {test}:",
            f"        {', '.join(given)} = {', '.join(f'row.{item}' for item in given)}",
            "        for i in range(count):",
            f"            planes[at + U(i)] = {name}(planes[at + U(i)], {', '.join(given)})",
        ]
    return f'''"""Pointwise color operations.

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
def changes_points(row: Any) -> bool:
    """Return whether any of them is applied to a row."""
    return {" or ".join(wanted)}


@njit(nogil=True)
def change_points(planes: Floats, at: Any, count: int, row: Any) -> None:
    """Apply those of a row to `count` values in [0, 1], from `planes[at]` on, in place."""
{chr(10).join(lines)}
'''


def triton_pointwise(classes: Iterable[Class]) -> str:
    """Return the text of `engines/cuda/_pointwise.py`."""
    written = Written(TRITON)
    loads, lines, at, before, sizes = [], [], 0, "", {}
    for k, (cls, name, columns) in enumerate(_bodies(classes, written)):
        reads = [f"p{at + i}" for i in range(len(columns))]
        loads += [f"    if USED & {1 << k}:"]
        loads += [f"        p{at + i} = load_float(row + START + {i}{before})"
                  for i in range(len(columns))]  # fmt: skip
        given = ", ".join(f"reads[{at + i}]" for i in range(len(columns)))
        lines += [f"    if USED & {1 << k}:", f"        v = {name}(v, {given})"]
        before += f" + {len(columns)} * ((USED >> {k}) & 1)"
        at, sizes[cls.json_name()] = at + len(reads), len(columns)
    every = ", ".join(f"p{i}" for i in range(at))
    return f'''"""Pointwise color operations of a pixel.

{NOTE}
"""
{OFF}

import triton
import triton.language as tl

from augfeed.engines.cuda.table_layout import load_float

WORDS = {sizes!r}


{chr(10).join(f"{text}{chr(10)}" for text in written.functions.values())}
@triton.jit
def load_reads(row, START: tl.constexpr, USED: tl.constexpr):
    """Return what those that a policy uses (a bit for each) read of a row."""
{chr(10).join(f"    p{i} = 0.0" for i in range(at))}
{chr(10).join(loads)}
    return {every}{"," if at == 1 else ""}


@triton.jit
def change_point(v, reads, USED: tl.constexpr):
    """Return a value in [0, 1] after those that a policy uses."""
{chr(10).join(lines)}
    return v
'''


def table(classes: Iterable[Class]) -> str:
    """Return the text of `kernels/_table.py`."""
    columns: list[Column] = []
    widths: dict[str, int] = {}
    lines: list[str] = []
    for cls in classes:
        if not issubclass(cls, Box | Noise):
            continue
        name, at = cls.json_name(), 0
        lines.append(f"        if {name} >= 0:")
        for column in cls.read_columns():
            columns.append(column)
            to = "floats" if column.dtype is np.float32 else "rows"
            for k in range(int(np.prod(column.shape, dtype=int))):
                index = f"r, {k}" if column.shape else "r"
                lines.append(f"            {to}[r, {name} + {at}] = {column.name}_of[{index}]")
                at += 1
        widths[name] = at
    kinds = {column.name: "Floats" if column.dtype is np.float32 else "Ints" for column in columns}
    given = ", ".join(f"{name}_of: {kind}" for name, kind in kinds.items())
    return f'''"""The rows of a plan as a table of 32-bit words, for an engine on a device.

{NOTE}
"""
{OFF}

from augfeed.kernels import compiled_by_size
from augfeed.kernels.types import Array, Floats, Ints

WORDS = {widths!r}
COLUMNS = {tuple(column.name for column in columns)!r}


@compiled_by_size
def fill_rows(
    starts: Ints, places: Ints, offsets: Ints, flip_x: Array, flip_y: Array,
    mode: Ints, partner: Ints, lam: Floats, patch: Ints, ids: Ints,
    {given},
    floats: Floats, rows: Ints,
) -> None:
    """Write the parts of every row to int32 `[N, width]`, of which `floats` is a view as float32.

    `starts` is the first word of each part, -1 for one that is not wanted: places, offsets and
    flips; mode, partner and lambda; patch; id; then those of `WORDS`. `offsets` `[N, 2]`, or
    `[1, 2]` for all rows.
    """
    base, mixing, patched, name, {", ".join(widths)} = starts
    for r in range(places.size):
        own = r if offsets.shape[0] > 1 else 0
        rows[r, base] = places[r]
        rows[r, base + 1], rows[r, base + 2] = offsets[own, 0], offsets[own, 1]
        rows[r, base + 3] = flip_x[r] + 2 * flip_y[r]
        if mixing >= 0:
            rows[r, mixing], rows[r, mixing + 1] = mode[r], partner[r]
            floats[r, mixing + 2] = lam[r]
        if patched >= 0:
            for k in range(4):
                rows[r, patched + k] = patch[r, k]
        if name >= 0:
            upper = ids[r] >> 32
            rows[r, name] = ids[r]
            rows[r, name + 1] = (upper & 0xFFFF) << 16 | (upper >> 16) << 10
{chr(10).join(lines)}
'''

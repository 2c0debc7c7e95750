"""Columns of a plan of which those that no operation has drawn are made when they are asked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Column, Mixing
from augfeed.plan._columns import Columns
from augfeed.policy import OPERATIONS

# Those of mixing stand in `Mixes`.
COLUMNS: dict[str, Column] = {
    column.name: column
    for cls in OPERATIONS.values()
    if not issubclass(cls, Mixing)
    for column in cls.columns
}


class DrawnColumns(Columns):
    """What operations decided of every sample; a policy has few operations, and pays for those."""

    __slots__ = ("_count",)
    _count: int

    @classmethod
    def of(cls, count: int, drawn: dict[str, NDArray[Any]]) -> "DrawnColumns":
        """Return columns of which some have been drawn, `[count, ...]` each, by name."""
        made = cls.__new__(cls)
        object.__setattr__(made, "_count", count)
        for name, values in drawn.items():
            object.__setattr__(made, name, values.astype(COLUMNS[name].dtype, copy=False))
        return made

    def __getattr__(self, name: str) -> NDArray[Any]:
        # Only called for what is not there yet.
        column = COLUMNS.get(name)
        if column is None:
            raise AttributeError(f"a plan has no column {name!r}")
        made = neutral_column(column, self._count)
        object.__setattr__(self, name, made)
        return made


def neutral_column(column: Column, count: int) -> NDArray[Any]:
    """Return a column of an operation that is applied to no sample, `[count, ...]`."""
    shape = (count, *column.shape)
    if column.neutral:
        return np.full(shape, column.neutral, column.dtype)
    return np.zeros(shape, column.dtype)

"""The functions of `augfeed.operation.levels`, compiled."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from augfeed.kernels.inner import INNER, njit

LEVELS = 256


@njit(nogil=True)
def fill_table(table: Any, made: Any) -> None:
    """Write a table to memory; Numba compiles an assignment to a slice for seconds."""
    for k in range(LEVELS):
        made[k] = table[k]


def floor_divide(value: Any, by: Any) -> Any:
    """Return a quotient rounded down, of numbers below 2**52 that are not negative."""
    raise NotImplementedError


@overload(floor_divide, strict=False, jit_options=INNER | {"error_model": "numpy"})
def _floor_divide(value: Any, by: Any) -> Any:
    # Exact: whole numbers of less than 53 bits lie too far apart for a quotient to be rounded to
    # one that it does not reach. Dividing whole numbers takes ten times as long.
    if not isinstance(value, types.Array):
        return lambda value, by: value // by

    def each(value: Any, by: Any) -> Any:
        made = np.empty(value.size, np.int64)
        for k in range(value.size):
            made[k] = np.int64(np.float64(value[k]) / np.float64(by))
        return made

    return each


@njit(nogil=True)
def divide(value: Any, by: Any) -> Any:
    """Return a quotient in float64."""
    return value / by


@njit(nogil=True)
def truncate(values: Any) -> Any:
    """Return numbers without what follows the point."""
    return values.astype(np.int64)


@njit(nogil=True)
def total(values: Any) -> Any:
    """Return the sum over all levels."""
    return values.sum()


@njit(nogil=True)
def cumulative(values: Any) -> Any:
    """Return, for each level, the sum up to it, itself included."""
    return np.cumsum(values)


@njit(nogil=True)
def real(level: Any) -> Any:
    """Return levels as float32."""
    return level.astype(np.float32)


@njit(nogil=True)
def saturated(values: Any) -> Any:
    """Return values as levels: cut off at 0, 255 and the level below."""
    made = np.empty(values.size, np.int64)
    for k in range(values.size):
        made[k] = min(max(values[k], np.float32(0.0)), np.float32(255.0))
    return made


@njit(nogil=True)
def to_unit(level: int) -> Any:
    """Return a level as a value from 0 to 1, float32."""
    return np.float32(level) / np.float32(255.0)


@njit(nogil=True)
def nearest(value: Any) -> int:
    """Return the nearest level of a value from 0 to 1, halves to even."""
    held = min(max(value * np.float32(255.0), np.float32(0.0)), np.float32(255.0))
    return int(np.round(held))


@njit(nogil=True)
def highest(wanted: Any) -> int:
    """Return the highest level that is wanted, -1 if none is."""
    for k in range(wanted.size - 1, -1, -1):
        if wanted[k]:
            return k
    return -1


@njit(nogil=True)
def lowest(wanted: Any) -> int:
    """Return the lowest level that is wanted, 256 if none is."""
    for k in range(wanted.size):
        if wanted[k]:
            return k
    return LEVELS


def where(wanted: Any, values: Any, other: Any) -> Any:
    """Return whole numbers, `[256]`, and another one where they are not wanted."""
    raise NotImplementedError


@overload(where, strict=False, jit_options=INNER)
def _where(wanted: Any, values: Any, other: Any) -> Any:
    # NumPy's own broadcasts, which takes half a second to compile, each time.
    if isinstance(wanted, types.Array):

        def each(wanted: Any, values: Any, other: Any) -> Any:
            made = np.empty(values.size, np.int64)
            for k in range(values.size):
                made[k] = values[k] if wanted[k] else other
            return made

        return each

    def all_or_none(wanted: Any, values: Any, other: Any) -> Any:
        made = np.empty(values.size, np.int64)
        for k in range(values.size):
            made[k] = values[k] if wanted else other
        return made

    return all_or_none

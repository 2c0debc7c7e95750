"""The functions of `augfeed.operation.levels`, compiled."""

from typing import Any

import numpy as np
from numba import njit

LEVELS = 256


@njit(nogil=True)
def floor_divide(value: Any, by: Any) -> Any:
    """Return a quotient rounded down."""
    return value // by


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
def highest(wanted: Any) -> int:
    """Return the highest level that is wanted, -1 if none is."""
    last = -1
    for k in range(wanted.size):
        last = k if wanted[k] else last
    return last


@njit(nogil=True)
def lowest(wanted: Any) -> int:
    """Return the lowest level that is wanted, 256 if none is."""
    first = LEVELS
    for k in range(wanted.size - 1, -1, -1):
        first = k if wanted[k] else first
    return first

"""The few functions that tables of levels are written with, on vectors of 256, or numbers.

Bodies are Python functions of whole numbers that use these, `+ - *`, comparisons and constants;
what `divide` makes is float64 until `truncate`.
They are called as they are in tests; `augfeed.ops.generate` writes them out for Numba and Triton.
"""

from typing import Any

import numpy as np

from augfeed.operation.pixel import maximum as maximum
from augfeed.operation.pixel import minimum as minimum
from augfeed.operation.pixel import where as where

LEVELS = 256


def floor_divide(value: Any, by: Any) -> Any:
    """Return a quotient rounded down, of a number that is not negative by one above 0."""
    return value // by


def divide(value: Any, by: Any) -> Any:
    """Return a quotient in float64."""
    return value / by


def truncate(values: Any) -> Any:
    """Return float64 numbers of all levels without what follows the point."""
    return values.astype(np.int64)


def total(values: Any) -> Any:
    """Return the sum over all levels."""
    return values.sum()


def cumulative(values: Any) -> Any:
    """Return, for each level, the sum up to it, itself included."""
    return values.cumsum()


def highest(wanted: Any) -> Any:
    """Return the highest level that is wanted, -1 if none is."""
    return np.where(wanted, np.arange(LEVELS), -1).max()


def lowest(wanted: Any) -> Any:
    """Return the lowest level that is wanted, 256 if none is."""
    return np.where(wanted, np.arange(LEVELS), LEVELS).min()


def real(level: Any) -> Any:
    """Return levels as float32."""
    return level.astype(np.float32)


def saturated(values: Any) -> Any:
    """Return float32 values as levels: cut off at 0, 255 and the level below."""
    return np.floor(np.clip(values, 0.0, 255.0)).astype(np.int64)

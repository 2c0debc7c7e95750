"""The functions of `augfeed.operation.levels`, compiled."""

from typing import Any

import numpy as np

from augfeed.kernels import inner

LEVELS = 256


@inner()
def floor_divide(value: Any, by: Any) -> Any:
    """Return a quotient rounded down."""
    return value // by


@inner()
def divide(value: Any, by: Any) -> Any:
    """Return a quotient in float64."""
    return value / by


@inner()
def truncate(values: Any) -> Any:
    """Return numbers without what follows the point."""
    return values.astype(np.int64)


@inner()
def total(values: Any) -> Any:
    """Return the sum over all levels."""
    return values.sum()


@inner()
def cumulative(values: Any) -> Any:
    """Return, for each level, the sum up to it, itself included."""
    return np.cumsum(values)


@inner()
def real(level: Any) -> Any:
    """Return levels as float32."""
    return level.astype(np.float32)


@inner()
def held(values: Any) -> Any:
    """Return values as levels: cut off at 0, 255 and the level below."""
    made = np.empty(values.size, np.int64)
    for k in range(values.size):
        made[k] = min(max(values[k], np.float32(0.0)), np.float32(255.0))
    return made


@inner()
def whole_of(level: int) -> Any:
    """Return a level as a value from 0 to 1, float32."""
    return np.float32(level) / np.float32(255.0)


@inner()
def nearest(value: Any) -> int:
    """Return the nearest level of a value from 0 to 1, halves to even."""
    held = min(max(value * np.float32(255.0), np.float32(0.0)), np.float32(255.0))
    return int(np.round(held))


@inner()
def highest(wanted: Any) -> int:
    """Return the highest level that is wanted, -1 if none is."""
    last = -1
    for k in range(wanted.size):
        last = k if wanted[k] else last
    return last


@inner()
def lowest(wanted: Any) -> int:
    """Return the lowest level that is wanted, 256 if none is."""
    first = LEVELS
    for k in range(wanted.size - 1, -1, -1):
        first = k if wanted[k] else first
    return first

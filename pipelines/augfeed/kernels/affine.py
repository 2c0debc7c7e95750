"""Affine maps of colors, float64 `[C, C + 1]`, changed in place from the left."""

from typing import Any

from augfeed.kernels.inner import njit
from augfeed.kernels.types import Floats


@njit(nogil=True)
def identity(total: Floats) -> None:
    """Write the map that changes nothing."""
    channels = total.shape[0]
    for c in range(channels):
        for k in range(channels + 1):
            total[c, k] = 1.0 if c == k else 0.0


@njit(nogil=True)
def scale(total: Floats, factor: Any, summand: Any) -> None:
    """Multiply what a map gives by a factor, and add a summand, to every channel."""
    channels = total.shape[0]
    for c in range(channels):
        for k in range(channels + 1):
            total[c, k] *= factor
        total[c, channels] += summand


@njit(nogil=True)
def multiply(left: Any, total: Floats, spare: Floats) -> None:
    """Multiply what a map of three channels gives by a matrix, `[3][3]`; `spare` `[3, 4]`."""
    for i in range(3):
        for j in range(4):
            value = 0.0
            for k in range(3):
                value += left[i][k] * total[k, j]
            spare[i, j] = value
    for i in range(3):
        for j in range(4):
            total[i, j] = spare[i, j]

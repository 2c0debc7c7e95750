"""Pointwise color operations.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

from typing import Any

import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.types import Floats

U = np.uint64


@njit(nogil=True)
def _posterize_pixel(value: Any, levels: Any, part: Any) -> Any:
    level = np.floor(value * np.float32(255.0) + np.float32(0.5))
    return np.floor(level * part) * levels * np.float32(0.00392156862745098) if levels != np.float32(1.0) else value


@njit(nogil=True)
def _solarize_pixel(value: Any, threshold: Any) -> Any:
    return np.float32(1.0) - value if value >= threshold else value


@njit(nogil=True)
def _solarize_add_pixel(value: Any, addition: Any, threshold: Any) -> Any:
    return min(max(value + addition, np.float32(0.0)), np.float32(1.0)) if value < threshold else value


@njit(nogil=True)
def _gamma_pixel(value: Any, gamma: Any, gain: Any) -> Any:
    power = np.exp2(gamma * np.log2(value if value > np.float32(0.0) else np.float32(1.0)))
    return (min(gain * power, np.float32(1.0)) if value > np.float32(0.0) else np.float32(0.0)) if gamma > np.float32(0.0) else value


@njit(nogil=True)
def changes_points(row: Any) -> bool:
    """Return whether any of them is applied to a row."""
    return row.levels != np.float32(1.0) or row.threshold != np.float32(2.0) or row.addition != np.float32(0.0) or row.gamma != np.float32(0.0)


@njit(nogil=True)
def change_points(planes: Floats, at: Any, count: int, row: Any) -> None:
    """Apply those of a row to `count` values in [0, 1], from `planes[at]` on, in place."""
    if row.levels != np.float32(1.0):
        levels, level_part = row.levels, row.level_part
        for i in range(count):
            planes[at + U(i)] = _posterize_pixel(planes[at + U(i)], levels, level_part)
    if row.threshold != np.float32(2.0):
        threshold = row.threshold
        for i in range(count):
            planes[at + U(i)] = _solarize_pixel(planes[at + U(i)], threshold)
    if row.addition != np.float32(0.0):
        addition, added_below = row.addition, row.added_below
        for i in range(count):
            planes[at + U(i)] = _solarize_add_pixel(planes[at + U(i)], addition, added_below)
    if row.gamma != np.float32(0.0):
        gamma, gain = row.gamma, row.gain
        for i in range(count):
            planes[at + U(i)] = _gamma_pixel(planes[at + U(i)], gamma, gain)

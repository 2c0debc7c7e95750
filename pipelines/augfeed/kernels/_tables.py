"""Tables of levels, by the number of the step that makes them.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

from typing import Any

import numba
import numpy as np

from augfeed.kernels.inner import njit
from augfeed.kernels.levels import LEVELS, fill_table, nearest, where, to_unit, cumulative, divide, floor_divide, saturated, highest, lowest, real, total, truncate
from augfeed.kernels.types import Floats, Ints


@njit(nogil=True)
def _posterize_pixel(value: Any, levels: Any, part: Any) -> Any:
    level = np.floor(value * np.float32(255.0) + np.float32(0.5))
    return np.floor(level * part) * levels * np.float32(0.00392156862745098) if levels != np.float32(1.0) else value


@njit(nogil=True)
def _solarize_pixel(value: Any, threshold: Any) -> Any:
    return np.float32(1.0) - value if value >= threshold else value


@njit(nogil=True)
def _gamma_pixel(value: Any, gamma: Any, gain: Any) -> Any:
    power = np.exp2(gamma * np.log2(value if value > np.float32(0.0) else np.float32(1.0)))
    return (min(gain * power, np.float32(1.0)) if value > np.float32(0.0) else np.float32(0.0)) if gamma > np.float32(0.0) else value


@njit(nogil=True)
def _solarize_add_pixel(value: Any, addition: Any, threshold: Any) -> Any:
    return min(max(value + addition, np.float32(0.0)), np.float32(1.0)) if value < threshold else value


@njit(nogil=True)
def _equalize_table(counts: Any, level: Any) -> Any:
    last = total(where(level == highest(counts > 0), counts, 0))
    step = floor_divide(total(counts) - last, 255)
    below = cumulative(counts) - counts
    made = floor_divide(below + floor_divide(step, 2), np.maximum(step, 1))
    return where(step > 0, np.minimum(made, 255), -1)


@njit(nogil=True)
def _autocontrast_table(counts: Any, level: Any) -> Any:
    low, high = (lowest(counts > 0), highest(counts > 0))
    scale = divide(255, np.maximum(high - low, 1))
    made = truncate(level * scale - low * scale)
    return where(high > low, np.minimum(np.maximum(made, 0), 255), -1)


@njit(nogil=True)
def _brightness_table(counts: Any, level: Any, factor: Any) -> Any:
    return saturated(factor * real(level))


@njit(nogil=True)
def _contrast_table(counts: Any, level: Any, gray: Any, factor: Any) -> Any:
    return saturated(gray + factor * (real(level) - gray))


@numba.njit(nogil=True)
def makes_table(code: int) -> bool:
    """Return whether a step is one of these."""
    return False or code == 1 or code == 3 or code == 64 or code == 65 or code == 66 or code == 67 or code == 128 or code == 129


@numba.njit(nogil=True)
def needs_counts(code: int) -> bool:
    """Return whether a table depends on the histogram, or on the mean gray."""
    return False or code == 1 or code == 3 or code == 129


@njit(nogil=True)
def needs_gray(code: int) -> bool:
    """Return whether a table depends on the mean gray, and on nothing else of the frame."""
    return False or code == 129


@njit(nogil=True)
def make_table(
    code: int, counts: Ints, level: Ints, gray: Any, numbers: Floats, made: Ints
) -> None:  # fmt: skip
    """Write what becomes of each level to `made`, -1 where values stay as they are.

    `counts` int64 `[256]` is a histogram, `level` int64 `[256]` is 0 to 255, `gray` the nearest
    level of the frame's mean gray, float32; `numbers` are what the step reads of a sample.
    """
    made[:] = -1
    if code == 1:
        fill_table(_equalize_table(counts, level), made)
    if code == 3:
        fill_table(_autocontrast_table(counts, level), made)
    if code == 64:
        for k in range(LEVELS):
            made[k] = nearest(_posterize_pixel(to_unit(k), numbers[0], numbers[1]))
    if code == 65:
        for k in range(LEVELS):
            made[k] = nearest(_solarize_pixel(to_unit(k), numbers[0]))
    if code == 66:
        for k in range(LEVELS):
            made[k] = nearest(_gamma_pixel(to_unit(k), numbers[0], numbers[1]))
    if code == 67:
        for k in range(LEVELS):
            made[k] = nearest(_solarize_add_pixel(to_unit(k), numbers[0], numbers[1]))
    if code == 128:
        fill_table(_brightness_table(counts, level, numbers[0]), made)
    if code == 129:
        fill_table(_contrast_table(counts, level, gray, numbers[0]), made)

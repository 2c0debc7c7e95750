"""Linear color operations, composed to one matrix.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

from typing import Any

import numpy as np

from augfeed.constants import FROM_YIQ, LUMA, YIQ
from augfeed.kernels.affine import identity, multiply, scale
from augfeed.kernels.inner import njit
from augfeed.kernels.types import Floats


@njit(nogil=True)
def _color_jitter_brightness(brightness: Any) -> Any:
    return (brightness, 0.0)


@njit(nogil=True)
def _color_jitter_contrast(contrast: Any, brightness: Any, about_half: Any, mean: Any) -> Any:
    about = 0.5 if about_half else brightness * mean
    return (contrast, (1.0 - contrast) * about)


@njit(nogil=True)
def _color_jitter_saturation(saturation: Any) -> Any:
    rest = 1.0 - saturation
    red, green, blue = (0.299 * rest, 0.587 * rest, 0.114 * rest)
    return ((red + saturation, green, blue), (red, green + saturation, blue), (red, green, blue + saturation))


@njit(nogil=True)
def _color_jitter_turned(i: Any, j: Any, c: Any, s: Any) -> Any:
    p, q = (YIQ[1][j], YIQ[2][j])
    back = FROM_YIQ[i]
    return back[0] * YIQ[0][j] + back[1] * (c * p - s * q) + back[2] * (s * p + c * q)


@njit(nogil=True)
def _color_jitter_hue(hue: Any) -> Any:
    angle = 6.283185307179586 * hue
    c, s = (np.cos(angle), np.sin(angle))
    return ((_color_jitter_turned(0, 0, c, s), _color_jitter_turned(0, 1, c, s), _color_jitter_turned(0, 2, c, s)), (_color_jitter_turned(1, 0, c, s), _color_jitter_turned(1, 1, c, s), _color_jitter_turned(1, 2, c, s)), (_color_jitter_turned(2, 0, c, s), _color_jitter_turned(2, 1, c, s), _color_jitter_turned(2, 2, c, s)))


@njit(nogil=True)
def _grayscale_gray(gray: Any) -> Any:
    return (LUMA, LUMA, LUMA)


@njit(nogil=True)
def _invert_inverted(inverted: Any) -> Any:
    return (-1.0, 1.0)


@njit(nogil=True)
def _channel_shuffle_row(source: Any) -> Any:
    return (1.0 if source == 0.0 else 0.0, 1.0 if source == 1.0 else 0.0, 1.0 if source == 2.0 else 0.0)


@njit(nogil=True)
def _channel_shuffle_shuffled(permutation: Any) -> Any:
    first = np.floor(permutation * 0.5)
    later = permutation - 2.0 * first
    low = 1.0 if first == 0.0 else 0.0
    high = 3.0 - first - low
    return (_channel_shuffle_row(first), _channel_shuffle_row(high if later > 0.0 else low), _channel_shuffle_row(low if later > 0.0 else high))


@njit(nogil=True)
def _channel_drop_dropped(dropped: Any) -> Any:
    blue = np.floor(dropped * 0.25)
    green = np.floor((dropped - 4.0 * blue) * 0.5)
    red = dropped - 4.0 * blue - 2.0 * green
    return ((1.0 - red, 0.0, 0.0), (0.0, 1.0 - green, 0.0), (0.0, 0.0, 1.0 - blue))


@njit(nogil=True)
def needs_mean(row: Any) -> bool:
    """Return whether a row's colors depend on the mean gray of its frame."""
    return False or (row.contrast != np.float32(1.0) and not row.about_half)


@njit(nogil=True)
def compose(row: Any, mean: float, total: Floats, spare: Floats) -> bool:
    """Write the linear color operations, on values in [0, 1], to `total`, float64 `[C, C + 1]`.

    `mean` is the mean gray of the frame. Returns whether they change anything. `spare` float64
    `[3, 4]` is scratch: memory of its own for each row would take longer than the row.
    """
    channels, changed = total.shape[0], False
    identity(total)
    if row.brightness != np.float32(1.0):
        factor, summand = _color_jitter_brightness(row.brightness)
        scale(total, factor, summand)
        changed = True
    if row.contrast != np.float32(1.0):
        factor, summand = _color_jitter_contrast(row.contrast, row.brightness, row.about_half, mean)
        scale(total, factor, summand)
        changed = True
    if channels == 3 and row.saturation != np.float32(1.0):
        multiply(_color_jitter_saturation(row.saturation), total, spare)
        changed = True
    if channels == 3 and row.hue != np.float32(0.0):
        multiply(_color_jitter_hue(row.hue), total, spare)
        changed = True
    if channels == 3 and row.gray != False:
        multiply(_grayscale_gray(row.gray), total, spare)
        changed = True
    if row.inverted != False:
        factor, summand = _invert_inverted(row.inverted)
        scale(total, factor, summand)
        changed = True
    if channels == 3 and row.permutation != 0:
        multiply(_channel_shuffle_shuffled(row.permutation), total, spare)
        changed = True
    if channels == 3 and row.dropped != 0:
        multiply(_channel_drop_dropped(row.dropped), total, spare)
        changed = True
    return changed

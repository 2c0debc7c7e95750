"""Hue turned through HSV, on whole levels, as Pillow converts there and back."""

from typing import Any

import numpy as np

from augfeed.constants import HUES_BELOW
from augfeed.kernels.inner import njit
from augfeed.kernels.place import U
from augfeed.kernels.types import Array, Index

_BELOW = np.array(HUES_BELOW, np.bool_)


@njit(nogil=True)
def _hue(r: Any, g: Any, b: Any, most: Any, spread: Any) -> Any:
    # Of 255 in a full turn.
    if r == most:
        part = g - b if g >= b else g - b + 6 * spread
    elif g == most:
        part = 2 * spread + b - r
    else:
        part = 4 * spread + r - g
    whole = 255 * part // (6 * spread)
    if whole * 6 * spread == 255 * part and _BELOW[whole]:
        whole -= 1
    return whole


@njit(nogil=True)
def turn_hue(frame: Array, at: Index, pixels: int, turn: int) -> None:
    """Add `turn` of 256 to the hue of pixels of three levels, in place."""
    for p in range(pixels):
        i = at + U(3 * p)
        r, g, b = np.int64(frame[i]), np.int64(frame[i + U(1)]), np.int64(frame[i + U(2)])
        most, least = max(r, g, b), min(r, g, b)
        spread = most - least
        if spread == 0:
            continue
        six = 6 * ((_hue(r, g, b, most, spread) + turn) & 255)
        share = 255 * spread // most
        part = six // 255
        rest = six - 255 * part
        low = (2 * most * (255 - share) + 255) // 510
        down = (2 * most * (65025 - share * rest) + 65025) // 130050
        up = (2 * most * (65025 - share * (255 - rest)) + 65025) // 130050
        if part == 0 or part == 6:
            r, g, b = most, up, low
        elif part == 1:
            r, g, b = down, most, low
        elif part == 2:
            r, g, b = low, most, up
        elif part == 3:
            r, g, b = low, down, most
        elif part == 4:
            r, g, b = up, low, most
        else:
            r, g, b = most, low, down
        frame[i], frame[i + U(1)], frame[i + U(2)] = r, g, b

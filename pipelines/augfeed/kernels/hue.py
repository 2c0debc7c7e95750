"""Hue turned through HSV, on whole levels, as Pillow converts there and back."""

from typing import Any

import numpy as np

from augfeed.constants import HUES_BELOW
from augfeed.kernels.frames import ROUNDER
from augfeed.kernels.inner import njit
from augfeed.kernels.place import U
from augfeed.kernels.types import Array, Floats, Index

HUES = 256
FULL = 255 * 255
BLOCK = 256  # pixels at a time, whose numbers stay in the nearest cache
_BELOW = np.array(HUES_BELOW, np.bool_)
# All numbers are whole, and below 2**24: float32 holds them exactly, and divides them eight at a
# time. A half is added before a quotient is cut, so that rounding cannot reach the next number.
_HALF, _255, _FULL = np.float32(0.5), np.float32(255.0), np.float32(FULL)


@njit(nogil=True)
def _turned(turn: int) -> Floats:
    # Six times the hue after the turn, by that before, of 255 in a full turn; and again for
    # quotients that are whole, some of which Pillow puts one below.
    made = np.empty(2 * HUES, np.float32)
    for k in range(HUES):
        made[k] = 6 * ((k + turn) & 255)
        made[HUES + k] = 6 * (((k - 1 if _BELOW[k] else k) + turn) & 255)
    return made


@njit(nogil=True, error_model="numpy")  # no test for a division by zero, of which there is none
def _split(planes: Floats, count: int, hue: Array, share: Floats) -> None:
    # Colors to place in the table of turns, saturation, and in place of red the largest.
    red, green, blue = planes[0], planes[1], planes[2]
    one, two, four, six = np.float32(1.0), np.float32(2.0), np.float32(4.0), np.float32(6.0)
    for k in range(count):
        r, g, b = red[k], green[k], blue[k]
        most, least = max(max(r, g), b), min(min(r, g), b)
        spread = most - least
        of_red = g - b if g >= b else g - b + six * spread
        of_green, of_blue = two * spread + b - r, four * spread + r - g
        part = _255 * (of_red if r == most else (of_green if g == most else of_blue))
        whole = six * max(spread, one)
        quotient = np.floor((part + _HALF) / whole)
        hue[k] = np.int32(quotient) + (HUES if quotient * whole == part else 0)
        share[k] = np.floor((_255 * spread + _HALF) / max(most, one))
        red[k] = most


@njit(nogil=True)
def _nearest(value: Any) -> Any:
    # Of 65025; the nearest whole number, which is never halfway.
    near = (value * (np.float32(1.0) / _FULL) + ROUNDER) - ROUNDER
    twice = np.float32(2.0) * (value - near * _FULL)
    more = np.float32(1.0) if twice > _FULL else np.float32(0.0)
    less = np.float32(1.0) if twice < -_FULL else np.float32(0.0)
    return near + more - less


@njit(nogil=True)
def _join(planes: Floats, count: int, six: Floats, share: Floats) -> None:
    red, green, blue = planes[0], planes[1], planes[2]
    two = np.float32(2.0)
    for k in range(count):
        most, s = red[k], share[k]
        part = np.floor((six[k] + _HALF) * (np.float32(1.0) / _255))
        rest = six[k] - _255 * part
        low = np.floor((two * most * (_255 - s) + _255 + _HALF) * (np.float32(1.0) / (two * _255)))
        down = most - _nearest(most * s * rest)
        up = most - _nearest(most * s * (_255 - rest))
        first, second = part < two, part < np.float32(4.0)
        even = part == np.float32(0.0) or part == two or part == np.float32(4.0)
        if part > np.float32(5.5):  # a full turn
            first, second, even = True, True, True
        high_1, high_2 = (most, up) if even else (down, most)
        low_1, low_2 = (up, most) if even else (most, down)
        red[k] = high_1 if first else (low if second else (up if even else most))
        green[k] = high_2 if first else ((most if even else down) if second else low)
        blue[k] = low if first else (low_1 if second else low_2)


@njit(nogil=True)
def turn_hue(frame: Array, at: Index, pixels: int, turn: int) -> None:
    """Add `turn` of 256 to the hue of pixels of three levels, in place."""
    table, planes = _turned(turn), np.empty((3, BLOCK), np.float32)
    hue, six = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.float32)
    share = np.empty(BLOCK, np.float32)
    for p in range(0, pixels, BLOCK):
        count, first = min(BLOCK, pixels - p), at + U(3 * p)
        for k in range(count):
            i = first + U(3 * k)
            planes[0, k], planes[1, k], planes[2, k] = frame[i], frame[i + U(1)], frame[i + U(2)]
        _split(planes, count, hue, share)
        for k in range(count):
            six[k] = table[hue[k]]
        _join(planes, count, six, share)
        for k in range(count):
            i = first + U(3 * k)
            frame[i], frame[i + U(1)], frame[i + U(2)] = planes[0, k], planes[1, k], planes[2, k]

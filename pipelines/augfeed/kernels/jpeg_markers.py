"""The markers of a JPEG up to its first scan, which come before the pixels of every image."""

import numpy as np

from augfeed.kernels import compiled
from augfeed.kernels.inner import njit
from augfeed.kernels.types import Bytes

_END, _SCAN, _APP1 = 0xD9, 0xDA, 0xE1
_NONE = (0, 0, 0, 0, 0, 0, 0)
_EXIF = (0x45, 0x78, 0x69, 0x66, 0, 0)


@njit(nogil=True)
def _one(data: Bytes, at: int) -> int:
    return np.int64(data[at])  # type: ignore[return-value]


@njit(nogil=True)
def _two(data: Bytes, at: int) -> int:
    return _one(data, at) << 8 | _one(data, at + 1)


@njit(nogil=True)
def _unit(data: Bytes, at: int, end: int) -> int:
    # Each component has 3 bytes; the upper half of the second is how many blocks of 8 pixels lie
    # side by side in a unit. Of a single component a unit is one block.
    if at + 4 >= end:
        return 8
    most = 0
    for place in range(at + 1, end, 3):
        most = max(most, _one(data, place) >> 4)
    return 8 * most


@njit(nogil=True)
def _segment(data: Bytes, at: int) -> tuple[int, int, int]:
    # The first segment from `at` on: its marker, where that stands, and the place behind it; marker
    # 0 if there is none, and no place behind the scan and the end.
    end = data.size
    while at + 4 <= end and data[at] == 0xFF:
        marker = _one(data, at + 1)
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker < 0xD8:  # these have no length
            at += 2
        else:
            last = marker in (_SCAN, _END)
            return marker, at, at if last else at + 2 + _two(data, at + 2)
    return 0, at, at


@njit(nogil=True)
def _is_exif(data: Bytes, at: int) -> bool:
    if at + 10 > data.size:
        return False
    same = True
    for i in range(6):
        same = same and data[at + 4 + i] == _EXIF[i]
    return same


@compiled(nogil=False)
def find_exif(data: Bytes, at: int) -> tuple[int, int]:
    """Return begin and end of the first EXIF block in the segments of a JPEG, uint8 `[n]`, from
    place `at` on; zeros if there is none before the scan."""
    while True:
        marker, place, after = _segment(data, at)
        if after == place:
            return 0, 0
        if marker == _APP1 and _is_exif(data, place):
            return place + 10, max(after, place + 10)
        at = after


@compiled(nogil=False)
def read_markers(data: Bytes) -> tuple[int, int, int, int, int, int, int]:
    """Return what the header of a JPEG, uint8 `[n]`, declares; zeros if it is malformed.

    The start-of-frame marker, height, width, number of components, and of columns in a unit; place
    of the first scan, 0 without one, and its number of components.
    """
    kind = height = width = components = 0
    unit, at = 8, 2
    while True:
        marker, place, after = _segment(data, at)
        if after == place:
            break
        if 0xC0 <= marker < 0xD0 and marker != 0xC4 and marker != 0xC8 and marker != 0xCC:
            if kind or place + 10 > data.size:
                return _NONE
            kind, components = marker, _one(data, place + 9)
            height, width = _two(data, place + 5), _two(data, place + 7)
            unit = _unit(data, place + 10, min(after, data.size))
        at = after
    if marker != _SCAN or place + 4 >= data.size:
        return kind, height, width, components, unit, 0, 0
    return kind, height, width, components, unit, place, _one(data, place + 4)

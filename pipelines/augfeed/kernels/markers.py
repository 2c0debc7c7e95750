"""The markers of a JPEG up to its first scan, which come before the pixels of every picture."""

import numpy as np
from numba import njit

from augfeed.kernels import compiled
from augfeed.kernels.types import Bytes

_END, _SCAN, _APP1 = 0xD9, 0xDA, 0xE1
_NONE = (0, 0, 0, 0, 0, 0, 0, 0, 0)
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


@compiled(nogil=False)
def read_markers(data: Bytes, behind: int) -> tuple[int, int, int, int, int, int, int, int, int]:
    """Return what the header of a JPEG, uint8 `[n]`, declares; zeros if it is malformed.

    The start-of-frame marker, height, width, number of components, and of columns in a unit; place
    of the first scan, 0 without one, and its number of components; begin and end of the first EXIF
    block that begins after `behind`, 0 without one.
    """
    at, end = 2, data.size
    kind = height = width = components = scan = held = exif = exif_end = 0
    unit = 8
    while at + 4 <= end and data[at] == 0xFF:
        marker = _one(data, at + 1)
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker < 0xD8:  # these have no length
            at += 2
            continue
        if marker in (_SCAN, _END):
            if marker == _SCAN and at + 4 < end:
                scan, held = at, _one(data, at + 4)
            break
        after = min(at + 2 + _two(data, at + 2), end)
        if 0xC0 <= marker < 0xD0 and marker != 0xC4 and marker != 0xC8 and marker != 0xCC:
            if kind or at + 10 > end:
                return _NONE
            kind, components = marker, _one(data, at + 9)
            height, width = _two(data, at + 5), _two(data, at + 7)
            unit = _unit(data, at + 10, after)
        elif marker == _APP1 and not exif and at > behind and at + 10 <= end:
            found = True
            for i in range(6):
                found = found and data[at + 4 + i] == _EXIF[i]
            if found:
                exif, exif_end = at + 10, max(after, at + 10)
        at += 2 + _two(data, at + 2)
    return kind, height, width, components, unit, scan, held, exif, exif_end

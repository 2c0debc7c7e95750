"""How an image is oriented: the EXIF orientation, and the array turned upright."""

import re
import struct

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
UPRIGHT = 1
# Orientations in which the first row, or column, of the upright image is the last one stored.
_FROM_BELOW, _FROM_RIGHT = (3, 4, 7, 8), (2, 3, 6, 7)
_ORIENTATION = 0x0112
_MARK = b"Exif\0\0"
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_BYTE, _SHORT, _LONG = 1, 3, 4
_FORMATS = {_BYTE: "B", _SHORT: "H", _LONG: "I"}


def orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, that an EXIF block (a TIFF header and directory) states.

    A block that is broken, or states none or another number, counts as 1, upright.
    """
    return stated(block) or UPRIGHT


def stated(block: bytes) -> int | None:
    """Return the orientation that an EXIF block states, None if it states none.

    Any number but 1 to 8 counts as 1. The block may begin with the mark that it has in a JPEG.
    """
    while block.startswith(_MARK):
        block = block.removeprefix(_MARK)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", block, at)
            if tag == _ORIENTATION and kind in _FORMATS:
                (value,) = struct.unpack_from(order + _FORMATS[kind], block, at + 8)
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return None


def stated_by_xmp(text: bytes) -> int | None:
    """Return the orientation that an XMP packet states, None if it states none."""
    found = _XMP.search(text)
    if found is None:
        return None
    value = int(found[1])
    return value if 1 <= value <= 8 else UPRIGHT


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return `(height, width)` after turning an image of this orientation upright."""
    return size if orientation < 5 else (size[1], size[0])


def stored_box(
    box: tuple[int, int, int, int], size: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Return where a box (top, left, height, width) of an upright image of `size` is stored."""
    top, left, height, width = box
    if orientation in _FROM_BELOW:
        top = size[0] - top - height
    if orientation in _FROM_RIGHT:
        left = size[1] - left - width
    return (top, left, height, width) if orientation < 5 else (left, top, width, height)


def shortened(orientation: int) -> tuple[bool, bool]:
    """Return whether the last row, and the last column, that is stored comes first upright."""
    return orientation in _FROM_BELOW, orientation in _FROM_RIGHT


def upright(image: Picture, orientation: int) -> Picture:
    """Return `[h, w, C]` turned upright, C-contiguous; the array itself if it is upright."""
    if orientation == UPRIGHT:
        return image
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in _FROM_RIGHT:
        image = image[:, ::-1]
    if orientation in _FROM_BELOW:
        image = image[::-1]
    return image.copy()  # also where a side of one pixel makes the view contiguous

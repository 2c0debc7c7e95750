"""The header of a JPEG: its markers up to the first scan."""

from typing import NamedTuple

import numpy as np

from augfeed.kernels.jpeg_markers import find_exif, read_markers
from augfeed.read.exif import UPRIGHT, stated, stated_by_xmp

MAGIC = b"\xff\xd8\xff"
# Start-of-frame markers.
_HUFFMAN = frozenset((0xC0, 0xC1, 0xC2))
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"
# A block of 64 pixels takes a bit at least in each scan that it occurs in; a progressive image
# of one color comes to 8 blocks a byte, where each byte holds eight of them.
_PIXELS_PER_BYTE = 512


class Header(NamedTuple):
    """What a JPEG declares: size as stored, number of color components, EXIF orientation.

    `unit` is how many pixels wide its smallest coded unit is, `scan` the place of the first scan in
    the file (0 without one), `interleaved` whether that holds all components.
    """

    height: int
    width: int
    components: int
    orientation: int
    huffman: bool
    progressive: bool
    unit: int
    scan: int
    interleaved: bool

    def fits(self, size: int) -> bool:
        """Whether a file of `size` bytes can hold that many pixels."""
        return not self.huffman or self.height * self.width <= _PIXELS_PER_BYTE * size

    def runs_on(self, data: bytes) -> bool:
        """Whether lines come one after the other, all components together, up to a proper end.

        Not of four components, which no decoder of lines turns into RGB.
        Then some can be decoded, and what is left out needs no look: the end reports a file that
        was cut short.
        """
        plain = self.huffman and not self.progressive and self.interleaved
        return plain and self.components != 4 and data.rfind(_END_OF_IMAGE, self.scan) >= 0


def scans(data: bytes) -> int:
    """Return the number of scans in a JPEG, or a few more: thumbnails in it count, too."""
    return data.count(_START_OF_SCAN)


def read_header(data: bytes) -> Header | None:
    """Return what a JPEG declares, or None if its header is cut short or malformed."""
    values = np.frombuffer(data, np.uint8)
    kind, height, width, components, unit, scan, shown = read_markers(values)
    if not height * width * components:
        return None
    orientation, (exif, end) = None, find_exif(values, 2)
    while exif and orientation in (None, UPRIGHT):  # another may tell
        orientation = stated(data[exif:end]) or orientation
        exif, end = find_exif(values, end)
    orientation = orientation or _stated_by_xmp(data, scan) or UPRIGHT
    return Header(height, width, components, orientation, kind in _HUFFMAN, kind in _PROGRESSIVE,
                  unit, scan, scan > 0 and shown == components)  # fmt: skip


def _stated_by_xmp(data: bytes, end: int) -> int | None:
    at = data.rfind(_XMP, 0, end)
    return stated_by_xmp(data[at : at + int.from_bytes(data[at - 2 : at])]) if at >= 6 else None

"""The header of a JPEG: its markers up to the first scan."""

from typing import NamedTuple

from augfeed.read.exif import UPRIGHT, orientation

MAGIC = b"\xff\xd8\xff"
# Start-of-frame markers: all of C0 to CF but DHT (C4), JPG (C8) and DAC (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN = frozenset((0xC0, 0xC1, 0xC2))
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length
# A block of 64 pixels takes a bit at least in each scan that it occurs in; a progressive picture
# of one colour comes to 8 blocks a byte, where each byte holds eight of them.
_PIXELS_PER_BYTE = 512


class Header(NamedTuple):
    """What a JPEG declares: size as stored, number of colour components, EXIF orientation.

    `unit` is how many pixels wide its smallest coded unit is, `scan` the place of the first scan in
    the file (0 without one), `interleaved` whether that holds all components.
    """

    height: int
    width: int
    components: int
    held: int
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

        Then some can be decoded, and what is left out needs no look: the end tells of a file that
        was cut short.
        """
        plain = self.huffman and not self.progressive and self.interleaved
        return plain and data.rfind(_END_OF_IMAGE, self.scan) >= 0


def scans(data: bytes) -> int:
    """Return the number of scans in a JPEG, or a few more: thumbnails in it count, too."""
    return data.count(_START_OF_SCAN)


def read_header(data: bytes) -> Header | None:
    """Return what a JPEG declares, or None if its header is cut short or malformed."""
    at, end, held, scan = 2, len(data), UPRIGHT, 0
    frame: tuple[int, int, int, int] | None = None
    unit = 8
    while at + 4 <= end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        if marker in (_SCAN, _END):
            scan = at if marker == _SCAN else 0
            break
        length = data[at + 2] << 8 | data[at + 3]
        if marker in _FRAMES:
            if frame is not None or at + 10 > end:
                return None
            height = data[at + 5] << 8 | data[at + 6]
            width = data[at + 7] << 8 | data[at + 8]
            frame = height, width, data[at + 9], marker
            unit = _unit(data[at + 10 : at + 2 + length])
        elif marker == _APP1 and held == UPRIGHT and data[at + 4 : at + 10] == b"Exif\0\0":
            held = orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    if frame is None or not frame[0] * frame[1] * frame[2]:
        return None
    height, width, components, kind = frame
    huffman, progressive = kind in _HUFFMAN, kind in _PROGRESSIVE
    interleaved = 0 < scan < end - 4 and data[scan + 4] == components
    return Header(height, width, components, held, huffman, progressive, unit, scan, interleaved)


def _unit(components: bytes) -> int:
    # Each component has 3 bytes; the upper half of the second is how many blocks of 8 pixels lie
    # side by side in a unit. Of a single component a unit is one block.
    across = [factors >> 4 for factors in components[1::3]]
    return 8 * max(across) if len(across) > 1 else 8

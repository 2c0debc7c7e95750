"""The chunks of a PNG: a file without its texts, and the orientation that is among them."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from augfeed.read.exif import UPRIGHT, stated, stated_by_xmp
from augfeed.read.to_uint8 import Unfit

MAGIC = b"\x89PNG\r\n\x1a\n"
# What a compressed text or profile may be unpacked. Pillow ends at 1 MiB, which the workflows and
# edit histories of drawing programs exceed; what exceeds this one was made to fill a memory.
MAX_UNPACKED = 32 << 20
_RATIO = 1040  # a byte of deflate holds at most about 1032
_PIECE = 1 << 20
_COMPRESSED, _PROFILE = b"zTXt", b"iCCP"
_WORDS = frozenset((b"tEXt", b"zTXt", b"iTXt", _PROFILE))
_EXIF, _RAW, _XMP = b"exif", b"Raw profile type exif", b"XML:com.adobe.xmp"


class Chunk(NamedTuple):
    """A chunk: its kind, and where it begins and ends in the file."""

    kind: bytes
    start: int
    end: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG that are there in full, up to its end or to damage."""
    at = len(MAGIC)
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or kind == b"IEND":
            return
        yield Chunk(kind, at, end)
        at = end


def without_words(data: bytes) -> bytes:
    """Return a PNG without its texts and its color profile, which no pixel depends on.

    Damaged ones stay. Raises `Unfit` for one of more than `MAX_UNPACKED` bytes when unpacked.
    """
    kept, start = [], 0
    for chunk in chunks(data):
        if chunk.kind in _WORDS and _is_sound(data, chunk):
            if _unpacked(data, chunk) > MAX_UNPACKED:
                raise Unfit(
                    f"a text in it takes more than {MAX_UNPACKED >> 20} MiB when unpacked: save it "
                    "without its texts, or remove it"
                )
            kept.append(data[start : chunk.start])
            start = chunk.end
    return b"".join((*kept, data[start:])) if kept else data


def orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, that a PNG states, wherever it does.

    In this order, as Pillow has it: an EXIF chunk, EXIF as a text (ImageMagick's raw profile), and
    XMP. Of several of a kind the last one counts; what is broken counts as 1, upright.
    """
    block, raw, xmp = None, None, b""
    for chunk in chunks(data):
        if chunk.kind == b"eXIf":
            block = _body(data, chunk)
        elif chunk.kind in _WORDS and chunk.kind != _PROFILE:
            key = _body(data, chunk)[:80].partition(b"\0")[0]
            if key == _EXIF and chunk.kind == b"tEXt":
                block = _text(data, chunk)
            elif key == _RAW:
                raw = _text(data, chunk)
            elif key == _XMP:
                xmp = _text(data, chunk)
    orientation = stated(_from_hex(raw or b"") if block is None else block)
    return orientation or stated_by_xmp(xmp) or UPRIGHT


def _body(data: bytes, chunk: Chunk) -> bytes:
    return data[chunk.start + 8 : chunk.end - 4]


def _is_sound(data: bytes, chunk: Chunk) -> bool:
    stated = int.from_bytes(data[chunk.end - 4 : chunk.end], "big")
    return zlib.crc32(data[chunk.start + 4 : chunk.end - 4]) == stated


def _packed(data: bytes, chunk: Chunk) -> tuple[bytes, bool]:
    # What stands behind the keyword, and whether that is compressed.
    rest = _body(data, chunk).partition(b"\0")[2]
    if chunk.kind in (_COMPRESSED, _PROFILE):
        return rest[1:], True
    if chunk.kind == b"iTXt":  # flag, method, language, keyword in that language
        return (rest[2:].split(b"\0", 2) or [b""])[-1], rest[:1] not in (b"\0", b"")
    return rest, False


def _unpacked(data: bytes, chunk: Chunk) -> int:
    packed, compressed = _packed(data, chunk)
    if not compressed or len(packed) * _RATIO <= MAX_UNPACKED:
        return 0
    size, unpacker = 0, zlib.decompressobj()
    try:
        while packed and size <= MAX_UNPACKED:
            size += len(unpacker.decompress(packed, _PIECE))
            packed = unpacker.unconsumed_tail
    except zlib.error:
        pass
    return size


def _text(data: bytes, chunk: Chunk) -> bytes:
    packed, compressed = _packed(data, chunk)
    try:
        return zlib.decompressobj().decompress(packed, _PIECE) if compressed else packed
    except zlib.error:
        return b""


def _from_hex(text: bytes) -> bytes:
    # Below its name and its length, a line each, an empty one before them.
    try:
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""

"""Packs: files of images, one after the other, each with an index that says where they lie.

A pack has one writer, which only appends: first an image's pixels to `name.pack`, then a record of
them to `name.index`. So a record never speaks of pixels that are not written, wherever its writer
is killed; one that is written in part, or damaged, is known by its checksum. Nobody appends to a
pack whose writer is gone. Pixels have a checksum of their own, as after a power cut a file may have
its length without its contents.
"""

import hashlib
import mmap
import os
import secrets
import weakref
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.read.cache.image_cache import Picture

MAGIC = b"augfeed pack 1\n\0"  # of an index; records follow
PACK, INDEX = ".pack", ".index"
RECORD = np.dtype(
    [
        ("digest", "V16"),
        ("offset", "<u8"),  # of the pixels in the pack
        ("height", "<u4"),
        ("width", "<u4"),
        ("crc", "<u4"),  # of the pixels
        ("check", "<u4"),  # of the words before it
    ]
)
_WORDS = RECORD.itemsize // 4 - 1
_FACTORS = np.frombuffer(hashlib.shake_128(MAGIC).digest(8 * (_WORDS + 1)), "<u8")
Records = NDArray[np.void]


class Extent(NamedTuple):
    """Where the pixels of an image lie in a pack, and their checksum."""

    offset: int
    height: int
    width: int
    crc: int


def digest_of(identity: str) -> bytes:
    """Return the 16 bytes that stand for an identity."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def checks(records: Records) -> NDArray[np.uint32]:
    """Return the checksums that records `[N]` should have.

    A multilinear hash, as it needs no loop over the records.
    """
    words = records.view("<u4").reshape(len(records), _WORDS + 1)[:, :_WORDS].astype(np.uint64)
    total = (words * _FACTORS[:_WORDS]).sum(axis=1, dtype=np.uint64) + _FACTORS[_WORDS]
    upper: NDArray[np.uint32] = (total >> np.uint64(32)).astype(np.uint32)
    return upper


class Writer:
    """Appends images to a pack of its own; one thread at a time, in the process that made it."""

    def __init__(self, folder: Path) -> None:
        """Create an empty pack in a folder; raise `OSError` if that cannot be done."""
        self.name = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.size = 0  # bytes of pixels
        fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        pack, index = folder / (self.name + PACK), folder / (self.name + INDEX)
        hidden = folder / f".{self.name}"  # readers meet an index only once its header is there
        self._pack = os.open(pack, fresh, 0o666)
        self._index = self._pack
        try:
            self._index = os.open(hidden, fresh, 0o666)
            _write(self._index, MAGIC)
            hidden.rename(index)
        except OSError:
            _close(*{self._pack, self._index})
            pack.unlink(missing_ok=True)
            hidden.unlink(missing_ok=True)
            raise
        self.close = weakref.finalize(self, _close, self._pack, self._index)

    @property
    def lost(self) -> bool:
        """Whether the files were removed, so that nobody would find what is written."""
        return 0 in (os.fstat(self._pack).st_nlink, os.fstat(self._index).st_nlink)

    def append(self, digest: bytes, picture: Picture, crc: int) -> Records:
        """Write an image and then its record `[1]`, and return that.

        After an `OSError` nothing may be appended any more.
        """
        height, width = picture.shape[:2]
        record = np.zeros(1, RECORD)
        record[0] = (digest, self.size, height, width, crc, 0)
        record["check"] = checks(record)
        try:
            _write(self._pack, picture.data.cast("B"))
        except OSError:
            os.ftruncate(self._pack, self.size)
            raise
        self.size += picture.size
        _write(self._index, record.tobytes())
        return record


class Pack:
    """Reads a pack, which may grow meanwhile; threads may do so side by side."""

    def __init__(self, folder: Path, name: str) -> None:
        """Open nothing yet."""
        self._path = folder / name
        self._read = 0  # bytes of the index
        self._mapping: mmap.mmap | None = None

    def news(self) -> Records:
        """Return the records, `[N]`, that were not returned before, without any that is damaged.

        Raises `OSError` if the index cannot be read.
        """
        with open(f"{self._path}{INDEX}", "rb") as file:
            head = file.read(len(MAGIC))
            if head != MAGIC:
                return np.empty(0, RECORD)
            begin = max(self._read, len(MAGIC))
            file.seek(begin)
            data = file.read()
        records = np.frombuffer(data, RECORD, len(data) // RECORD.itemsize)
        good = np.flatnonzero(records["check"] == checks(records))
        # Behind the last good record there may be one that is being written.
        self._read = begin + (int(good[-1]) + 1 if good.size else 0) * RECORD.itemsize
        return records[good]

    def passed(self) -> None:
        """Note that the next record is known already, as it was written by this process."""
        self._read = max(self._read, len(MAGIC)) + RECORD.itemsize

    def picture(self, extent: Extent, channels: int) -> Picture | None:
        """Return an image, read-only uint8 `[h, w, channels]`, or None if the pack is too short.

        The pixels are not checked. Raises `OSError` if the pack cannot be opened.
        """
        offset, height, width, _ = extent
        size = height * width * channels
        mapping = self._mapped(offset + size)
        if mapping is None or size == 0:
            return None
        flat: Picture = np.frombuffer(mapping, np.uint8, size, offset)
        return flat.reshape(height, width, channels)

    def _mapped(self, end: int) -> mmap.mmap | None:
        # To touch a mapping beyond the end of its file would end the process: so the file's size
        # is asked for every time, which takes half a microsecond.
        mapping = self._mapping
        if mapping is not None and len(mapping) >= end:
            return mapping if mapping.size() >= end else None
        file = os.open(f"{self._path}{PACK}", os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            size = os.fstat(file).st_size
            if size < end:
                return None
            # Views of the old mapping keep it.
            self._mapping = mapping = mmap.mmap(file, size, access=mmap.ACCESS_READ)
        finally:
            os.close(file)
        return mapping

    def release(self) -> None:
        """Let go of the mapping; images that are held keep it."""
        self._mapping = None


def checksum(picture: Picture) -> int:
    """Return the checksum of an image's pixels."""
    return zlib.crc32(picture.data.cast("B"))


def _write(file: int, data: Any) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _close(*files: int) -> None:
    for file in files:
        os.close(file)

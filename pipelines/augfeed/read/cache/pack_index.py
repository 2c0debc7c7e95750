"""What is known of the images in packs: an index in memory, 53 bytes an image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.read.cache.pack_file import RECORD, Extent, Records

UNCHECKED, GOOD, BAD = 0, 1, 2
FEW = 1024  # images that are not worth sorting
_FIELDS = [(name, RECORD[name]) for name in ("digest", "offset", "height", "width", "crc")]
_ROW = np.dtype([*_FIELDS, ("pack", "<u4"), ("state", "u1")])


class Row(NamedTuple):
    """An image: where it lies, in which pack, and whether its pixels were found to be right."""

    digest: bytes
    offset: int
    height: int
    width: int
    crc: int
    pack: int
    state: int

    @property
    def extent(self) -> Extent:
        """Where it lies in its pack."""
        return Extent(self.offset, self.height, self.width, self.crc)


class PackIndex:
    """Rows by digest. One thread at a time adds; others may look meanwhile.

    Most rows lie in a sorted array; the newest are in a dictionary until they are worth sorting in.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._sorted = np.empty(0, np.uint64), np.empty(0, _ROW)  # first half of digests; rows
        self._recent: dict[bytes, Row] = {}

    def __len__(self) -> int:
        return len(self._sorted[1]) + len(self._recent)

    def find(self, digest: bytes) -> Row | None:
        """Return a row that is not bad, or None."""
        row = self._recent.get(digest)  # first: it is emptied after they were sorted in
        if row is not None and row.state != BAD:
            return row
        keys, rows = self._sorted
        key = np.frombuffer(digest, "<u8", 1)[0]
        at = int(keys.searchsorted(key))
        while at < len(keys) and keys[at] == key:
            row = Row(*rows[at].item())
            if row.digest == digest and row.state != BAD:
                return row
            at += 1
        return None

    def mark(self, row: Row, state: int) -> None:
        """Note what is known of a row's pixels; beside `add` it may be lost."""
        if self._recent.get(row.digest) == row:
            self._recent[row.digest] = row._replace(state=state)
            return
        keys, rows = self._sorted
        key = np.frombuffer(row.digest, "<u8", 1)[0]
        at = int(keys.searchsorted(key))
        while at < len(keys) and keys[at] == key:
            if Row(*rows[at].item())[:6] == row[:6]:
                rows["state"][at] = state
            at += 1

    def add(self, records: Records, pack: int, state: int = UNCHECKED) -> None:
        """Add images of a pack; one that is there already stays too, in case it is damaged."""
        if len(self._recent) + len(records) <= max(FEW, len(self._sorted[1]) // 8):
            news = {
                digest: Row(digest, offset, height, width, crc, pack, state)
                for digest, offset, height, width, crc, _ in records.tolist()
            }
            known = (self._recent.get(digest) for digest in news)
            if len(news) == len(records) and all(row is None or row.state == BAD for row in known):
                self._recent.update(news)
                return
        fresh = np.zeros(len(records), _ROW)
        for name, _ in _FIELDS:
            fresh[name] = records[name]
        fresh["pack"], fresh["state"] = pack, state
        recent = np.array([tuple(row) for row in self._recent.values()], _ROW)
        rows = np.concatenate([self._sorted[1], recent, fresh])
        keys = _keys(rows)
        order = keys.argsort(kind="stable")
        self._sorted = keys[order], rows[order]
        self._recent = {}


def _keys(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    digests = np.ascontiguousarray(rows["digest"]).view("<u8").reshape(len(rows), 2)
    return np.ascontiguousarray(digests[:, 0])

"""Files that could not be read: which samples stand in for them, and the report of an epoch."""

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import ReadError
from augfeed.philox import Stream, words
from augfeed.plan.batch_rows import samples_of
from augfeed.read.annotation import Note

LOG = logging.getLogger("augfeed")
TRIES = 32  # samples tried in place of one; so many broken ones in a row are not accident
KEPT = 2  # epochs before the newest whose files are remembered
SHOWN = 10  # files that a report names


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A file that could not be read in an epoch, and the sample that took its place."""

    epoch: int
    sample: int
    path: str
    reason: str
    instead: int


@dataclass(slots=True)
class RowSources:
    """Whose images stand in the rows of a plan.

    `ids` int64 `[M]` are the samples; `unread` bool `[M]` says which rows hold one that took the
    place of another. `notes` are the annotations of rows that are read, `moved` what became of
    them.
    """

    ids: NDArray[np.int64]
    unread: NDArray[np.bool_]
    notes: dict[int, Note] = field(default_factory=dict)
    moved: dict[int, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, ids: NDArray[np.int64]) -> "RowSources":
        """Return the rows as planned, for the ids of a plan."""
        return cls(samples_of(ids), np.zeros(len(ids), np.bool_))


class ReadFailureLog:
    """What could not be read, by epoch; threads may add to it side by side."""

    def __init__(self) -> None:
        """Start empty."""
        self._found: dict[int, dict[int, ReadFailure]] = {}
        self._lock = threading.Lock()

    def begin(self, epoch: int) -> None:
        """Start an epoch again; forget those long past."""
        with self._lock:
            self._found.pop(epoch, None)
            for old in [held for held in self._found if held < epoch - KEPT]:
                del self._found[old]

    def add(self, unread: ReadFailure) -> None:
        """Note a file; a sample counts once an epoch, however often it was tried."""
        with self._lock:
            self._found.setdefault(unread.epoch, {})[unread.sample] = unread

    def of(self, epoch: int) -> tuple[ReadFailure, ...]:
        """Return what could not be read in an epoch, by sample number."""
        with self._lock:
            found = self._found.get(epoch, {})
            return tuple(found[sample] for sample in sorted(found))

    def report(self, epoch: int, *, skipped: bool) -> str:
        """Return some lines for people about an epoch; empty if all was read."""
        found = self.of(epoch)
        if not found:
            return ""
        done = "left out" if skipped else "replaced"
        files = "1 file" if len(found) == 1 else f"{len(found)} files"
        were = "was" if len(found) == 1 else "were"
        lines = [f"epoch {epoch}: {files} could not be read and {were} {done}:"]
        lines += [f"  {item.reason}" for item in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  and {len(found) - SHOWN} more: see the loader's `unread`")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type["ReadFailureLog"], tuple[()]]:
        return ReadFailureLog, ()  # a copy, in another process too, has read nothing yet


def candidates(seed: int, epoch: int, id_: int, count: int) -> list[int]:
    """Return samples, of `count`, that may take the place of one, in the order to try them.

    A pure function of its arguments; the sample itself is not among them. `id_` is that of the row,
    which tells repetitions of a sample apart.
    """
    if count < 2:
        return []
    blocks = [(int(Stream.REPLACE), block) for block in range(TRIES // 4)]
    ids = np.array([id_], np.int64)
    drawn = words(seed, epoch, ids, blocks)[:, :, 0].ravel()
    others = (drawn.astype(np.uint64) * np.uint64(count - 1)) >> np.uint64(32)
    sample = int(samples_of(ids)[0])
    return [int(other) + (int(other) >= sample) for other in others]


def no_substitute(name: str, reason: str, tried: int) -> ReadError:
    """Return the error for a file in whose place none of the samples tried could be read."""
    return ReadError(
        f"{reason}; nor could any of {tried} other samples be read in place of {name}: check "
        "the dataset"
    )

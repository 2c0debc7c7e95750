"""The samples of batches that come without a loader: counted, or named by their ids."""

import threading
from typing import Any

import numpy as np

from augfeed.errors import InputError
from augfeed.plan.batch_rows import GROUP, BatchRows, check_ids


class SampleCount:
    """The epoch, and how many samples it has had; replicas of a module, in threads, share it."""

    def __init__(self, epoch: int = 0, count: int = 0) -> None:
        """Begin an epoch, or go on within it."""
        self.epoch, self.count, self._lock = epoch, count, threading.Lock()

    def take(self, count: int) -> int:
        """Return where the next `count` samples begin, which nobody else gets."""
        with self._lock:
            first = self.count
            self.count += count
        return first

    def __reduce__(self) -> tuple[type["SampleCount"], tuple[int, int]]:
        return SampleCount, (self.epoch, self.count)


def counted_rows(first: int, count: int) -> BatchRows:
    """Return the rows of samples that are named by their count, from `first` on."""
    names = np.arange(first, first + count, dtype=np.int64)
    return BatchRows(names, names // GROUP, names % GROUP, count, first if count else 0)


def named_rows(ids: Any, count: int) -> BatchRows:
    """Return the rows of samples that `ids` name; `InputError` unless there are `count`.

    Who mixes with whom follows from the ids alone, and is as in the loader where they do.
    """
    names = check_ids(ids)
    if len(names) != count:
        raise InputError(f"ids are {len(names)}, and images {count}: give one for each")
    first = int(names[0]) if count else 0
    if bool((np.diff(names) == 1).all()):
        return BatchRows(names, names // GROUP, names % GROUP, count, first)
    places = np.arange(count, dtype=np.int64)
    return BatchRows(names, first + places // GROUP, places % GROUP, count, first)

"""Which samples a plan is about, and the groups within which they mix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError

Ids = NDArray[np.int64]
GROUP = 8  # consecutive positions of an epoch's order that mix with each other
MAX_ID = 2**48
SAMPLE_BITS = 36  # of an id; those above count how often an epoch has had the sample before


@dataclass(frozen=True, slots=True)
class BatchRows:
    """The samples of a plan, one row each: the first `count` come out, the rest are partners only.

    `ids` int64 `[M]` name the samples; `groups` and `slots` int64 `[M]` say which mixing group a
    row is in and at which place; `first` is the position of the batch's first sample, which names
    the draws that a whole batch shares.
    """

    ids: Ids
    groups: Ids
    slots: Ids
    count: int
    first: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ids: Any) -> "BatchRows":
        """Return rows for sample ids that mix among themselves, in groups from the first on."""
        ids = check_ids(ids)
        places = np.arange(len(ids), dtype=np.int64)
        return cls(ids, places // GROUP, places % GROUP, len(ids))

    @classmethod
    def at(
        cls, positions: Ids, order: Ids, *, mixing: bool, first: int | None = None
    ) -> "BatchRows":
        """Return the rows at `positions` of an epoch's `order` of sample ids.

        Groups are consecutive positions of the order, wherever a batch begins or ends; with
        `mixing`, the members of a group that a batch cuts off are added behind `count`. So a
        sample has the same partner in a batch of any size. `first` is given where `positions` are
        but a part of the batch.
        """
        count = len(positions)
        start = (int(positions[0]) if count else 0) if first is None else first
        if mixing and not _whole_groups(positions, len(order)):
            cut = np.unique(positions // GROUP)
            wanted = (cut[:, None] * GROUP + np.arange(GROUP)).ravel()
            outside = np.setdiff1d(wanted[wanted < len(order)], positions, assume_unique=False)
            positions = np.concatenate([positions, outside])
        return cls(order[positions], positions // GROUP, positions % GROUP, count, start)


def joined(parts: Sequence[BatchRows]) -> BatchRows:
    """Return the rows of consecutive batches as those of one: who comes out first, then the rest.

    A sample that is a partner in one batch and comes out in another stands there twice.
    """
    if len(parts) == 1:
        return parts[0]

    def column(name: str) -> Ids:
        columns = [getattr(part, name) for part in parts]
        own = [column[: part.count] for column, part in zip(columns, parts, strict=True)]
        rest = [column[part.count :] for column, part in zip(columns, parts, strict=True)]
        return np.concatenate(own + rest)

    count = sum(part.count for part in parts)
    return BatchRows(column("ids"), column("groups"), column("slots"), count, parts[0].first)


def _whole_groups(positions: Ids, length: int) -> bool:
    # The usual case: consecutive positions that begin and end between two groups.
    if not len(positions):
        return True
    first, end = int(positions[0]), int(positions[-1]) + 1
    return (
        first % GROUP == 0
        and (end % GROUP == 0 or end == length)
        and end - first == len(positions)
        and bool((np.diff(positions) == 1).all())
    )


def samples_of(ids: Ids) -> Ids:
    """Return the samples that ids stand for: what is left without the count of repetitions."""
    samples: Ids = ids & (2**SAMPLE_BITS - 1)
    return samples


def repeated(ids: Ids) -> Ids:
    """Return an order of sample ids in which each repetition of a sample has an id of its own.

    A sampler may give a sample twice in an epoch, as one that draws with replacement does; it is
    augmented again then.
    """
    places = np.argsort(ids, kind="stable")
    ordered = ids[places]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    if len(begins) == len(ids):
        return ids
    counts = np.arange(len(ids)) - np.repeat(begins, np.diff(begins, append=len(ids)))
    coded = np.empty_like(ids)
    coded[places] = ordered | (counts % (MAX_ID >> SAMPLE_BITS)) << SAMPLE_BITS
    return coded


def check_ids(ids: Any) -> Ids:
    """Return sample ids as int64 `[N]`, or raise if they are not integers in [0, 2**48)."""
    array = np.asarray(ids)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise InputTypeError(
            f"ids of dtype {array.dtype} and shape {array.shape} are not sample ids: "
            "give a vector of integers"
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < MAX_ID:
        raise InputError(
            f"ids from {array.min()} to {array.max()} are not in [0, 2**48): "
            "use the index of the sample in its dataset"
        )
    return np.ascontiguousarray(array, np.int64)

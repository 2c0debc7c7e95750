"""Which samples a plan is about, and the groups within which they mix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError

Ids = NDArray[np.int64]
GROUP_BITS = 3
GROUP = 1 << GROUP_BITS  # consecutive positions of an epoch's order that mix with each other
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
        return cls(*_placed(ids, places), len(ids))

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
            cut = np.unique(positions >> GROUP_BITS)
            wanted = (cut[:, None] * GROUP + np.arange(GROUP)).ravel()
            outside = np.setdiff1d(wanted[wanted < len(order)], positions, assume_unique=False)
            positions = np.concatenate([positions, outside])
        return cls(*_placed(order[positions], positions), count, start)


class OrderedRows(BatchRows):
    """The rows at positions side by side of an epoch's order, which are those of `BatchRows.at`.

    They are positions of the order, one or more. Nothing is made before it is asked for, so that
    batches which are made together become the rows of one at once.
    """

    __slots__ = ("_end", "_mixing", "_order")
    _end: int
    _mixing: bool
    _order: Ids

    @classmethod
    def between(cls, start: int, end: int, order: Ids, *, mixing: bool) -> "OrderedRows":
        """Return the rows from a position to before another."""
        made = cls.__new__(cls)
        for name, value in (("first", start), ("count", end - start), ("_end", end),
                            ("_order", order), ("_mixing", mixing)):  # fmt: skip
            object.__setattr__(made, name, value)
        return made

    def __len__(self) -> int:
        lead, tail = self._cut_off
        return self.count + self.first - lead + tail - self._end

    def __getattr__(self, name: str) -> Ids:
        # Only called for what is not there yet.
        if name not in ("ids", "groups", "slots"):
            raise AttributeError(f"rows have no {name!r}")
        order, start, end = self._order, self.first, self._end
        positions = np.arange(start, end, dtype=np.int64)
        if self.complete:
            ids = order[start:end].copy()
        else:
            lead, tail = self._cut_off
            outside = np.arange(lead, start), np.arange(end, tail)
            positions = np.concatenate([positions, *outside])
            ids = order[positions]
        for field, values in zip(("ids", "groups", "slots"), _placed(ids, positions), strict=True):
            object.__setattr__(self, field, values)
        found: Ids = getattr(self, name)
        return found

    @property
    def complete(self) -> bool:
        """Whether all rows come out: no group is cut off whose members have to be partners."""
        return len(self) == self.count

    @property
    def _cut_off(self) -> tuple[int, int]:
        # The first position of the first group, and that behind the last.
        if not self._mixing:
            return self.first, self._end
        return self.first & -GROUP, min(-(-self._end // GROUP) * GROUP, len(self._order))

    def followed_by(self, other: BatchRows) -> "OrderedRows | None":
        """Return both as one if the other's positions come next, None if they do not."""
        if not isinstance(other, OrderedRows) or other.first != self._end:
            return None
        if other._order is not self._order or not (self.complete and other.complete):
            return None
        return self.between(self.first, other._end, self._order, mixing=self._mixing)

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchRows, (self.ids, self.groups, self.slots, self.count, self.first)


def _placed(ids: Ids, positions: Ids) -> tuple[Ids, Ids, Ids]:
    return ids, positions >> GROUP_BITS, positions & (GROUP - 1)


def joined(parts: Sequence[BatchRows]) -> BatchRows:
    """Return the rows of consecutive batches as those of one: who comes out first, then the rest.

    A sample that is a partner in one batch and comes out in another stands there twice.
    """
    one = _side_by_side(parts)
    if one is not None:
        return one

    def column(name: str) -> Ids:
        columns = [getattr(part, name) for part in parts]
        own = [column[: part.count] for column, part in zip(columns, parts, strict=True)]
        rest = [column[part.count :] for column, part in zip(columns, parts, strict=True)]
        return np.concatenate(own + rest)

    count = sum(part.count for part in parts)
    return BatchRows(column("ids"), column("groups"), column("slots"), count, parts[0].first)


def _side_by_side(parts: Sequence[BatchRows]) -> BatchRows | None:
    one: BatchRows | None = parts[0]
    for part in parts[1:]:
        one = one.followed_by(part) if isinstance(one, OrderedRows) else None
    return one


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

"""Requests: which samples a batch is made of, and under which numbers they are augmented."""

import hashlib
import operator
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from augfeed.errors import InputIndexError, InputTypeError, StateError
from augfeed.plan import GROUP, BatchRows
from augfeed.plan.batch_rows import MAX_ID, SAMPLE_BITS, Ids, OrderedRows
from augfeed.read.order import batch_range, steps_per_epoch

Chunk = tuple[list[Any], bool, bool]  # indices, whether it is one alone, whether it comes out
Item = tuple[Any, int]  # an index, and the id under which it is augmented
Numbered = tuple[list[Item], bool, bool]
Ranges = tuple[tuple[int, int], ...]  # of positions, each from one to before another
TOP = 1 << SAMPLE_BITS
WORKER_BITS, COUNT_BITS = 10, 28  # of the 48 bits that name a sample of an iterable dataset


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One batch to make: `index` is what the sampler gave for each of `rows`, partners included;
    None where the ids of the rows say it.

    `begin` is its position in the epoch, over all ranks, and `end` that behind it; `check` a
    checksum of all indices up to it, where the order is a sampler's of which nothing is known.
    `single` marks a sample that comes alone (`batch_size=None`).
    """

    step: int
    epoch: int
    seed: int
    index: Any
    rows: BatchRows
    end: int
    check: int | None = None
    single: bool = False
    begin: int = -1


@dataclass(frozen=True, slots=True)
class Split:
    """How a known order is cut into batches, and into those of each rank."""

    batch_size: int
    drop_last: bool
    rank: int = 0
    world: int = 1

    def steps(self, length: int) -> int:
        """Return the number of batches of each rank in an epoch."""
        if not length:
            return 0
        return steps_per_epoch(length, self.batch_size, world=self.world, drop_last=self.drop_last)


@dataclass(frozen=True, slots=True)
class Pass:
    """What the requests of one pass have in common: key of the draws, where to begin, mixing.

    `length` is that of the dataset, if it has one; `numbered` says that only numbers name samples.
    """

    seed: int
    epoch: int
    position: int
    mixing: bool
    check: int | None = None
    length: int | None = None
    numbered: bool = False
    given: Ranges = ()


def known_tickets(order: Ids, split: Split, made: Pass) -> Iterator[BatchRequest]:
    """Yield the requests of one rank for an order that is known as a whole.

    Raises `StateError` where the position to begin at lies between two batches.
    """
    together = split.batch_size * split.world
    steps = split.steps(len(order))
    first = first_step(made.position, together, steps)
    for step in range(first, steps):
        begin, end = step * together, (step + 1) * together
        if was_given(begin, end, made.given):
            continue
        rows = rows_of(
            order, split.batch_size, step, rank=split.rank, world=split.world, mixing=made.mixing
        )
        yield BatchRequest(step, made.epoch, made.seed, None, rows, end, begin=begin)


def rows_of(
    order: Ids, batch_size: int, step: int, *, rank: int, world: int, mixing: bool
) -> BatchRows:
    """Return the rows of one batch of one rank, of a step of the epoch."""
    first, end = batch_range(len(order), batch_size, step, rank=rank, world=world)
    if first < end <= len(order):
        return OrderedRows.between(first, end, order, mixing=mixing)
    return BatchRows.at(np.arange(first, end, dtype=np.int64) % len(order), order, mixing=mixing)


def first_step(position: int, together: int, steps: int) -> int:
    """Return the step that begins at a position; raise `StateError` if none does."""
    if position % together or position // together > steps:
        raise StateError(
            f"position={position!r} is not between two of this loader's batches of {together}: "
            "use a batch size times number of ranks that divides it"
        )
    return position // together


def batches_of(sampler: Iterable[Any], batch_size: int, *, drop_last: bool) -> Iterator[Chunk]:
    """Yield indices as torch's BatchSampler would cut them.

    Indices that it would drop are still partners of the last samples that come out.
    """
    indices = iter(sampler)
    while chunk := list(islice(indices, batch_size)):
        yield chunk, False, len(chunk) == batch_size or not drop_last


def given_batches(batches: Iterable[Any], *, batched: bool) -> Iterator[Chunk]:
    """Yield each batch of a batch sampler, or each index of a sampler.

    Raises `InputIndexError` for a batch without indices, as torch's collate function does.
    """
    for step, batch in enumerate(batches):
        indices, single = listed(batch, batched=batched)
        if not indices:
            raise InputIndexError(
                f"batch {step} of the {'batch sampler' if batched else 'sampler'} is {batch!r}, "
                "which names no sample: leave out such batches"
            )
        yield indices, single, True


def stream_tickets(chunks: Iterator[Chunk], made: Pass) -> Iterator[BatchRequest]:
    """Yield requests for indices that come from a sampler of which nothing is known.

    Mixing groups are runs of the indices as they come, so the sampler is asked for as much of the
    next batch as the last group of this one needs.
    """
    stream = _Stream(chunks, made)
    position, step, check, before = 0, 0, 0, list[Item]()
    while (given := stream.next()) is not None:
        own, single, emitted = given
        end, passed, check = (
            position + len(own),
            check,
            checksum([index for index, _ in own], check),
        )
        if emitted and position >= made.position:
            if position == made.position:
                check_order(made.check, passed, position)
            if not was_given(position, end, made.given):
                rows, index = _rows(own, before, stream if made.mixing else None, position)
                whole = index[0] if single and len(index) == 1 else index
                yield BatchRequest(
                    step, made.epoch, made.seed, whole, rows, end, check, single, position
                )
        elif emitted:
            check_border(made.position, position, end)
        before = (before + own)[-GROUP:]
        position, step = end, step + 1


class _Stream:
    """Chunks of indices with their ids; the next can be looked at before it is taken."""

    def __init__(self, chunks: Iterator[Chunk], made: Pass) -> None:
        self._chunks, self._ahead = chunks, deque[Numbered]()
        self._made = made
        self._times: Counter[int] = Counter()

    def next(self) -> Numbered | None:
        """Return the next chunk, None at the end."""
        return self._ahead.popleft() if self._ahead else self._pull()

    def peek(self, count: int) -> list[Item]:
        """Return the next `count` indices, or all that are left."""
        seen: list[Item] = []
        for own, _, _ in self._ahead:
            seen += own
        while len(seen) < count and (given := self._pull()) is not None:
            self._ahead.append(given)
            seen += given[0]
        return seen[:count]

    def _pull(self) -> Numbered | None:
        given = next(self._chunks, None)
        if given is None:
            return None
        own, single, emitted = given
        ids = []
        length = self._made.length
        if self._made.numbered and length is not None:
            check_numbers(own, length)
        for number in ids_of(own, length).tolist():
            # As `augfeed.plan.batch_rows.repeated` does for an order that is known.
            ids.append(number | (self._times[number] % (MAX_ID >> SAMPLE_BITS)) << SAMPLE_BITS)
            self._times[number] += 1
        return list(zip(own, ids, strict=True)), single, emitted


def _rows(
    own: list[Item], before: list[Item], stream: _Stream | None, position: int
) -> tuple[BatchRows, list[Any]]:
    end = position + len(own)
    lead, tail = list[Item](), list[Item]()
    if stream is not None and own:  # partners
        lead = before[-(position % GROUP) :] if position % GROUP else []
        tail = stream.peek(-end % GROUP)
    items = [*own, *lead, *tail]
    positions = np.array(
        [*range(position, end), *range(position - len(lead), position),
         *range(end, end + len(tail))], np.int64,
    )  # fmt: skip
    ids = np.array([number for _, number in items], np.int64)
    rows = BatchRows(ids, positions // GROUP, positions % GROUP, len(own), position)
    return rows, [index for index, _ in items]


def check_border(begin: int, position: int, end: int) -> None:
    """Raise `StateError` if a pass would begin inside the batch from `position` to `end`."""
    if position < begin < end:
        raise StateError(
            f"position={begin!r} is not between two batches, one of which goes from {position} to "
            f"{end}: use the batch size that the state was taken with"
        )


def was_given(begin: int, end: int, given: Ranges) -> bool:
    """Return whether a batch is among those given; raise `StateError` if a part of it is."""
    for first, last in given:
        check_border(first, begin, end)
        check_border(last, begin, end)
        if first <= begin < last:
            return True
    return False


def check_order(wanted: int | None, check: int, position: int) -> None:
    """Raise `StateError` unless the indices before a position are those of the state."""
    if wanted is not None and wanted != check:
        raise StateError(
            f"the sampler gives another order than when the state was taken (position {position}): "
            "give it a generator=, whose state is kept, or restore it before the loader goes on"
        )


def listed(chunk: Any, *, batched: bool) -> tuple[list[Any], bool]:
    """Return the indices of a batch, and whether it is one index alone.

    Without automatic batching a list, or an array, is a batch of indices; a tuple is a key.
    """
    if batched or isinstance(chunk, list | np.ndarray):
        return list(chunk), False
    return [chunk], True


def checksum(index: list[Any], before: int) -> int:
    """Return the CRC-32 of indices, going on from that of those before them."""
    plain = [i if isinstance(i, int) else repr(i) for i in map(_number, index)]
    return zlib.crc32(repr(plain).encode(), before)


def _number(index: Any) -> Any:
    try:
        return int(index)
    except (TypeError, ValueError):
        return index


def check_numbers(index: Sequence[Any], length: int) -> None:
    """Raise `InputTypeError` or `InputIndexError` for an index of none of `length` samples."""
    for item in index:
        try:
            number = operator.index(item)
        except TypeError:
            raise InputTypeError(
                f"the sampler gives index {item!r}, which is not a whole number: this dataset is "
                "asked for samples by their numbers"
            ) from None
        if not -length <= number < length:
            raise InputIndexError(
                f"the sampler gives index {number}, and the dataset has {length} samples: give "
                f"numbers in [{-length}, {length})"
            )


def ids_of(index: Sequence[Any], length: int | None = None) -> Ids:
    """Return sample ids int64 `[N]` for indices: themselves, or a hash of keys that are not number.

    Numbers below 0 count from the end of a dataset whose `length` is known. Keys (strings, tuples)
    are named by 36 bits of the SHA-256 of their `repr`.
    """
    if all(type(item) is int and 0 <= item < TOP for item in index):
        return np.array(index, np.int64)
    return np.array([_id(item, length or 0) for item in index], np.int64)


def _id(item: Any, length: int) -> int:
    number: Any = item if isinstance(item, str | bytes) else _number(item)
    if isinstance(number, int) and -length <= number < 0:
        number += length
    if isinstance(number, int) and 0 <= number < TOP:
        return int(number)
    digest = hashlib.sha256(repr(number).encode()).digest()
    return int.from_bytes(digest[:6], "big") % TOP


def iterable_ids(rank: int, worker: int, first: int, count: int) -> Ids:
    """Return the ids of samples that have no index: rank, worker and how many it gave before."""
    begin = ((rank << WORKER_BITS | worker) << COUNT_BITS) + first
    return np.arange(begin, begin + count, dtype=np.int64) % MAX_ID

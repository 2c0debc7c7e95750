"""The order of an epoch, and its share for every step and rank: pure functions."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.philox import Stream, check_key
from augfeed.plan.repeats import Repeats
from augfeed.whole_number import whole_number

Positions = NDArray[np.int64]
ONCE = Repeats()


@dataclass(frozen=True, slots=True)
class Order:
    """How an epoch is cut into batches: a pure function of its length, the seed and the epoch."""

    batch_size: int = 1
    shuffle: bool = False
    drop_last: bool = False
    rank: int = 0
    world: int = 1
    repeats: Repeats = ONCE

    def steps(self, length: int) -> int:
        """Return the number of batches of an epoch of `length` samples, for each rank."""
        return steps_per_epoch(length, self.batch_size, world=self.world, drop_last=self.drop_last)

    def positions(self, length: int, step: int) -> Positions:
        """Return the positions of a batch in `ids`."""
        return batch_positions(
            length, batch_size=self.batch_size, step=step, rank=self.rank, world=self.world,
            drop_last=self.drop_last,
        )  # fmt: skip

    def ids(
        self, orders: "Orders", length: int, *, seed: int, epoch: int, mixing: bool
    ) -> Positions:
        """Return the ids of an epoch's samples in their order, repeats included."""
        return orders.get(length, seed=seed, epoch=epoch, shuffle=self.shuffle,
                          repeats=self.repeats,
                          sources=self.sources(length, mixing=mixing))  # fmt: skip

    def sources(self, length: int, *, mixing: bool) -> int:
        """Return how many samples stand side by side before they are repeated; raise `InputError`
        where batches do not hold whole repeats."""
        repeats = self.repeats
        if repeats.count == 1:
            return 1
        return repeats.sources(self.batch_size, self.world, mixing=mixing, length=length)


def epoch_order(length: int, *, seed: int, epoch: int, shuffle: bool) -> Positions:
    """Return the sample ids of an epoch in their order, int64 `[length]`.

    Shuffled, every order is equally likely, and `seed` and `epoch` alone decide which: each sample
    has a random key of 64 bits, and the keys are sorted. Raises `InputError` for a bad argument.
    """
    length = whole_number("length", length, 1)
    check_key(seed, epoch)
    ids = np.arange(length, dtype=np.int64)
    if not shuffle:
        return ids
    from augfeed.kernels.sort_keys import fill_keys, fill_order

    keys, order = np.empty(length, np.uint64), np.empty(length, np.int64)
    fill_keys(np.uint64(seed), epoch, int(Stream.ORDER), ids, keys)
    fill_order(keys, order)
    return order


class Orders:
    """The newest orders of epochs, which every batch of an epoch needs; for several threads.

    At most `limit` bytes of them are kept, and the newest in any case; None keeps that one alone.
    """

    def __init__(self, limit: int | None = None) -> None:
        """Keep nothing yet."""
        self.limit, self.nbytes = limit, 0
        self._kept: OrderedDict[tuple[Any, ...], Positions] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, length: int, *, seed: int, epoch: int, shuffle: bool, repeats: Repeats = ONCE,
        sources: int = 1,
    ) -> Positions:  # fmt: skip
        """Return `epoch_order`, with `repeats` of runs of `sources` samples.

        One at a time is made, in three times the bytes that it has, or six with repeats.
        """
        key = (length, seed if shuffle else 0, epoch if shuffle else 0, shuffle, repeats.count,
               sources)  # fmt: skip
        with self._lock:
            if (found := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return found
            made = epoch_order(length, seed=seed, epoch=epoch, shuffle=shuffle)
            made = repeats.order(made, sources)
            self._kept[key], self.nbytes = made, self.nbytes + made.nbytes
            while len(self._kept) > 1 and self.nbytes > (self.limit or 0):
                _, old = self._kept.popitem(last=False)
                self.nbytes -= old.nbytes
            return made

    def __reduce__(self) -> tuple[type["Orders"], tuple[int | None]]:
        return Orders, (self.limit,)  # a copy, in another process too, starts without any


def steps_per_epoch(
    length: int, batch_size: int, *, world: int = 1, drop_last: bool = False
) -> int:
    """Return how many batches every one of `world` ranks gets in an epoch of `length` samples."""
    length, together = whole_number("length", length, 1), _together(batch_size, world)
    return length // together if drop_last else -(-length // together)


def batch_positions(
    length: int,
    *,
    batch_size: int,
    step: int,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = False,
) -> Positions:
    """Return the positions in the epoch's order of one batch of one rank, int64 `[<= batch_size]`.

    The ranks of a step take consecutive slices of the order, of `batch_size` each. What is left at
    the end (without `drop_last`) is shared out evenly, and filled up from the start of the order
    with fewer than `world` positions; so all ranks have equal batches, and as many.
    Raises `InputError` for a bad argument, such as a step beyond the epoch.
    """
    steps = steps_per_epoch(length, batch_size, world=world, drop_last=drop_last)
    step, rank = whole_number("step", step, 0), whole_number("rank", rank, 0)
    if rank >= world:
        raise InputError(f"rank={rank!r} is not below world={world!r}: ranks count from 0")
    if step >= steps:
        cure = "reduce batch_size, or use drop_last=False" if not steps else "begin the next epoch"
        raise InputError(
            f"step={step!r} is not below {steps}, the steps of an epoch of {length} samples "
            f"with batch_size={batch_size!r}, world={world!r}, drop_last={drop_last!r}: {cure}"
        )
    first, end = batch_range(length, batch_size, step, rank=rank, world=world)
    return np.arange(first, end, dtype=np.int64) % length


def batch_range(
    length: int, batch_size: int, step: int, *, rank: int = 0, world: int = 1
) -> tuple[int, int]:
    """Return the first of `batch_positions`, and that behind the last, of a step of the epoch.

    Positions from `length` on stand for those from the start of the order.
    """
    begin = step * batch_size * world
    share = min(batch_size, -(-(length - begin) // world))
    first = begin + rank * share
    return first, first + share


def _together(batch_size: int, world: int) -> int:
    return whole_number("batch_size", batch_size, 1) * whole_number("world", world, 1)

"""Repeated augmentation: samples that come several times in an epoch, each time augmented again."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from augfeed.errors import InputError, InputTypeError
from augfeed.plan.batch_rows import GROUP, MAX_ID, SAMPLE_BITS, Ids
from augfeed.whole_number import whole_number

Over = Literal["batch", "ranks"]
MOST = MAX_ID >> SAMPLE_BITS


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a sample comes: `count` times, in one batch or spread over the ranks of a step.

    An epoch keeps its number of images, and has 1 / `count` of the samples, as timm's
    `RepeatAugSampler` (2105.13343, batch augmentation 1901.09335).
    """

    count: int = 1
    over: Over = "batch"

    @classmethod
    def of(cls, given: Any) -> "Repeats":
        """Return what `repeats=` says: a number, or a pair of it and "batch" or "ranks"."""
        over: Any
        count, over = given if isinstance(given, tuple) and len(given) == 2 else (given, "batch")
        if over not in ("batch", "ranks"):
            raise InputError(f"repeats={given!r}: {over!r} is unknown: use 'batch', or 'ranks'")
        count = whole_number("repeats", count, 1)
        if count > MOST:
            raise InputError(f"repeats={count!r} is above {MOST}: repeat samples less often")
        return cls(count, over)

    def check(self, *, owned: bool, batch_size: int | None, mixing: bool) -> None:
        """Raise unless the loader has an order of its own, and batches that hold repeats."""
        if self.count == 1:
            return
        if not owned:
            raise InputTypeError(
                f"repeats={self.count!r} change the order of an epoch, which a sampler, or an "
                "iterable dataset, of the caller's decides: leave sampler out, or repeat there"
            )
        if batch_size is None:
            raise InputError(f"repeats={self.count!r} need batches: give a batch_size")
        if self.over == "batch":
            self.sources(batch_size, 1, mixing=mixing)

    def sources(self, batch_size: int, world: int, *, mixing: bool, length: int = 1 << 62) -> int:
        """Return how many samples stand side by side before they come again.

        Raises `InputError` where batches do not hold whole repeats, or where a sample would be its
        own partner in mixing.
        """
        images = batch_size * (world if self.over == "ranks" else 1)
        name = f"batch_size={batch_size!r}" + (
            f" times {world} ranks" if images > batch_size else ""
        )
        if images % self.count:
            raise InputError(
                f"{name} is not a multiple of repeats={self.count!r}: use "
                f"{images + -images % self.count}"
            )
        sources = min(images // self.count, length)
        if mixing and sources < GROUP:
            raise InputError(
                f"{name} holds {sources} samples {self.count} times, and mixing takes partners of "
                f"{GROUP} that are not alike: use {GROUP * self.count} images or more"
            )
        return sources

    def named(self, shuffle: str | bool, batch_size: int, world: int) -> str | bool:
        """Return how the order of an epoch is named in states: with repeats it depends on how it
        is cut."""
        if self.count == 1:
            return shuffle
        images = batch_size * (world if self.over == "ranks" else 1)
        return f"{shuffle}, {self.count} repeats in {images} images"

    def order(self, order: Ids, sources: int) -> Ids:
        """Return as many ids as `order` has: runs of `sources` samples, each `count` times.

        Each repetition of a sample has an id, and thereby draws, of its own.
        """
        if self.count == 1 or not len(order):
            return order
        runs, within = np.divmod(np.arange(len(order)), sources * self.count)
        made: Ids = order[runs * sources + within % sources]
        made |= within // sources << SAMPLE_BITS  # as `augfeed.plan.batch_rows.repeated`
        return made

"""Parts of a dataset: which samples each class gives to them, and whether that is enough."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.philox import Stream, words
from augfeed.read.sources import Source

Ids = NDArray[np.int64]
MOST_PICTURES = 10_000  # of a class; where more are needed for a share, that is not advised


def class_numbers(source: Source) -> Ids:
    """Return the labels of a source; raise `InputError` unless they are class numbers."""
    labels = source.labels
    if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{source!r} has no class numbers, and the trainer trains classifiers: give labels"
        )
    numbers: Ids = labels.astype(np.int64)
    if len(numbers) and numbers.min() < 0:
        raise InputError(
            f"{source!r} has the label {numbers.min()}, which is not a class: classes count from 0"
        )
    return numbers


def split(labels: Ids, share: float, seed: int) -> tuple[Ids, Ids]:
    """Return sample numbers, those left and those held out: `share` of each class, rounded.

    Which ones is a function of `seed`; each class keeps one sample at least. Both are in order.
    """
    ids = np.arange(len(labels), dtype=np.int64)
    drawn = words(seed, 0, ids, [(int(Stream.SPLIT), 0)])[0, 0]
    held = []
    for label in np.unique(labels):
        members = ids[labels == label]
        count = held_out_count(share, len(members))
        held.append(members[np.argsort(drawn[members], kind="stable")[:count]])
    out = np.sort(np.concatenate(held)) if held else ids[:0]
    return np.setdiff1d(ids, out), out


def held_out_count(share: float, count: int) -> int:
    """Return how many of the `count` samples of a class a share of it holds out."""
    return min(round(share * count), count - 1)


@dataclass(frozen=True, slots=True)
class Shares:
    """What is held out of each class: `test`, unless the data bring a test part, and `validation`
    of what is left."""

    validation: float
    test: float | None

    def __post_init__(self) -> None:
        """Check both."""
        for option, share in (("validation", self.validation), ("test", self.test)):
            if share is not None and not 0 < share < 1:
                raise InputError(f"{option}={share!r} is not in (0, 1): give a share of the data")

    def held_out(self, count: int) -> tuple[int, int]:
        """Return how many samples of a class of `count` go to the test and the validation part."""
        test = 0 if self.test is None else held_out_count(self.test, count)
        return test, held_out_count(self.validation, count - test)

    def check(self, title: str, labels: Ids) -> None:
        """Raise `InputError`, with a cure, where a part would be empty, or there is one class."""
        classes, counts = np.unique(labels, return_counts=True)
        if len(classes) < 2:
            has = f"the class {classes[0]} alone" if len(classes) else "no images"
            raise InputError(f"{title} has {has}: give images of 2 classes or more")
        held = np.array([self.held_out(int(count)) for count in np.unique(counts)]).sum(axis=0)
        empty = [name for name, count, share in
                 (("test", held[0], self.test), ("validation", held[1], self.validation))
                 if share is not None and not count]  # fmt: skip
        if empty:
            told = " part and the ".join(empty) + (" part are" if len(empty) > 1 else " part is")
            raise InputError(
                f"{title} has {len(labels):,} images in {len(classes):,} classes, at most "
                f"{counts.max()} in one: of shares of each class, rounded, {self._told()}, the "
                f"{told} empty: {self._cure(int(counts.max()), empty)}"
            )

    def _told(self) -> str:
        test = "" if self.test is None else f"test={self.test!r} and "
        return f"{test}validation={self.validation!r}"

    def _cure(self, most: int, empty: list[str]) -> str:
        counts = range(2, MOST_PICTURES)
        least = 0 if self.test is None else 1
        fewest = next((n for n in counts if (out := self.held_out(n))[0] >= least and out[1]), None)
        cures = [f"give {fewest or 'more'} images or more of a class"]
        left = most - self.held_out(most)[0]
        if empty == ["validation"] and left > 1:
            cures.insert(0, f"give validation={math.floor(50 / left) / 100 + 0.01:.2f} or more")
        if "test" in empty:
            cures.append("give data with a test part of their own (idx files, .npz)")
        return ", or ".join(cures)

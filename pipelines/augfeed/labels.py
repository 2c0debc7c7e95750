"""What labels may be, in whatever lane they come: numbers, columns of them, shares and flags."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError


def as_column(labels: torch.Tensor) -> torch.Tensor:
    """Return class numbers that come as a column `[N, 1]` as `[N]`, other labels as they are."""
    column = labels.ndim == 2 and labels.shape[1] == 1 and not labels.is_floating_point()
    return labels[:, 0] if column else labels


def check_declared(labels: Any, num_classes: int | None) -> None:
    """Raise `InputError` for labels that `num_classes=` has no room for.

    Class numbers may be below it, rows as wide as it; of anything else nothing is known.
    """
    if num_classes is None or not isinstance(labels, torch.Tensor | np.ndarray | int):
        return
    given = as_column(torch.as_tensor(labels))
    if given.ndim < 2 and given.numel() and not given.is_floating_point():
        highest = int(given.max())
        if highest >= num_classes:
            raise InputError(
                f"label {highest} is not in [0, {num_classes}), as num_classes={num_classes!r} "
                "says: give one above the largest label"
            )
    elif given.ndim == 2:
        check_width(given, num_classes)


def check_numbers(labels: Any) -> None:
    """Raise `InputError` for a class number of a whole dataset that is below 0."""
    if labels is not None and labels.ndim == 1 and labels.dtype.kind == "i" and labels.min() < 0:
        row = int(labels.argmin())
        raise InputError(
            f"labels[{row}]={labels[row]} is negative, and shares are to be made of labels: class "
            "numbers count from 0; leave such samples out, or what mixes and smooths"
        )


def one_each(flags: torch.Tensor) -> bool:
    """Return whether every row of flags `[M, K]` has exactly one set."""
    return bool((flags.sum(dim=1) == 1).all())


def check_width(given: torch.Tensor, num_classes: int | None) -> None:
    """Raise `InputError` for rows `[N, K]` of another width than `num_classes`."""
    if num_classes is not None and given.shape[1] != num_classes:
        raise InputError(
            f"labels of shape {tuple(given.shape)} have {given.shape[1]} classes and "
            f"num_classes={num_classes!r}: give the same number"
        )


def check_classes(
    labels: torch.Tensor, ids: NDArray[np.int64], num_classes: int | None, *, low: int
) -> torch.Tensor:
    """Return class numbers int64 `[M]` of samples; raise `InputError` for one that is below `low`,
    or has no room in `num_classes`. On a device it is the device that says so, later."""
    top = 2**63 if num_classes is None else num_classes
    if labels.device.type != "cpu":
        torch._assert_async(
            ((labels >= low) & (labels <= top - 1)).all(),
            f"a label is not in [{low}, {top}), as num_classes={num_classes!r} says",
        )
        return labels
    numbers = labels.numpy()
    if not len(numbers) or (numbers.min() >= low and numbers.max() < top):
        return labels
    row = int(np.flatnonzero((numbers < low) | (numbers > top - 1))[0])
    bound = "at least 0" if num_classes is None else f"in [0, {num_classes})"
    raise InputError(
        f"label {numbers[row]} of row {row} (sample {ids[row]}) is not {bound}: "
        "number the classes from 0 and give num_classes=..., one above the largest"
    )


def check_rows(wrong: torch.Tensor, values: torch.Tensor, ids: NDArray[np.int64], why: str) -> None:
    """Raise `InputError` with `why` for the first row of labels `[M, K]` that is wrong."""
    if wrong.device.type != "cpu":
        torch._assert_async(~wrong.any(), f"a row of labels {why}")
        return
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        shown = [round(value, 4) for value in values[row][:6].tolist()]
        raise InputError(f"label {shown!r} of row {row} (sample {ids[row]}) {why}")


class Flags:
    """Whether the flags of a dataset stand for one class or for several, as far as was seen.

    That is a matter of the whole dataset, which only its batches show: one row with several is
    enough, and then no row before may have been taken for shares.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.several: bool | None = None

    def see(self, labels: Any) -> bool | None:
        """Return whether labels stand for several classes; None for what is not a flags."""
        flags = isinstance(labels, torch.Tensor) and as_column(labels).ndim == 2
        if not flags or labels.is_floating_point():
            return None
        self.several = not one_each(labels) if self.several is None else self.several
        return self.several

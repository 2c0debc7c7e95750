"""What labels may be, in whatever lane they come: numbers, columns of them, shares and flags."""

from typing import Any

import numpy as np
import torch

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

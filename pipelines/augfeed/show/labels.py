"""Labels in words: the share of every class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from augfeed.targets import Targets

HARDLY = 1e-6


@dataclass(frozen=True, slots=True)
class Share:
    """What one class has of a label; `count` classes that label smoothing alone gives `share`."""

    name: str
    share: float
    count: int = 1


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """Return the name of a class, or its number in words."""
    return classes[label] if classes is not None else f"class {label}"


def shares_of(targets: Any, row: int, classes: Sequence[str] | None) -> tuple[Share, ...]:
    """Return the classes that one row of targets is about, the largest share first.

    Classes that only label smoothing gives a share come last, as one. None gives nothing, and
    numbers that are no classes give themselves.
    """
    if targets is None:
        return ()
    if isinstance(targets, Targets):
        hard = targets.hard and targets.a.ndim == 1
        targets = targets.a if hard else targets.dense()
    value = targets[row].cpu()
    if value.ndim == 0:
        if value.is_floating_point():
            return (Share(f"{value.item():g}", 1.0),)
        return (Share(class_name(int(value), classes), 1.0),)
    return _dense_shares(value.to(torch.float64), classes)


def share_parts(shares: Sequence[Share], digits: int = 2) -> list[str]:
    """Return shares as text, one part each; a class that has it all is just named."""
    if not shares:
        return ["no label"]
    if len(shares) == 1 and abs(shares[0].share - 1) < HARDLY:
        return [shares[0].name]
    return [_part(share, digits) for share in shares]


def share_text(shares: Sequence[Share], digits: int = 2) -> str:
    """Return shares as one line, as `shirt 0.71 + bag 0.29`."""
    return " + ".join(share_parts(shares, digits))


def _dense_shares(values: torch.Tensor, classes: Sequence[str] | None) -> tuple[Share, ...]:
    floor = float(values.min())
    named = [k for k in range(len(values)) if float(values[k]) > floor + HARDLY]
    named.sort(key=lambda k: (-float(values[k]), k))
    shares = [Share(class_name(k, classes), float(values[k])) for k in named]
    if len(named) < len(values) and floor > HARDLY:
        shares.append(Share("", floor, len(values) - len(named)))
    return tuple(shares)


def _part(share: Share, digits: int) -> str:
    if share.name:
        return f"{share.name} {share.share:.{digits}f}"
    if digits <= 2:
        return f"rest {share.share * share.count:.{digits}f}"
    return f"{share.count} others {share.share:.{digits}f} each"

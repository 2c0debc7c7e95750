"""Labels in words: the share of every class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from augfeed.batch import Batch
from augfeed.plan import Plan
from augfeed.policy import LabelSmoothing
from augfeed.targets import Targets

HARDLY = 1e-6


@dataclass(frozen=True, slots=True)
class Share:
    """What one class has of a label; without a name, what each of `count` classes has that only
    label smoothing gives anything to."""

    name: str
    share: float
    count: int = 1


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """Return the name of a class, or its number in words; a name of digits alone is quoted."""
    if classes is None or label < 0:
        return f"class {label}"
    name = classes[label]
    return repr(name) if name.isdigit() else name


def batch_shares(batch: Batch, row: int, classes: Sequence[str] | None) -> tuple[Share, ...]:
    """Return the classes that the label of one row of a batch is about; see `shares_of`."""
    return targets_shares(batch.targets, batch.plan, classes, row)


def targets_shares(
    targets: Any, plan: Plan, classes: Sequence[str] | None, row: int = 0
) -> tuple[Share, ...]:
    """Return the classes that the label of one row of a plan is about; see `shares_of`."""
    smoothing = plan.policy.find(LabelSmoothing)
    epsilon = smoothing.epsilon if smoothing else 0.0
    return shares_of(targets, row, classes, epsilon=epsilon)


def shares_of(
    targets: Any, row: int, classes: Sequence[str] | None, *, epsilon: float = 0.0
) -> tuple[Share, ...]:
    """Return the classes that one row of targets is about, the largest share first.

    Classes that only a label smoothing by `epsilon` gives a share come last, as one. None gives
    nothing, and numbers that are not classes give themselves.
    """
    if targets is None:
        return ()
    if isinstance(targets, Targets):
        hard = targets.hard and targets.a.ndim == 1
        targets = targets.a if hard else targets.dense()
    value = targets[row].cpu()
    if value.ndim:
        return _dense_shares([float(share) for share in value], classes, epsilon)
    if value.is_floating_point():
        return (Share(f"{value.item():g}", 1.0),)
    return (Share(class_name(int(value), classes), 1.0),)


def share_parts(shares: Sequence[Share]) -> list[str]:
    """Return shares with two digits, one part each; a class that has it all is just named.

    They are rounded so that their sum is right, and those that round to 0 are left out.
    """
    if not shares:
        return ["no label"]
    if len(shares) == 1 and abs(shares[0].share - 1) < HARDLY:
        return [shares[0].name]
    wholes = [100 * share.share * share.count for share in shares]
    floors = [int(whole + HARDLY) for whole in wholes]
    left = round(sum(wholes)) - sum(floors)
    by_rest = sorted(range(len(wholes)), key=lambda k: round(floors[k] - wholes[k], 4))
    for k in by_rest[:left]:
        floors[k] += 1
    return [
        f"{share.name or 'rest'} {whole / 100:.2f}"
        for share, whole in zip(shares, floors, strict=True)
        if whole
    ]


def share_text(shares: Sequence[Share]) -> str:
    """Return shares with three digits as one line, as `shirt 0.712 + bag 0.288`."""
    if not shares or (len(shares) == 1 and abs(shares[0].share - 1) < HARDLY):
        return share_parts(shares)[0]
    return " + ".join(
        f"{share.name} {share.share:.3f}" if share.name
        else f"{share.count} others {share.share:.3f} each"
        for share in shares
    )  # fmt: skip


def _dense_shares(
    given: Sequence[float], classes: Sequence[str] | None, epsilon: float
) -> tuple[Share, ...]:
    level = epsilon / len(given)
    named = [k for k, share in enumerate(given) if share > level + HARDLY]
    rest = len(given) - len(named)
    if level and rest == 1:
        named, rest = list(range(len(given))), 0
    named.sort(key=lambda k: (-given[k], k))
    shares = [Share(class_name(k, classes), given[k]) for k in named]
    if level and rest:
        shares.append(Share("", level, rest))
    return tuple(shares)

"""Automatic policies within the bounds of a dataset."""

from collections.abc import Iterator
from typing import Any

from augfeed.notation import format_policy
from augfeed.policy import Policy, TrivialAugmentWide
from augfeed.policy.check import findings
from augfeed_trainer.data import Data

RAND = ((1, 5), (2, 5), (2, 9), (2, 14))  # steps and bin of magnitude, of 31


def automatic(data: Data, size: tuple[int, int]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the name of each automatic policy and its strengths, a label and a text each.

    TrivialAugment loses what breaks a rule of the data: angles above the largest, steps that are
    too strong. RandAugment and AutoAugment have no bounds of their own: those that break a rule
    are refused later, with the reason.
    """
    trivial = bounded(TrivialAugmentWide(), data.name, size)
    if trivial is not None:
        yield "TrivialAugment", [("", format_policy(Policy([trivial])))]
    yield "RandAugment", [(f"{count}, {bin_}", f"rand_augment({count}, {bin_})")
                          for count, bin_ in RAND]  # fmt: skip
    tables = ("imagenet", "cifar10", "svhn")
    yield "AutoAugment", [(name, f'auto_augment("{name}")') for name in tables]


def bounded(
    made: TrivialAugmentWide, name: str | None, size: tuple[int, int]
) -> TrivialAugmentWide | None:
    """Return TrivialAugment without the steps that break a rule of the data called `name`.

    None where no step is left but that which does nothing.
    """
    if name is None:
        return made
    while True:
        broken = [item for item in findings(Policy([made]), name, source=size) if item.ok is False]
        if not broken:
            return made
        changes = _cured(made, broken)
        if changes is None:
            return None
        made = changes


def _cured(made: TrivialAugmentWide, broken: list[Any]) -> TrivialAugmentWide | None:
    without, turn = set(made.without), made.max_rotation
    for item in broken:
        if item.parameter == "max_rotation" and item.passing:
            turn = min(turn, float(item.passing))
        else:
            without.add("rotate" if item.parameter == "max_rotation" else item.parameter)
    if len(without) > 13 - 1:
        return None
    return TrivialAugmentWide(bins=made.bins, max_rotation=turn, without=tuple(sorted(without)))

"""Whether fields can follow what a policy does to its images."""

from augfeed.errors import InputError
from augfeed.operation import Geometry, Mixing, Window
from augfeed.policy import CutMix, Mixup, OneOf, Policy


def check_moves(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy moves pixels in a way that fields cannot follow."""
    for item in policy.operations:
        if item.moves and item.chance and not isinstance(item, Window | Geometry | Mixing):
            raise InputError(
                f"{item.op!r} moves pixels in a way that {shown} cannot follow: leave it out, or "
                "declare the field as 'passive' if it may stay as it is"
            )


def check_unmixed(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy mixes images, which has no meaning for some fields."""
    if any(isinstance(item, Mixup | CutMix | OneOf) for item in policy.operations):
        raise InputError(
            f"mixing has no meaning for {shown}: leave mixup and cutmix out, or declare the field "
            "as 'passive'"
        )


def blends(policy: Policy) -> bool:
    """Return whether a policy has Mixup, alone or as a choice."""
    items = [*policy.operations]
    for item in policy.operations:
        items += item.operations if isinstance(item, OneOf) else ()
    return any(isinstance(item, Mixup) for item in items)

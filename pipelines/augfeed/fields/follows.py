"""Whether fields can follow what a policy does to its images."""

from augfeed.errors import InputError
from augfeed.operation.kinds import moves_by_matrix
from augfeed.policy import Mixup, OneOf, Policy


def check_moves(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy moves pixels in a way that fields cannot follow."""
    for item in policy.operations:
        if item.moves and item.chance and not moves_by_matrix(item):
            raise InputError(
                f"{item.op!r} moves pixels in a way that {shown} cannot follow: leave it out, or "
                "declare the field as 'passive' if it may stay as it is"
            )


def check_unmixed(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy mixes images, which has no meaning for some fields."""
    if policy.mixer is not None:
        raise InputError(
            f"mixing has no meaning for {shown}: leave mixup and cutmix out, or declare the field "
            "as 'passive'"
        )


def check_unblended(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy blends images, which has no meaning for dense values."""
    if blends(policy):
        raise InputError(
            f"a blend of images has no meaning for {shown}: leave mixup out, or declare the field "
            "as 'passive'"
        )


def blends(policy: Policy) -> bool:
    """Return whether a policy has Mixup, alone or as a choice."""
    mixer = policy.mixer
    items = mixer.mixers if isinstance(mixer, OneOf) else (mixer,)
    return any(isinstance(item, Mixup) for item in items)

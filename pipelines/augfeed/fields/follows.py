"""Whether fields can follow what a policy does to its images."""

from typing import Any

from augfeed.errors import InputError
from augfeed.fields.kinds import Boxes, Dense, Field, Keypoints, Mask
from augfeed.fields.sample_parts import Path
from augfeed.operation.kinds import displaces, moves_by_plan
from augfeed.operation.kornia_effects import followed
from augfeed.operation.program import parts_of
from augfeed.operation.program_effects import moves_in_chains
from augfeed.ops.aug_mix import AugMix, still
from augfeed.ops.timm import Timm
from augfeed.plan.box_windows import by_boxes
from augfeed.policy import Kornia, Mixup, OneOf, Policy, nested

_TURNING = ("rotate", "shear", "shear_x", "shear_y", "perspective")


def check_moves(policy: Policy, shown: str, stay: str = "") -> None:
    """Raise `InputError` if a policy moves pixels in a way that fields cannot follow.

    `shown` names the fields, `stay` says how else they may be kept.
    """
    for item in policy.operations:
        if item.moves and item.chance and not moves_by_plan(item):
            what, cure = _unfollowed(item)
            raise InputError(f"{what}, so that {shown} cannot follow: {cure}{stay}")


def _unfollowed(item: Any) -> tuple[str, str]:
    # What moves pixels without a plan that says from where, and what to do instead.
    if isinstance(item, Kornia):
        own = followed(item.name)
        cure = f"write {own} in its place, which fields follow" if own else "leave it out"
        return f"'kornia' moves pixels by draws of {item.name}'s own", cure
    for one in nested([item]):
        if isinstance(one, AugMix | Timm) and moves_in_chains(one.program):
            return (f"{one.op!r} moves pixels in chains which it blends with one another",
                    still(one) or "leave it out")  # fmt: skip
    return f"{item.op!r} moves pixels in a way of its own", "leave it out"


def _stay(*paths: Path) -> str:
    # How fields of a sample may be kept as they are.
    named = ", ".join(f"{_key(path)!r}: 'passive'" for path in paths)
    return f", or say that they may stay as they are, with fields={{{named}}}"


def check_undisplaced(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy displaces pixels, which a device does not do to fields."""
    for item in policy.operations:
        if item.chance and displaces(item):
            raise InputError(
                f"{item.op!r} displaces pixels, and {shown} on a GPU do not follow: give images "
                f"and {shown} on the CPU, or augfeed.DataLoader the dataset"
            )


def check_unmixed(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy mixes images, which joins fields of two samples."""
    if policy.mixer is not None:
        raise InputError(
            f"{policy.mixer.op!r} joins the {shown} of two images, and a batch that is there has "
            "no room for them: leave it out, or give augfeed.DataLoader the dataset, which joins "
            "them"
        )


def check_unblended(policy: Policy, path: Path) -> None:
    """Raise `InputError` if a policy blends images, which has no meaning for dense values."""
    if blends(policy):
        raise InputError(
            f"a blend of images has no meaning for {_key(path)!r} of kind 'dense': leave mixup "
            f"out{_stay(path)}"
        )


def blends(policy: Policy) -> bool:
    """Return whether a policy has Mixup, alone or as a choice."""
    mixer = policy.mixer
    items = mixer.mixers if isinstance(mixer, OneOf) else (mixer,)
    return any(isinstance(item, Mixup) for item in items)


def check_followed(policy: Policy, fields: dict[Path, Field], *, may_stay: bool = True) -> None:
    """Raise `InputError` if a field cannot follow an operation of a policy.

    `may_stay` is whether fields can be said to stay as they are.
    """
    shown = " and ".join(repr(_key(path)) for path in fields)
    check_moves(policy, shown, _stay(*fields) if may_stay else "")
    _check_scenes(policy, fields)
    _check_masks(policy, fields)
    for path, field in fields.items():
        if isinstance(field, Dense) and field.disparity:
            _check_straight(policy, path)
        if isinstance(field, Dense) and (field.vectors or field.disparity):
            _check_lengths(policy, path)
        if isinstance(field, Dense):
            check_unblended(policy, path)
        if isinstance(field, Keypoints) and field.flip_pairs is None:
            _check_flips(policy, path)


def _check_straight(policy: Policy, path: Path) -> None:
    for item in policy.operations:
        parts = [(item, item.chance)] if item.program is None else parts_of(item.program)
        for part, p in parts:
            name = part[0].candidate.name if isinstance(part, tuple) else part.op
            if p and name in _TURNING:
                within = "" if part is item else f" of {item.op!r}"
                raise InputError(
                    f"{name!r}{within} turns rows of the image, and {_key(path)!r} is a disparity "
                    f"along them: leave {item.op!r} out, or give flow, as Dense(vectors=True)"
                )


def _check_lengths(policy: Policy, path: Path) -> None:
    for item in policy.operations:
        if item.chance and displaces(item):
            raise InputError(
                f"{item.op!r} moves each pixel by itself, and {_key(path)!r} has lengths between "
                f"pixels: leave it out{_stay(path)}"
            )


def _check_scenes(policy: Policy, fields: dict[Path, Field]) -> None:
    has = {type(field) for field in fields.values()}
    window = by_boxes(policy)
    if window is not None and Boxes not in has:
        raise InputError(
            f"{window.op!r} is drawn by the boxes of a sample, and it has none: give "
            "fields={'boxes': 'boxes'}, or another window"
        )
    for item in policy.scenes:
        needed = {Boxes} if item.op == "copy_paste" else {Boxes, Mask}
        if not has & needed:
            raise InputError(
                f"{item.op!r} shows several samples in one image, and a sample has no "
                f"{' and no '.join(sorted(cls.__name__.lower() for cls in needed))} that say what "
                "is seen where: give fields={'boxes': 'boxes'}, or leave it out"
            )


def _check_masks(policy: Policy, fields: dict[Path, Field]) -> None:
    # Masks of objects, which some things are made of.
    for path, field in fields.items():
        if not isinstance(field, Boxes):
            continue
        pastes = any(item.op == "copy_paste" for item in policy.scenes)
        found = any(isinstance(other, Mask) and place[:-1] == path[:-1] and place
                    and place[-1] in field.follow for place, other in fields.items())  # fmt: skip
        if (pastes or field.from_masks) and not found:
            what = "'copy_paste' pastes objects" if pastes else "from_masks=True takes boxes"
            raise InputError(
                f"{what} by masks, and {_key(path)!r} has boxes without a mask of each: give "
                "integers or bool [N, H, W] beside N boxes, as 'masks', and name them in fields= "
                "and in Boxes(follow=...)"
            )


def _check_flips(policy: Policy, path: Path) -> None:
    for item in policy.parts:
        if item.op in ("horizontal_flip", "vertical_flip") and item.chance:
            raise InputError(
                f"{item.op!r} mirrors images, and it is not said which keypoints of "
                f"{_key(path)!r} change places: give fields={{{_key(path)!r}: "
                "Keypoints(flip_pairs=((1, 2), (3, 4)))}, or flip_pairs=() for none"
            )


def _key(path: Path) -> Any:
    return path[0] if len(path) == 1 else path

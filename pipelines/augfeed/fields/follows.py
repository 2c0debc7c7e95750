"""Whether fields can follow what a policy does to its images."""

from typing import Any

from augfeed.errors import InputError
from augfeed.fields.kinds import Boxes, Dense, Field, Keypoints, Mask
from augfeed.fields.sample_parts import Path
from augfeed.operation.kinds import displaces, moves_by_plan
from augfeed.plan.box_windows import by_boxes
from augfeed.policy import Mixup, OneOf, Policy


def check_moves(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy moves pixels in a way that fields cannot follow."""
    for item in policy.operations:
        if item.moves and item.chance and not moves_by_plan(item):
            raise InputError(
                f"{item.op!r} moves pixels in a way that {shown} cannot follow: leave it out, or "
                "declare the field as 'passive' if it may stay as it is"
            )


def check_undisplaced(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy displaces pixels, which a device does not do to fields."""
    for item in policy.operations:
        if item.chance and displaces(item):
            raise InputError(
                f"{item.op!r} displaces pixels, and {shown} on a GPU do not follow: give images, "
                "masks and boxes on the CPU, or augfeed.DataLoader the dataset"
            )


def check_unmixed(policy: Policy, shown: str) -> None:
    """Raise `InputError` if a policy mixes images, which joins fields of two samples."""
    if policy.mixer is not None:
        raise InputError(
            f"{policy.mixer.op!r} joins the {shown} of two images, and a batch that is there has "
            "no room for them: leave it out, or give augfeed.DataLoader the dataset, which joins "
            "them"
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


def check_followed(policy: Policy, fields: dict[Path, Field]) -> None:
    """Raise `InputError` if a field cannot follow an operation of a policy."""
    check_moves(policy, " and ".join(repr(_key(path)) for path in fields))
    _check_scenes(policy, fields)
    _check_masks(policy, fields)
    for path, field in fields.items():
        if isinstance(field, Dense) and field.disparity:
            _check_straight(policy, path)
        if isinstance(field, Dense) and (field.vectors or field.disparity):
            _check_lengths(policy, path)
        if isinstance(field, Dense):
            check_unblended(policy, f"{_key(path)!r} of kind 'dense'")
        if isinstance(field, Keypoints) and field.flip_pairs is None:
            _check_flips(policy, path)


def _check_straight(policy: Policy, path: Path) -> None:
    for item in policy.parts:
        if item.op in ("rotate", "shear", "perspective") and item.chance:
            raise InputError(
                f"{item.op!r} turns rows of the image, and {_key(path)!r} is a disparity along "
                "them: leave it out, or give flow, as Dense(vectors=True)"
            )


def _check_lengths(policy: Policy, path: Path) -> None:
    for item in policy.operations:
        if item.chance and displaces(item):
            raise InputError(
                f"{item.op!r} moves each pixel by itself, and {_key(path)!r} has lengths between "
                "pixels: leave it out, or declare the field as 'passive' if it may stay as it is"
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

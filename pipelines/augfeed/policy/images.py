"""A policy held against the images that it meets: their channels, and their levels."""

from collections.abc import Iterator
from typing import Any

from augfeed.errors import InputError
from augfeed.operation import Declaration
from augfeed.operation.kinds import Blocks, Frame, Geometry, Linear, Statistics
from augfeed.operation.program import parts_of
from augfeed.policy import GaussianNoise, Kornia, Policy, RandomErasing

LIKE_OTHERS = (1, 3)  # gray images keep their colors under what is for RGB
# Kornia's other classes for RGB refuse other channels themselves; this one makes all of them equal.
_KORNIA_FOR_RGB = ("RandomGrayscale",)
# Kornia's classes that count pixels by 256 levels. RandomPosterize is asked to leave fewer.
_KORNIA_ROUNDING = ("RandomClahe", "RandomEqualize")


def check_rgb(policy: Policy, channels: int) -> None:
    """Raise `InputError` for images of other than 1 or 3 channels under operations for RGB."""
    if channels in LIKE_OTHERS:
        return
    found = [(item, parts) for item in policy.operations if (parts := _parts(item))]
    if not found:
        return
    item, parts = found[0]
    raise InputError(
        f"{item!r} needs red, green and blue{_named(item, parts)}, and the images have "
        f"{channels} channels: {_cure(item, parts)}"
    )


def check_levels(policy: Policy) -> None:
    """Raise `InputError` for images of 16 bits under operations that know 256 levels."""
    for item in (item for _, one in policy.scheduled for item in one.operations):
        if item.chance and _rounds(item):
            raise InputError(
                f"{item!r} rounds images to 256 levels, and these are uint16: leave "
                f"{_title(item)} out, or, if 256 levels will do, give uint8, as "
                "(images // 257).astype(np.uint8), or floats in [0, 1], as images / 65535"
            )


def looks_at_colors(policy: Policy) -> bool:
    """Return whether an image of three channels is made otherwise than three gray ones: by a mean
    gray, a color matrix, a JPEG, or in a program."""
    return any(
        item.program is not None
        or isinstance(item, Linear | Blocks)
        or (isinstance(item, Statistics) and item.needs_gray)
        for item in policy.operations
    )


def draws_for_values(policy: Policy) -> bool:
    """Return whether numbers are drawn for each value of an image, other ones for each channel."""
    return any(
        isinstance(item, GaussianNoise)
        or (isinstance(item, RandomErasing) and item.fill == "noise")
        for item in policy.operations
    )


def _title(item: Declaration) -> str:
    return item.name if isinstance(item, Kornia) else item.op


def _rounds(item: Declaration) -> bool:
    # Frames are rounded where a program has any step but moves, which are made with the last pass.
    if isinstance(item, Kornia):
        return item.name in _KORNIA_ROUNDING
    if item.program is None:
        return isinstance(item, Statistics | Blocks)
    return any(
        p and not issubclass(_class_of(part), Geometry) for part, p in parts_of(item.program)
    )


def _class_of(part: Any) -> type[Any]:
    return part[0].candidate.step if isinstance(part, tuple) else type(part)


def _parts(item: Declaration) -> list[str]:
    return list(dict.fromkeys(_needing(item)))


def _needing(item: Declaration) -> Iterator[str]:
    if item.program is None:
        if item.chance:
            yield from _for_rgb(item)
        return
    for part, p in parts_of(item.program):
        if not p:
            continue
        if not isinstance(part, tuple):
            yield from _for_rgb(part)
        elif _step_for_rgb(_class_of(part)):
            yield part[0].candidate.name


def _for_rgb(operation: Declaration) -> tuple[str, ...]:
    if isinstance(operation, Linear):
        return operation.for_rgb
    if isinstance(operation, Kornia) and operation.name in _KORNIA_FOR_RGB:
        return (operation.op,)
    return (operation.op,) if _step_for_rgb(type(operation)) else ()


def _step_for_rgb(step: type[Any]) -> bool:
    if issubclass(step, Linear):
        return any(part.rgb for part in step.steps)
    return issubclass(step, Frame) and step.rgb


def _named(item: Declaration, parts: list[str]) -> str:
    return "" if parts == [item.op] else f" for {' and '.join(map(repr, parts))}"


def _cure(item: Declaration, parts: list[str]) -> str:
    if isinstance(getattr(item, "operations", None), tuple):
        return f"take that out of {item.op}, or give images of 3 channels"
    if all(hasattr(item, part) for part in parts):
        return f"give {', '.join(f'{part}=0' for part in parts)}, or images of 3 channels"
    if parts == [item.op]:
        return f"leave {_title(item)} out, or give images of 3 channels"
    if hasattr(item, "without"):
        return f"give without={[*item.without, *parts]!r}, or images of 3 channels"
    return (
        f"leave {item.op} out, write one_of or random_order of steps that fit in its place, or "
        "give images of 3 channels"
    )

"""What an operation says of one sample, for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from augfeed.operation.parameter_types import Sides


@dataclass(frozen=True, slots=True)
class SampleValues:
    """One sample as an operation speaks of it.

    `values` are the decisions as plain Python values, drawn also where the operation is not
    `applied`; `size` is `(height, width)` of the output, `warped` whether anything but flips moves
    its pixels.
    """

    values: Mapping[str, Any]
    applied: bool
    size: Sides
    channels: int
    warped: bool = False


@dataclass(frozen=True, slots=True)
class Wording:
    """What came of an operation: `done` where it is applied, `otherwise` where it is not.

    `law` says how its values are drawn; `values` are for programs, those drawn unless others are
    given. `applied` is for what shows only in the outcome whether it was applied.
    """

    done: str
    law: str = ""
    otherwise: str = ""
    values: Mapping[str, Any] | None = None
    applied: bool | None = None


def box_text(box: tuple[int, ...]) -> str:
    """Return a box `(top, left, bottom, right)` as its size and its place."""
    top, left, bottom, right = box
    return f"{bottom - top} x {right - left} at ({top}, {left})"


def bounds_text(bounds: Any) -> str:
    """Return an interval as mathematics writes it."""
    return f"[{bounds[0]:g}, {bounds[1]:g}]"


def sides_text(sides: Any) -> str:
    """Return `(height, width)` as people write it."""
    return f"{sides[0]} x {sides[1]}"


def fill_text(mode: str, fill: str | float | tuple[float, ...]) -> str:
    """Return what lies outside of an image under an edge mode."""
    if mode != "constant":
        return mode
    if isinstance(fill, str):
        return f"the {fill} color"
    channels = fill if isinstance(fill, tuple) else (fill,)
    return f"constant {', '.join(f'{value:g}' for value in channels)}"


def filter_text(kind: str) -> str:
    """Return by which filter pixels were resampled, as the end of a sentence."""
    return "" if kind == "bilinear" else f", {kind}"

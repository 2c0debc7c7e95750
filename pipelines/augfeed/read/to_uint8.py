"""Wide gray values and floats as the 256 levels of an image."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# A quarter of a level. Resizing, changes of color space and float16 leave white that much above 1.
SLACK = 2.0**-10


class Unfit(ValueError):
    """A sound file whose pixels have no one meaning; the text says what to do."""


def slack(dtype: Any) -> float:
    """Return how far outside of [0, 1] rounding may leave black and white of a type of floats."""
    return 2.0**-7 if dtype == torch.bfloat16 else SLACK  # the number next above 1


def clamped(values: NDArray[Any], slack: float = SLACK) -> NDArray[Any] | None:
    """Return floats that lie in [0, 1], or no more than `slack` outside, within [0, 1].

    None if others, or NaN, are among them. Returns the array itself where nothing is outside.
    """
    low, high = float(values.min()), float(values.max())
    if not (low >= -slack and high <= 1 + slack):
        return None
    return values if low >= 0 and high <= 1 else np.clip(values, 0, 1)


def of_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return floats from 0 to 1 as 0 to 255, rounded; raise `Unfit` for others."""
    inside = clamped(values)
    if inside is None:
        if np.isnan(values).any():
            raise Unfit("it has NaN among its float values: put numbers there, or remove it")
        raise Unfit(
            f"its float values from {values.min():g} to {values.max():g} are not in [0, 1]: scale "
            "them, or convert it to 8 or 16 bits"
        )
    whole: NDArray[np.uint8] = np.rint(inside * 255).astype(np.uint8)
    return whole


def levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return wide gray values, floats or integers of 16 bits, as 0 to 255; raise `Unfit`."""
    return of_floats(values) if values.dtype.kind == "f" else of_integers(values)


def of_integers(values: NDArray[Any], bits: int = 16) -> NDArray[np.uint8]:
    """Return the upper 8 of the `bits` of each value.

    Raise `Unfit` if some have more, or if those are 0 in all of an image that is not black.
    """
    low, high, white = int(values.min()), int(values.max()), (1 << bits) - 1
    if not (low >= 0 and high <= white):
        raise Unfit(
            f"its values from {low} to {high} do not fit {bits} bits: scale them, or convert it to "
            "8 or 16 bits"
        )
    check_white(high, bits)
    return (values >> (bits - 8)).astype(np.uint8)


def check_white(highest: int, bits: int = 16) -> None:
    """Raise `Unfit` for an image of so many bits whose upper 8 are 0 though it is not all black."""
    if 1 < highest < 1 << (bits - 8):
        raise Unfit(
            f"its samples have {bits} bits and no value above {highest}, and white is "
            f"{(1 << bits) - 1}: its upper 8 bits, which are read, are all 0; save it with 8 bits"
        )


def times_white(dtype: Any) -> str:
    """Return what else it takes to make uint8 of a type that is not taken: of bool, whose True is
    white, and would be 1 of 255."""
    return " and multiply by 255, which is white" if "bool" in str(dtype) else ""

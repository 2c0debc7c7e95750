"""What an operation may do to a label, in the terms of `Invariances`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from augfeed.errors import PolicyError

# A standard deviation of pixels from 0 to 1, as datasets of images have it.
CONTRAST = 0.25
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Effect:
    """The largest effect that a parameter allows, in the unit of a rule.

    `worst` is True where the rule says only whether; for rules of a least share it is the smallest
    one; None where it cannot be determined without the size of the images. `mildest` is what the
    weakest draw leaves of the image's content. `never` marks what no sample gets. `passing`
    returns, for a bound, a value of the parameter that keeps the rule; None if there is none.
    `omission` is the argument of a program that leaves out the step which does it.
    """

    rule: str
    parameter: str
    value: Any
    worst: float | bool | None
    passing: Callable[[float], Any] | None = None
    mildest: float = 1.0
    never: bool = False
    omission: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What an operation stands in: its policy, and `(height, width)` of the images if known."""

    policy: Any
    source: tuple[int, int] | None = None

    @property
    def before_windows(self) -> tuple[int, int] | None:
        """The `(height, width)` of an image before it is cropped, None if that is not known."""
        if self.source is None:
            return None
        before: tuple[int, int] = self.policy.resized(self.source)
        return before

    @property
    def size(self) -> tuple[int, int] | None:
        """The `(height, width)` that comes out; None if that is not known."""
        try:
            size: tuple[int, int] = self.policy.size(self.source)
        except PolicyError:
            return None
        return size


def content(
    parameter: str, value: Any, bounds: Interval, left: Callable[[float], float],
    passing: Callable[[float], Any] | None = None, *, p: float = 1.0,
) -> Effect:  # fmt: skip
    """Return what a parameter leaves of the image, which is drawn within `bounds`.

    `left` is the share that a strength leaves; it has its one peak, if any, at 1.
    """
    ends = [left(bound) for bound in bounds]
    mildest = left(1.0) if bounds[0] <= 1 <= bounds[1] else max(ends)
    return Effect("min_content", parameter, value, min(ends), passing, mildest, p == 0)


def factor_left(factor: float) -> float:
    """Return the share of the values that a factor leaves apart: the rest is black, or white."""
    return min(factor, 1 / factor) if factor > 0 else 0.0


def noise_left(sigma: float, signal: float = CONTRAST) -> float:
    """Return the share of the variance that is the image's under noise of `sigma`."""
    return signal**2 / (signal**2 + sigma**2)


def clamped(value: Any, low: float, high: float) -> Any:
    """Return a number, or a pair, moved between two bounds."""
    if isinstance(value, tuple):
        return tuple(min(max(item, low), high) for item in value)
    return min(max(value, low), high)


def rounded_down(value: float) -> float:
    """Return a number with 4 digits, not above the given one."""
    return math.floor(value * 1e4) / 1e4

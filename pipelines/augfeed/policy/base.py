"""What every operation shares: frozen, validated, positional or by name, with errors that help."""

import functools
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any, Protocol, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from augfeed.errors import PolicyError
from augfeed.policy.describe import describe
from augfeed.policy.effects import Effect, Setting


class Told(Protocol):
    """What an operation has to tell of itself; without it no class becomes an operation."""

    @property
    def moves(self) -> bool:
        """Whether a pixel may come from elsewhere, so that masks and boxes no longer fit."""

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it may do to a label, each in the unit of a rule of `Invariances`."""


T = TypeVar("T", bound=Told)
TOLD = ("moves", "effects")

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

Probability = Annotated[
    float, Field(ge=0, le=1, description="probability, from 0 to 1, that a sample gets it")
]
Side = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[
    Side | tuple[Side, Side],
    Field(description="pixels: a number for a square, or (height, width)"),
]
Unit = Annotated[float, Field(ge=0, le=1)]
Area = Annotated[float, Field(ge=1e-6, le=1)]
Areas = tuple[Area, Area]
Aspect = Annotated[float, Field(ge=0.01, le=100)]
Aspects = tuple[Aspect, Aspect]
Interval = tuple[float, float]


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return `(height, width)` of a size."""
    return (size, size) if isinstance(size, int) else size


def interval(value: float | Interval, *, about: float = 0.0, low: float | None = None) -> Interval:
    """Return the `(lowest, highest)` that a value stands for: `about` -/+ a number, or the pair."""
    if isinstance(value, tuple):
        return value
    lowest = about - value
    return (lowest if low is None else max(low, lowest), about + value)


def ordered(value: Interval, name: str, lowest: float, highest: float) -> Interval:
    """Return an interval that is in order and in bounds, or raise `ValueError`."""
    if not lowest <= value[0] <= value[1] <= highest:
        raise ValueError(
            f"{name}={value!r} is not an interval within [{lowest:g}, {highest:g}]: "
            f"give (low, high) with {lowest:g} <= low <= high <= {highest:g}"
        )
    return value


def kind(name: str) -> Any:
    """Declare the field `op` that names an operation in JSON."""
    return field(default=name, kw_only=True, repr=False)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def operation(cls: type[T]) -> type[T]:
    """Make a class an operation: a frozen dataclass whose errors are `PolicyError`."""
    if untold := [name for name in TOLD if not hasattr(cls, name)]:
        raise TypeError(
            f"operation {cls.__name__} does not tell {' and '.join(untold)}: say whether it moves "
            "pixels, and yield its effects on labels (nothing, if it has none)"
        )
    made = dataclass(frozen=True, config=CONFIG)(cls)
    inner = made.__init__

    @functools.wraps(inner)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            inner(self, *args, **kwargs)
        except ValidationError as error:
            raise PolicyError(describe(error, made)) from None

    made.__init__ = checked  # type: ignore[method-assign]
    return cast(type[T], made)

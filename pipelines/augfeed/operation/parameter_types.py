"""Types of parameters that several operations have, with their bounds."""

from typing import Annotated, Literal

from pydantic import Field

MOST_CHANNELS = 1024  # that a policy may have a number for each of
Probability = Annotated[
    float, Field(ge=0, le=1, description="probability, from 0 to 1, that a sample gets it")
]
Side = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[
    Side | tuple[Side, Side],
    Field(description="pixels: a number for a square, or (height, width)"),
]
ShorterSide = Annotated[
    Side | tuple[Side, Side],
    Field(description="pixels: a number for the shorter side, or (height, width)"),
]
EachChannel = Field(min_length=1, max_length=MOST_CHANNELS)
Unit = Annotated[float, Field(ge=0, le=1)]
Fill = Annotated[
    Literal["mean"] | Unit | Annotated[tuple[Unit, ...], EachChannel],
    Field(description="from 0 (black) to 1: one number, one per channel, or 'mean'"),
]
Normalized = Annotated[float, Field(ge=-65504, le=65504)]  # what float16 holds
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic", "random"],
    Field(description="how pixels are resampled; random: bilinear or bicubic, by a coin for each"),
]
StepInterpolation = Annotated[
    Literal["policy", "nearest", "bilinear", "bicubic", "random"],
    Field(
        description="how steps resample pixels, as in rotate; policy: as other geometry of the "
        "policy, or bilinear"
    ),
]
Area = Annotated[float, Field(ge=1e-6, le=1)]
Areas = tuple[Area, Area]
Aspect = Annotated[float, Field(ge=0.01, le=100)]
Aspects = tuple[Aspect, Aspect]
Interval = tuple[float, float]
Sides = tuple[int, int]


def pair(size: int | Sides) -> Sides:
    """Return `(height, width)` of a size."""
    return (size, size) if isinstance(size, int) else size


def interval(value: float | Interval, *, about: float = 0.0, low: float | None = None) -> Interval:
    """Return the `(lowest, highest)` that a value stands for: `about` -/+ a number, or the pair."""
    if isinstance(value, tuple):
        return value
    lowest = about - value
    return (lowest if low is None else max(low, lowest), about + value)


def ends(value: float | Interval) -> Interval:
    """Return the `(lowest, highest)` of a value that is one number, or a pair of bounds."""
    return value if isinstance(value, tuple) else (value, value)


def ordered(value: Interval, name: str, lowest: float, highest: float) -> Interval:
    """Return an interval that is in order and in bounds, or raise `ValueError`."""
    if not lowest <= value[0] <= value[1] <= highest:
        raise ValueError(
            f"{name}={value!r} is not an interval within [{lowest:g}, {highest:g}]: "
            f"give (low, high) with {lowest:g} <= low <= high <= {highest:g}"
        )
    return value

"""Operations after the mixing: occlusion, normalization, input noise and label smoothing."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from augfeed.policy.base import (
    Areas,
    Aspects,
    Interval,
    Probability,
    Size,
    Unit,
    interval,
    kind,
    operation,
    ordered,
    pair,
)
from augfeed.policy.effects import (
    CONTRAST,
    Effect,
    Setting,
    clamped,
    noise_left,
    rounded_down,
)

Mean = Annotated[float, Field(ge=0, le=1)]
Channels = Annotated[tuple[Mean, ...], Field(min_length=1, max_length=4)] | Mean
Positive = Annotated[float, Field(ge=1e-6)]
Deviations = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=4)] | Positive
Sigma = Annotated[float, Field(ge=0, le=100)]


@operation
class Cutout:
    """Hide a square (1708.04552): center uniform over all pixels, clipped at the border.

    `inside=True` keeps the whole square in the image: a stronger variant. `fill` is in the
    space of the model's input, after normalization: 0 is the mean color.
    """

    size: Size = 16
    p: Probability = 1.0
    fill: Annotated[float, Field(description="value after normalization; 0: mean color")] = 0.0
    inside: Annotated[bool, Field(description="keep the whole square in the image")] = False
    op: Literal["cutout"] = kind("cutout")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how much it may hide."""
        size, never = setting.size, self.p == 0
        if size is None:
            for rule in ("max_occlusion", "min_content"):
                yield Effect(rule, "size", self.size, None, never=never)
            return
        area, sides = math.prod(size), pair(self.size)
        most = _hidden(sides, size)
        least = most if self.inside else _hidden([-(-side // 2) for side in sides], size)
        yield Effect(
            "max_occlusion", "size", self.size, most / area,
            lambda share: math.isqrt(int(share * area)) or None, never=never,
        )  # fmt: skip
        yield Effect(
            "min_content", "size", self.size, 1 - most / area,
            lambda share: math.isqrt(int((1 - share) * area)) or None, 1 - least / area, never,
        )  # fmt: skip


@operation
class RandomErasing:
    """Hide a random rectangle (1708.04896).

    Area share uniform in `scale`; aspect ratio (height / width) log-uniform in `ratio`, or uniform
    as in the paper's code (`aspect_law="uniform"`); position uniform, inside; up to ten tries to
    fit, then nothing is erased. `fill`: a value after normalization (0: mean color), `"mean"`
    (the mean of `Normalize`), or `"noise"`: a standard normal per value after normalization
    (without `Normalize`: uniform from 0 to 1).
    """

    p: Probability = 0.5
    scale: Annotated[Areas, Field(description="(lowest, highest) share of the area")] = (
        0.02,
        0.33,
    )
    ratio: Annotated[Aspects, Field(description="(lowest, highest) height / width")] = (
        0.3,
        1 / 0.3,
    )
    fill: Annotated[
        Literal["mean", "noise"] | float, Field(description="a value, 'mean' or 'noise'")
    ] = 0.0
    aspect_law: Annotated[
        Literal["log-uniform", "uniform"], Field(description="law of the aspect ratio")
    ] = "log-uniform"
    op: Literal["random_erasing"] = kind("random_erasing")
    moves = False

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: Interval) -> Interval:
        return ordered(value, "scale", 1e-6, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: Interval) -> Interval:
        return ordered(value, "ratio", 0.01, 100.0)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how much it may hide."""
        low, high = self.scale

        def passing(most: float) -> Areas | None:
            return (min(low, most), min(high, most)) if most >= 1e-6 else None

        yield Effect("max_occlusion", "scale", self.scale, high, passing, never=self.p == 0)
        yield Effect(
            "min_content", "scale", self.scale, 1 - high, lambda least: passing(1 - least),
            1 - low, self.p == 0,
        )  # fmt: skip


@operation
class Normalize:
    """Subtract `mean` and divide by `std`, per channel, in pixel space from 0 to 1."""

    mean: Annotated[
        Channels, Field(description="mean of the pixels, of 0 to 1: one number, or one per channel")
    ]
    std: Annotated[Deviations, Field(description="standard deviation of the pixels, likewise")]
    op: Literal["normalize"] = kind("normalize")
    moves = False

    @model_validator(mode="after")
    def _channels(self) -> Self:
        if isinstance(self.mean, tuple) and isinstance(self.std, tuple):
            mean, std = len(self.mean), len(self.std)
            if mean != std:
                raise ValueError(
                    f"mean has {mean} channels and std has {std}: give as many, or one number"
                )
        return self

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the division leaves of the image."""
        most = max(self.std) if isinstance(self.std, tuple) else self.std

        def passing(least: float) -> Any:
            # Such numbers come from pixels of 0 to 255.
            if most / 255 > 1 / least:
                return None
            return (tuple(item / 255 for item in self.std)
                    if isinstance(self.std, tuple) else self.std / 255)  # fmt: skip

        left = min(1.0, 1 / most)
        yield Effect("min_content", "std", self.std, left, passing, left)


@operation
class GaussianNoise:
    """Add normal noise to every value, never clamped, with a fresh number for each.

    `sigma` counts in the space of the model's input; with `space="pixel"` it counts in pixel space
    from 0 to 1 and is divided by the `std` of `Normalize`. A pair is an interval that each sample
    draws from. The normal law has 65,536 quantiles, so it ends at 4.3 sigma.
    """

    sigma: Annotated[
        Sigma | tuple[Sigma, Sigma],
        Field(description="standard deviation, or (lowest, highest)"),
    ] = 0.05
    p: Probability = 1.0
    space: Annotated[
        Literal["normalized", "pixel"], Field(description="space that sigma counts in")
    ] = "normalized"
    op: Literal["gaussian_noise"] = kind("gaussian_noise")
    moves = False

    @field_validator("sigma")
    @classmethod
    def _sigma(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "sigma", 0.0, 100.0)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the noise leaves of the image."""
        bounds = self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)
        signal = CONTRAST
        for item in setting.policy.operations:
            if isinstance(item, Normalize) and self.space == "normalized":
                signal /= max(item.std) if isinstance(item.std, tuple) else item.std
        ends = [noise_left(sigma, signal) for sigma in bounds]

        def passing(least: float) -> Any:
            return clamped(self.sigma, 0.0, rounded_down(signal * math.sqrt(1 / least - 1)))

        yield Effect("min_content", "sigma", self.sigma, ends[1], passing, ends[0], self.p == 0)


@operation
class SaltAndPepper:
    """Turn a share `amount` of the pixels white (share `salt` of them) or black."""

    amount: Annotated[
        Unit | tuple[Unit, Unit], Field(description="share of the pixels, or (lowest, highest)")
    ] = 0.02
    salt: Annotated[Unit, Field(description="share of them that turn white")] = 0.5
    p: Probability = 1.0
    op: Literal["salt_and_pepper"] = kind("salt_and_pepper")
    moves = False

    @field_validator("amount")
    @classmethod
    def _amount(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "amount", 0.0, 1.0)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what is left of the pixels."""
        low, high = self.amount if isinstance(self.amount, tuple) else (self.amount,) * 2

        def passing(least: float) -> Any:
            return clamped(self.amount, 0.0, 1 - least)

        yield Effect("min_content", "amount", self.amount, 1 - high, passing, 1 - low, self.p == 0)


@operation
class LabelSmoothing:
    """Move a share `epsilon` of the label to all K classes alike (1512.00567).

    The own class gets `1 - epsilon + epsilon / K`, every other `epsilon / K`.
    """

    epsilon: Annotated[float, Field(ge=0, lt=1, description="share moved, from 0 to below 1")] = 0.1
    op: Literal["label_smoothing"] = kind("label_smoothing")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: the image stays, and the label its largest share."""
        yield from ()


def _hidden(sides: Sequence[int], size: tuple[int, int]) -> int:
    return math.prod(min(side, whole) for side, whole in zip(sides, size, strict=True))


__all__ = [
    "Cutout",
    "GaussianNoise",
    "LabelSmoothing",
    "Normalize",
    "RandomErasing",
    "SaltAndPepper",
    "interval",
]

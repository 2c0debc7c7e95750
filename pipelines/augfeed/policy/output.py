"""Operations after the mixing: occlusion, normalisation, input noise and label smoothing."""

from typing import Annotated, Literal, Self

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
)

Mean = Annotated[float, Field(ge=0, le=1)]
Channels = Annotated[tuple[Mean, ...], Field(min_length=1, max_length=4)] | Mean
Positive = Annotated[float, Field(ge=1e-6)]
Deviations = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=4)] | Positive
Sigma = Annotated[float, Field(ge=0, le=100)]


@operation
class Cutout:
    """Hide a square (1708.04552): centre uniform over all pixels, clipped at the border.

    `inside=True` keeps the whole square in the picture: a stronger variant. `fill` is in the
    space of the model's input, after normalisation: 0 is the mean colour.
    """

    size: Size = 16
    p: Probability = 1.0
    fill: Annotated[float, Field(description="value after normalisation; 0: mean colour")] = 0.0
    inside: Annotated[bool, Field(description="keep the whole square in the picture")] = False
    op: Literal["cutout"] = kind("cutout")


@operation
class RandomErasing:
    """Hide a random rectangle (1708.04896).

    Area share uniform in `scale`; aspect ratio (height / width) log-uniform in `ratio`, or uniform
    as in the paper's code (`aspect_law="uniform"`); position uniform, inside; up to ten tries to
    fit, then nothing is erased. `fill`: a value after normalisation (0: mean colour), `"mean"`
    (the mean of `Normalize`), or `"noise"`: a standard normal per value after normalisation
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

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: Interval) -> Interval:
        return ordered(value, "scale", 1e-6, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: Interval) -> Interval:
        return ordered(value, "ratio", 0.01, 100.0)


@operation
class Normalize:
    """Subtract `mean` and divide by `std`, per channel, in pixel space from 0 to 1."""

    mean: Annotated[
        Channels, Field(description="mean of the pixels, of 0 to 1: one number, or one per channel")
    ]
    std: Annotated[Deviations, Field(description="standard deviation of the pixels, likewise")]
    op: Literal["normalize"] = kind("normalize")

    @model_validator(mode="after")
    def _channels(self) -> Self:
        if isinstance(self.mean, tuple) and isinstance(self.std, tuple):
            mean, std = len(self.mean), len(self.std)
            if mean != std:
                raise ValueError(
                    f"mean has {mean} channels and std has {std}: give as many, or one number"
                )
        return self


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

    @field_validator("sigma")
    @classmethod
    def _sigma(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "sigma", 0.0, 100.0)
        return value


@operation
class SaltAndPepper:
    """Turn a share `amount` of the pixels white (share `salt` of them) or black."""

    amount: Annotated[
        Unit | tuple[Unit, Unit], Field(description="share of the pixels, or (lowest, highest)")
    ] = 0.02
    salt: Annotated[Unit, Field(description="share of them that turn white")] = 0.5
    p: Probability = 1.0
    op: Literal["salt_and_pepper"] = kind("salt_and_pepper")

    @field_validator("amount")
    @classmethod
    def _amount(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "amount", 0.0, 1.0)
        return value


@operation
class LabelSmoothing:
    """Move a share `epsilon` of the label to all K classes alike (1512.00567).

    The own class gets `1 - epsilon + epsilon / K`, every other `epsilon / K`.
    """

    epsilon: Annotated[float, Field(ge=0, lt=1, description="share moved, from 0 to below 1")] = 0.1
    op: Literal["label_smoothing"] = kind("label_smoothing")


__all__ = [
    "Cutout",
    "GaussianNoise",
    "LabelSmoothing",
    "Normalize",
    "RandomErasing",
    "SaltAndPepper",
    "interval",
]

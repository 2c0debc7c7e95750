"""Operations that change colors and leave every pixel where it is."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from augfeed.policy.base import Interval, Probability, Unit, interval, kind, operation, ordered
from augfeed.policy.effects import (
    Effect,
    Setting,
    clamped,
    content,
    factor_left,
    rounded_down,
)

Factor = Annotated[float, Field(ge=0, le=100)]
Turns = Annotated[float, Field(ge=-0.5, le=0.5)]
LUMA = (0.299, 0.587, 0.114)  # gray of a pixel, ITU-R 601
# RGB -> YIQ (NTSC 1953); hue turns the plane of the last two rows.
YIQ = (LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))

Strength = Annotated[
    Annotated[float, Field(ge=0, le=99)] | tuple[Factor, Factor],
    Field(description="a number s for factors in [max(0, 1 - s), 1 + s], or (lowest, highest)"),
]


@operation
class ColorJitter:
    """Change brightness, contrast, saturation and hue, in this order, by uniform factors.

    Brightness multiplies. Contrast scales the distance to the image's own mean gray
    (`about="mean"`, torchvision's law) or to 0.5 (`about="half"`). Saturation scales the distance
    to the pixel's gray (ITU-R 601: 0.299, 0.587, 0.114). Hue turns the chroma plane (YIQ) by
    `360 * hue` degrees: linear, unlike a shift in HSV. The mean gray is that of the image after
    cropping and resizing, before any geometric operation. Nothing is clamped in between, only
    once after all. Saturation and hue leave images of one channel as they are.
    """

    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Annotated[
        Annotated[float, Field(ge=0, le=0.5)] | tuple[Turns, Turns],
        Field(description="turns: a number h for (-h, h), or (lowest, highest) within +-0.5"),
    ] = 0.0
    about: Annotated[
        Literal["mean", "half"], Field(description="what contrast scales the distance to")
    ] = "mean"
    p: Probability = 1.0
    op: Literal["color_jitter"] = kind("color_jitter")
    moves = False

    @field_validator("brightness", "contrast", "saturation")
    @classmethod
    def _strength(cls, value: float | Interval, info: ValidationInfo) -> float | Interval:
        ordered(interval(value, about=1.0, low=0.0), str(info.field_name), 0, 100)
        return value

    @field_validator("hue")
    @classmethod
    def _hue(cls, value: float | Interval) -> float | Interval:
        ordered(interval(value), "hue", -0.5, 0.5)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it does to hue and saturation, and what light and contrast leave."""
        bounds = {name: interval(getattr(self, name), about=1.0, low=0.0)
                  for name in ("brightness", "contrast", "saturation")}  # fmt: skip
        turns, never = self.hue, self.p == 0
        yield Effect(
            "max_hue", "hue", turns, max(map(abs, interval(turns))),
            lambda most: clamped(turns, -most, most), never=never,
        )  # fmt: skip
        low, high = bounds["saturation"]
        passing = (0.1, max(high, 0.1)) if isinstance(self.saturation, tuple) else 0.9
        yield Effect(
            "grayscale", "saturation", self.saturation, low == 0, lambda _: passing, never=never
        )
        # Much contrast leaves the shapes: only too little of it takes them.
        for name, left, both in (("brightness", factor_left, True), ("contrast", _damped, False)):
            value = getattr(self, name)
            milder = partial(_milder, value, both=both)
            yield content(name, value, bounds[name], left, milder, p=self.p)


@operation
class Grayscale:
    """Replace every channel by the gray of the pixel (ITU-R 601)."""

    p: Probability = 0.1
    op: Literal["grayscale"] = kind("grayscale")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that colors go."""
        yield Effect("grayscale", "p", self.p, self.p > 0)


@operation
class Invert:
    """Replace every value x, from 0 to 1, by 1 - x."""

    p: Probability = 0.5
    op: Literal["invert"] = kind("invert")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that values are inverted."""
        yield Effect("invert", "p", self.p, self.p > 0)


@operation
class Posterize:
    """Keep the `bits` highest of the 8 bits of each value."""

    bits: Annotated[int, Field(ge=1, le=8, description="bits kept, 1 to 8")] = 4
    p: Probability = 0.5
    op: Literal["posterize"] = kind("posterize")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: one bit still shows the shapes."""
        yield from ()


@operation
class Solarize:
    """Invert every value at or above `threshold`."""

    threshold: Annotated[Unit, Field(description="threshold, from 0 to 1")] = 0.5
    p: Probability = 0.5
    op: Literal["solarize"] = kind("solarize")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that values are inverted."""
        yield Effect("invert", "p", self.p, self.p > 0)


def _damped(factor: float) -> float:
    return min(factor, 1.0)


def _milder(value: Any, least: float, *, both: bool) -> Any:
    # A factor of at least so much, and, if `both` ends matter, at most its inverse.
    high = rounded_down(1 / least) if both else 100.0
    if isinstance(value, tuple):
        return clamped(value, least, high)
    return rounded_down(min(value, 1 - least, high - 1))

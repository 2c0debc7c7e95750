"""Operations that change colours and leave every pixel where it is."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from augfeed.policy.base import Interval, Probability, Unit, interval, kind, operation, ordered

Factor = Annotated[float, Field(ge=0, le=100)]
Turns = Annotated[float, Field(ge=-0.5, le=0.5)]
LUMA = (0.299, 0.587, 0.114)  # grey of a pixel, ITU-R 601
# RGB -> YIQ (NTSC 1953); hue turns the plane of the last two rows.
YIQ = (LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))

Strength = Annotated[
    Annotated[float, Field(ge=0, le=99)] | tuple[Factor, Factor],
    Field(description="a number s for factors in [max(0, 1 - s), 1 + s], or (lowest, highest)"),
]


@operation
class ColorJitter:
    """Change brightness, contrast, saturation and hue, in this order, by uniform factors.

    Brightness multiplies. Contrast scales the distance to the picture's own mean grey
    (`about="mean"`, torchvision's law) or to 0.5 (`about="half"`). Saturation scales the distance
    to the pixel's grey (ITU-R 601: 0.299, 0.587, 0.114). Hue turns the chroma plane (YIQ) by
    `360 * hue` degrees: linear, unlike a shift in HSV. The mean grey is that of the picture after
    cropping and resizing, before any geometric operation. Nothing is clamped in between, only
    once after all. Saturation and hue leave pictures of one channel as they are.
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


@operation
class Grayscale:
    """Replace every channel by the grey of the pixel (ITU-R 601)."""

    p: Probability = 0.1
    op: Literal["grayscale"] = kind("grayscale")


@operation
class Invert:
    """Replace every value x, from 0 to 1, by 1 - x."""

    p: Probability = 0.5
    op: Literal["invert"] = kind("invert")


@operation
class Posterize:
    """Keep the `bits` highest of the 8 bits of each value."""

    bits: Annotated[int, Field(ge=1, le=8, description="bits kept, 1 to 8")] = 4
    p: Probability = 0.5
    op: Literal["posterize"] = kind("posterize")


@operation
class Solarize:
    """Invert every value at or above `threshold`."""

    threshold: Annotated[Unit, Field(description="threshold, from 0 to 1")] = 0.5
    p: Probability = 0.5
    op: Literal["solarize"] = kind("solarize")

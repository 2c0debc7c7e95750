"""Operations that decide where each output pixel comes from."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from augfeed.policy.base import (
    Areas,
    Aspects,
    Interval,
    Probability,
    Side,
    Size,
    Unit,
    interval,
    kind,
    operation,
    ordered,
)

Angle = Annotated[float, Field(ge=-180, le=180)]
Zoom = Annotated[float, Field(ge=0.05, le=20)]
Edge = Literal["constant", "edge", "reflect"]


@operation
class Resize:
    """Resize the whole picture, antialiased (triangle filter, as Pillow's bilinear).

    A number is the length of the shorter side (the other follows, rounded down, as in
    torchvision); a pair is the exact `(height, width)`.
    """

    size: Size
    op: Literal["resize"] = kind("resize")


@operation
class CenterCrop:
    """Cut the middle of the picture, `size` pixels; a smaller picture is an error."""

    size: Size
    op: Literal["center_crop"] = kind("center_crop")


@operation
class RandomCrop:
    """Cut a window of `size` pixels anywhere in the picture, padded on each side if asked.

    The position is uniform over all whole-pixel positions in the padded picture. A sample that
    does not get the operation (`p`) is cut in the middle. Constant padding is `fill`, in pixel
    space from 0 (black) to 1; `reflect` mirrors without repeating the border pixel.
    """

    size: Size
    padding: Annotated[int, Field(ge=0, le=4096, description="pixels added on each side")] = 0
    mode: Annotated[Edge, Field(description="what lies in the padding")] = "constant"
    fill: Annotated[Unit, Field(description="constant padding, from 0 (black) to 1")] = 0.0
    p: Probability = 1.0
    op: Literal["random_crop"] = kind("random_crop")


@operation
class RandomResizedCrop:
    """Cut a window of random area and aspect and resize it to `size` (Inception; 1409.4842).

    Area share uniform in `scale`, aspect ratio (width / height) log-uniform in `ratio`, position
    uniform; ten tries, then the largest centred window within `ratio`. A sample that does not get
    the operation (`p`) is resized whole. The window is cut first and resized with antialiasing.
    """

    size: Size
    scale: Annotated[Areas, Field(description="(lowest, highest) share of the area")] = (
        0.08,
        1.0,
    )
    ratio: Annotated[Aspects, Field(description="(lowest, highest) width / height")] = (
        3 / 4,
        4 / 3,
    )
    p: Probability = 1.0
    op: Literal["random_resized_crop"] = kind("random_resized_crop")

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: Interval) -> Interval:
        return ordered(value, "scale", 1e-6, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: Interval) -> Interval:
        return ordered(value, "ratio", 0.01, 100.0)


@operation
class HorizontalFlip:
    """Mirror left and right."""

    p: Probability = 0.5
    op: Literal["horizontal_flip"] = kind("horizontal_flip")


@operation
class VerticalFlip:
    """Mirror top and bottom."""

    p: Probability = 0.5
    op: Literal["vertical_flip"] = kind("vertical_flip")


@operation
class Rotate:
    """Turn about the centre by an angle uniform in `degrees`, counter-clockwise if positive."""

    degrees: Annotated[
        Annotated[float, Field(ge=0, le=180)] | tuple[Angle, Angle],
        Field(description="degrees: a number a for (-a, a), or (lowest, highest)"),
    ]
    p: Probability = 1.0
    op: Literal["rotate"] = kind("rotate")

    @field_validator("degrees")
    @classmethod
    def _degrees(cls, value: float | Interval) -> float | Interval:
        ordered(interval(value), "degrees", -180.0, 180.0)
        return value


@operation
class Translate:
    """Shift by a share of width and height, each uniform in plus or minus its bound."""

    x: Annotated[Unit, Field(description="largest shift, as a share of the width")] = 0.1
    y: Annotated[Unit, Field(description="largest shift, as a share of the height")] = 0.1
    p: Probability = 1.0
    op: Literal["translate"] = kind("translate")


@operation
class Scale:
    """Enlarge about the centre by a factor uniform in `factor`; above 1 enlarges."""

    factor: Annotated[tuple[Zoom, Zoom], Field(description="(lowest, highest) factor")] = (0.9, 1.1)
    p: Probability = 1.0
    op: Literal["scale"] = kind("scale")

    @field_validator("factor")
    @classmethod
    def _factor(cls, value: Interval) -> Interval:
        return ordered(value, "factor", 0.05, 20.0)


@operation
class Shear:
    """Slant along x and y by angles uniform in plus or minus their bounds, about the centre."""

    x: Annotated[float, Field(ge=0, le=80, description="largest angle along x, degrees")] = 10.0
    y: Annotated[float, Field(ge=0, le=80, description="largest angle along y, degrees")] = 0.0
    p: Probability = 1.0
    op: Literal["shear"] = kind("shear")


@operation
class Perspective:
    """Move each corner pixel inwards by up to `distortion` of half the way to its neighbours.

    Each of the eight coordinates is drawn uniformly. A picture one pixel wide or high stays. Above
    2/3 the four corners need not be convex any more, and some pictures fold over.
    """

    distortion: Annotated[
        float, Field(ge=0, le=0.9, description="largest share of half the way")
    ] = 0.5
    p: Probability = 0.5
    op: Literal["perspective"] = kind("perspective")


@operation
class Border:
    """Say what rotate, translate, scale, shear and perspective find outside the picture.

    Without it: constant 0 (black). `fill` is in pixel space from 0 (black) to 1; `reflect`
    mirrors without repeating the border pixel; `edge` repeats the border pixel.
    """

    mode: Annotated[Edge, Field(description="constant, edge or reflect")] = "constant"
    fill: Annotated[Unit, Field(description="constant border, from 0 (black) to 1")] = 0.0
    op: Literal["border"] = kind("border")


__all__ = [
    "Border",
    "CenterCrop",
    "Edge",
    "HorizontalFlip",
    "Perspective",
    "RandomCrop",
    "RandomResizedCrop",
    "Resize",
    "Rotate",
    "Scale",
    "Shear",
    "Side",
    "Translate",
    "VerticalFlip",
]

"""Operations that decide where each output pixel comes from."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

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
    pair,
)
from augfeed.policy.effects import (
    Effect,
    Setting,
    clamped,
    content,
    factor_left,
    rounded_down,
)

Angle = Annotated[float, Field(ge=-180, le=180)]
Zoom = Annotated[float, Field(ge=0.05, le=20)]
Edge = Literal["constant", "edge", "reflect"]


@operation
class Resize:
    """Resize the whole image, antialiased (triangle filter, as Pillow's bilinear).

    A number is the length of the shorter side (the other follows, rounded down, as in
    torchvision); a pair is the exact `(height, width)`.
    """

    size: Size
    op: Literal["resize"] = kind("resize")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it leaves of the image: one pixel shows nothing."""
        size = setting.size if isinstance(self.size, int) else self.size
        yield from _one_pixel(self.size, size, setting)


@operation
class CenterCrop:
    """Cut the middle of the image, `size` pixels; a smaller image is an error."""

    size: Size
    op: Literal["center_crop"] = kind("center_crop")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image the window may show."""
        share = _share_kept(self.size, 0, setting)
        yield Effect("min_crop", "size", self.size, share)
        yield from _one_pixel(self.size, pair(self.size), setting)


@operation
class RandomCrop:
    """Cut a window of `size` pixels anywhere in the image, padded on each side if asked.

    The position is uniform over all whole-pixel positions in the padded image. A sample that
    does not get the operation (`p`) is cut in the middle. Constant padding is `fill`, in pixel
    space from 0 (black) to 1; `reflect` mirrors without repeating the border pixel.
    """

    size: Size
    padding: Annotated[int, Field(ge=0, le=4096, description="pixels added on each side")] = 0
    mode: Annotated[Edge, Field(description="what lies in the padding")] = "constant"
    fill: Annotated[Unit, Field(description="constant padding, from 0 (black) to 1")] = 0.0
    p: Probability = 1.0
    op: Literal["random_crop"] = kind("random_crop")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image, and how much padding, the window may show."""
        padding, sides = self.padding if self.p > 0 else 0, pair(self.size)
        yield Effect("min_crop", "size", self.size, _share_kept(self.size, padding, setting))
        yield from _one_pixel(self.size, sides, setting)
        if padding and self.mode != "reflect":
            left = math.prod(max(side - padding, 0) / side for side in sides)
            yield Effect(
                "min_content", "padding", self.padding, left,
                lambda least: int(min(sides) * (1 - math.sqrt(least))),
            )  # fmt: skip


@operation
class RandomResizedCrop:
    """Cut a window of random area and aspect and resize it to `size` (Inception; 1409.4842).

    Area share uniform in `scale`, aspect ratio (width / height) log-uniform in `ratio`, position
    uniform; ten tries, then the largest centered window within `ratio`. A sample that does not get
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
    moves = True

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: Interval) -> Interval:
        return ordered(value, "scale", 1e-6, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: Interval) -> Interval:
        return ordered(value, "ratio", 0.01, 100.0)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image the window may show."""
        low, high = self.scale

        def passing(least: float) -> Areas:
            return max(low, least), max(high, least)

        yield Effect("min_crop", "scale", self.scale, low, passing, never=self.p == 0)
        yield content("scale", self.scale, self.scale, float, passing, p=self.p)
        yield from _one_pixel(self.size, pair(self.size), setting)


@operation
class HorizontalFlip:
    """Mirror left and right."""

    p: Probability = 0.5
    op: Literal["horizontal_flip"] = kind("horizontal_flip")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that it mirrors."""
        yield Effect("horizontal_flip", "p", self.p, self.p > 0)


@operation
class VerticalFlip:
    """Mirror top and bottom."""

    p: Probability = 0.5
    op: Literal["vertical_flip"] = kind("vertical_flip")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that it mirrors."""
        yield Effect("vertical_flip", "p", self.p, self.p > 0)


@operation
class Rotate:
    """Turn about the center by an angle uniform in `degrees`, counter-clockwise if positive."""

    degrees: Annotated[
        Annotated[float, Field(ge=0, le=180)] | tuple[Angle, Angle],
        Field(description="degrees: a number a for (-a, a), or (lowest, highest)"),
    ]
    p: Probability = 1.0
    op: Literal["rotate"] = kind("rotate")
    moves = True

    @field_validator("degrees")
    @classmethod
    def _degrees(cls, value: float | Interval) -> float | Interval:
        ordered(interval(value), "degrees", -180.0, 180.0)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest angle."""
        yield _at_most(self, "degrees", "max_rotation")


@operation
class Translate:
    """Shift by a share of width and height, each uniform in plus or minus its bound."""

    x: Annotated[Unit, Field(description="largest shift, as a share of the width")] = 0.1
    y: Annotated[Unit, Field(description="largest shift, as a share of the height")] = 0.1
    p: Probability = 1.0
    op: Literal["translate"] = kind("translate")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest shifts, and what they leave in the image."""
        for name in ("x", "y"):
            yield _at_most(self, name, "max_translation")
            if not _reflects(setting):
                yield _shift_left(name, getattr(self, name), self.p)


@operation
class Scale:
    """Enlarge about the center by a factor uniform in `factor`; above 1 enlarges."""

    factor: Annotated[tuple[Zoom, Zoom], Field(description="(lowest, highest) factor")] = (0.9, 1.1)
    p: Probability = 1.0
    op: Literal["scale"] = kind("scale")
    moves = True

    @field_validator("factor")
    @classmethod
    def _factor(cls, value: Interval) -> Interval:
        return ordered(value, "factor", 0.05, 20.0)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest zoom, and what it leaves of the image."""
        low, high = self.factor

        def within(most: float) -> Interval:
            bounds: Interval = clamped(self.factor, math.ceil(1e4 / most) / 1e4, most)
            return bounds

        yield Effect(
            "max_zoom", "factor", self.factor, max(1 / low, high), within, never=self.p == 0
        )
        yield content(
            "factor", self.factor, self.factor, lambda factor: factor_left(factor) ** 2,
            lambda least: within(rounded_down(1 / math.sqrt(least))), p=self.p,
        )  # fmt: skip


@operation
class Shear:
    """Slant along x and y by angles uniform in plus or minus their bounds, about the center."""

    x: Annotated[float, Field(ge=0, le=80, description="largest angle along x, degrees")] = 10.0
    y: Annotated[float, Field(ge=0, le=80, description="largest angle along y, degrees")] = 0.0
    p: Probability = 1.0
    op: Literal["shear"] = kind("shear")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest angles."""
        yield _at_most(self, "x", "max_shear")
        yield _at_most(self, "y", "max_shear")


@operation
class Perspective:
    """Move each corner pixel inwards by up to `distortion` of half the way to its neighbors.

    Each of the eight coordinates is drawn uniformly. An image one pixel wide or high stays. Above
    2/3 the four corners need not be convex any more, and some images fold over.
    """

    distortion: Annotated[
        float, Field(ge=0, le=0.9, description="largest share of half the way")
    ] = 0.5
    p: Probability = 0.5
    op: Literal["perspective"] = kind("perspective")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest distortion."""
        yield _at_most(self, "distortion", "max_distortion")


@operation
class Border:
    """Say what rotate, translate, scale, shear and perspective find outside the image.

    Without it: constant 0 (black). `fill` is in pixel space from 0 (black) to 1; `reflect`
    mirrors without repeating the border pixel; `edge` repeats the border pixel.
    """

    mode: Annotated[Edge, Field(description="constant, edge or reflect")] = "constant"
    fill: Annotated[Unit, Field(description="constant border, from 0 (black) to 1")] = 0.0
    op: Literal["border"] = kind("border")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: it only fills."""
        yield from ()


def _share_kept(size: Any, padding: int, setting: Setting) -> float | None:
    # A window at the edge shows least of the image: padding takes the place of the rest.
    source = setting.before_windows
    if source is None:
        return None
    sides = zip(pair(size), source, strict=True)
    return math.prod(min(max(side - padding, 0), whole) / whole for side, whole in sides)


def _one_pixel(value: Any, size: tuple[int, int] | None, setting: Setting) -> Iterator[Effect]:
    if size == (1, 1) and setting.source != (1, 1):
        yield Effect("min_content", "size", value, 0.0, mildest=0.0)


def _at_most(operation: Any, parameter: str, rule: str) -> Effect:
    value = getattr(operation, parameter)
    worst = max(map(abs, interval(value)))

    def passing(most: float) -> Any:
        return clamped(value, -most, most)

    return Effect(rule, parameter, value, worst, passing, never=operation.p == 0)


def _shift_left(name: str, most: float, p: float) -> Effect:
    return Effect(
        "min_content", name, most, 1 - most, lambda least: min(most, rounded_down(1 - least)),
        never=p == 0,
    )  # fmt: skip


def _reflects(setting: Setting) -> bool:
    # Then what leaves the image on one side is seen on the other.
    return any(isinstance(item, Border) and item.mode == "reflect"
               for item in setting.policy.operations)  # fmt: skip


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

"""Change brightness, contrast, saturation and hue."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from augfeed.constants import FROM_YIQ, LUMA, YIQ
from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
    Linear,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    between,
    interval,
    kind,
    operation,
    ordered,
)
from augfeed.operation.effects import clamped, content, factor_left, rounded_down
from augfeed.operation.linear import Matrix, Scaled, Step
from augfeed.operation.pixel import PI, cos, sin, where
from augfeed.operation.program import Node
from augfeed.operation.reference import SampleColumns, weighted
from augfeed.operation.words import bounds_text
from augfeed.ops._jitter_steps import jitter_tree

if TYPE_CHECKING:
    from torch import Tensor

Factor = Annotated[float, Field(ge=0, le=100)]
Turns = Annotated[float, Field(ge=-0.5, le=0.5)]
Strength = Annotated[
    Annotated[float, Field(ge=0, le=99)] | tuple[Factor, Factor],
    Field(description="a number s for factors in [max(0, 1 - s), 1 + s], or (lowest, highest)"),
]
FACTORS = ("brightness", "contrast", "saturation")
NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


def _brightness(brightness: float) -> Scaled:
    return brightness, 0.0


def _contrast(contrast: float, brightness: float, about_half: Any, mean: float) -> Scaled:
    about = where(about_half, 0.5, brightness * mean)
    return contrast, (1.0 - contrast) * about


def _saturation(saturation: float) -> Matrix:
    rest = 1.0 - saturation
    red, green, blue = LUMA[0] * rest, LUMA[1] * rest, LUMA[2] * rest
    return (
        (red + saturation, green, blue),
        (red, green + saturation, blue),
        (red, green, blue + saturation),
    )


def _turned(i: int, j: int, c: float, s: float) -> float:
    # Of the way to YIQ, a turn there, and the way back.
    p, q = YIQ[1][j], YIQ[2][j]
    back = FROM_YIQ[i]
    return back[0] * YIQ[0][j] + back[1] * (c * p - s * q) + back[2] * (s * p + c * q)


def _hue(hue: float) -> Matrix:
    angle = 2.0 * PI * hue
    c, s = cos(angle), sin(angle)
    return (
        (_turned(0, 0, c, s), _turned(0, 1, c, s), _turned(0, 2, c, s)),
        (_turned(1, 0, c, s), _turned(1, 1, c, s), _turned(1, 2, c, s)),
        (_turned(2, 0, c, s), _turned(2, 1, c, s), _turned(2, 2, c, s)),
    )


@operation
class ColorJitter(Linear):
    """Change brightness, contrast, saturation and hue, in this order, by uniform factors.

    Brightness multiplies. Contrast scales the distance to the image's own mean gray
    (`about="mean"`, torchvision's law) or to 0.5 (`about="half"`). Saturation scales the distance
    to the pixel's gray (ITU-R 601: 0.299, 0.587, 0.114). Hue turns the chroma plane (YIQ) by
    `360 * hue` degrees, from red by magenta to blue: linear, and the other way round than a shift
    in HSV. The mean gray is that of the image after cropping and resizing, before any geometric
    operation. Nothing is clamped in between, only once after all. Saturation and hue leave images
    of one channel as they are.

    `clamp="each"` is the law of torchvision, SimCLR and Pillow: whole levels, held and rounded
    after each of the four; `hue_space="hsv"` shifts the hue of HSV, `ordering="random"` draws the
    order of the four for each sample. It is a program, on the frame before geometry.
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
    hue_space: Annotated[
        Literal["yiq", "hsv"], Field(description="where hue is turned: YIQ is linear")
    ] = "yiq"
    ordering: Annotated[
        Literal["fixed", "random"], Field(description="the order of the four, or a drawn one")
    ] = "fixed"
    clamp: Annotated[
        Literal["end", "each"], Field(description="values are held once, or after each of the four")
    ] = "end"
    later = ("hue_space", "ordering", "clamp")
    op: Literal["color_jitter"] = kind("color_jitter")
    order = 400
    stream = 13
    uniforms = 5
    columns = (
        *(Column(name, np.float32, neutral=1) for name in FACTORS),
        Column("hue", np.float32),
        Column("about_half", np.bool_, neutral=False),
    )
    steps = (
        Step(_brightness, ("brightness",)),
        Step(_contrast, ("contrast", "brightness", "about_half"), mean_unless="about_half"),
        Step(_saturation, ("saturation",), rgb=True),
        Step(_hue, ("hue",), rgb=True),
    )
    moves = False
    short = "jitter"
    cases = {
        "brightness": "jitter(brightness=0.6)",
        "contrast about mean": "jitter(contrast=0.8)",
        "contrast about half": 'jitter(contrast=0.8, about="half")',
        "brightness and contrast": "jitter(0.5, 0.5)",
        "saturation": "jitter(saturation=0.9)",
        "hue": "jitter(hue=0.5)",
        "jitter": "jitter(0.4, 0.4, 0.4, 0.1)",
        "jitter, some": "jitter(0.4, 0.4, 0.4, 0.3, p=0.5) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "jitter in any order": 'jitter(0.4, 0.4, 0.4, 0.1, p=0.8, hue_space="hsv", '
        'ordering="random", clamp="each") | horizontal_flip',
        "jitter by hue alone": 'jitter(hue=0.5, hue_space="hsv", clamp="each")',
        "jitter that clips": "jitter([2.0, 3.0], [2.0, 3.0], [2.0, 3.0], 0.5)",
    }

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

    @model_validator(mode="after")
    def _one_law(self) -> Self:
        if self.clamp == "end":
            if (self.hue_space, self.ordering) != ("yiq", "fixed"):
                raise ValueError(
                    f"hue_space={self.hue_space!r} and ordering={self.ordering!r} with "
                    "clamp='end' are not carried out: one matrix is in YIQ and in the fixed "
                    "order; use clamp='each'"
                )
        elif self.about != "mean" or (self.hue and self.hue_space != "hsv"):
            raise ValueError(
                f"about={self.about!r} and hue_space={self.hue_space!r} with clamp='each' are not "
                "carried out: use about='mean' and hue_space='hsv', or clamp='end'"
            )
        elif not self._drawn:
            raise ValueError("clamp='each' without any strength changes nothing: give one")
        return self

    @property
    def _drawn(self) -> tuple[tuple[str, Interval], ...]:
        return tuple((name, self.bounds(name)) for name, value in NEUTRAL.items()
                     if self.bounds(name) != (value, value))  # fmt: skip

    @property
    def program(self) -> Node | None:
        """Its steps on whole levels; None where it is one matrix."""
        if self.clamp == "end":
            return None
        return jitter_tree(self._drawn, self.p, mixed=self.ordering == "random")

    def bounds(self, name: str) -> Interval:
        """Return the lowest and the highest factor of brightness, contrast or saturation, or the
        turns of hue."""
        value: float | Interval = getattr(self, name)
        return interval(value) if name == "hue" else interval(value, about=1.0, low=0.0)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it does to hue and saturation, and what light and contrast leave."""
        turns, never = self.hue, self.p == 0
        yield Effect(
            "max_hue", "hue", turns, max(map(abs, self.bounds("hue"))),
            lambda most: clamped(turns, -most, most), never=never,
        )  # fmt: skip
        low, high = self.bounds("saturation")
        passing = (0.1, max(high, 0.1)) if isinstance(self.saturation, tuple) else 0.9
        yield Effect(
            "grayscale", "saturation", self.saturation, low == 0, lambda _: passing, never=never
        )
        # Much contrast leaves the shapes: only too little of it takes them.
        for name, left, both in (("brightness", factor_left, True), ("contrast", _damped, False)):
            value = getattr(self, name)
            milder = partial(_milder, value, both=both)
            yield content(name, value, self.bounds(name), left, milder, p=self.p)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the factors and the turns."""
        values = {name: between(u[1 + k], *self.bounds(name)) for k, name in enumerate(NEUTRAL)}
        columns = {name: np.where(applied, values[name], NEUTRAL[name]) for name in NEUTRAL}
        columns["about_half"] = applied & (self.about == "half")
        return Drawn(dict(values), columns)

    @property
    def needs_mean(self) -> bool:
        """Whether contrast may be about the mean."""
        return self.contrast != 0 and self.about == "mean"

    @property
    def for_rgb(self) -> tuple[str, ...]:
        """Saturation and hue, those that may change something."""
        names = {name for name, _ in self._drawn}
        return tuple(name for name in ("saturation", "hue") if name in names)

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return colors after brightness, contrast, saturation and hue."""
        import torch

        values = values * given.column("brightness")
        about = 0.5 if self.about == "half" else given.column("brightness") * given.mean
        values = given.blend(values, about, "contrast")
        if values.shape[1] != 3:
            return values
        values = given.blend(values, weighted(values, LUMA), "saturation")
        # Cosines on the host: a device's own may differ between the ends of a vector.
        angle = 2.0 * np.pi * given.columns["hue"].astype(np.float64)
        c, s = given.tensor(np.cos(angle)), given.tensor(np.sin(angle))
        luma, p, q = (weighted(values, weights) for weights in YIQ)
        yiq = torch.cat([luma, p * c - q * s, p * s + q * c], dim=1)
        turned = torch.cat([weighted(yiq, weights) for weights in FROM_YIQ], dim=1)
        return torch.where(given.column("hue") != 0, turned, values)

    def explain(self, seen: SampleValues) -> Wording:
        """Return what may have changed, and by how much it did."""
        values, done, law = dict(seen.values), [], []
        for name, neutral in NEUTRAL.items():
            bounds = self.bounds(name)
            if bounds == (neutral, neutral):
                del values[name]
            elif seen.channels == 1 and name in ("saturation", "hue"):
                done.append(f"{name} has no effect on gray")
            elif name == "hue":
                done.append(f"hue {360 * values[name]:+.1f} degrees")
                law.append(bounds_text((360 * bounds[0], 360 * bounds[1])))
            else:
                done.append(f"{name} x {values[name]:.2f}")
                law.append(bounds_text(bounds))
        text = f"uniform in {', '.join(law)}" if law else ""
        return Wording(", ".join(done) or "no change", text, values=values)


def _damped(factor: float) -> float:
    return min(factor, 1.0)


def _milder(value: Any, least: float, *, both: bool) -> Any:
    # A factor of at least so much, and, if `both` ends matter, at most its inverse.
    high = rounded_down(1 / least) if both else 100.0
    if isinstance(value, tuple):
        return clamped(value, least, high)
    return rounded_down(min(value, 1 - least, high - 1))

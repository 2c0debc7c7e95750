"""Move pixels by a smooth random field."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from augfeed.operation import (
    Column,
    Displacement,
    Drawn,
    Effect,
    Flags,
    Interval,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Unit,
    Wording,
    between,
    ends,
    kind,
    operation,
    ordered,
)
from augfeed.operation.effects import clamped, rounded_down
from augfeed.operation.elastic import KEY, displaced
from augfeed.operation.reference import SampleColumns
from augfeed.operation.words import bounds_text

if TYPE_CHECKING:
    from torch import Tensor

MOST_ALPHA, LEAST_SIGMA, MOST_SIGMA = 10_000.0, 0.1, 64.0
FAR = 4.0  # standard deviations of a displacement that hardly any pixel has
Alpha = Annotated[float, Field(ge=0, le=MOST_ALPHA)]
Sigma = Annotated[float, Field(ge=LEAST_SIGMA, le=MOST_SIGMA)]


@operation
class Elastic(Displacement):
    """Move each pixel by a random field that is smooth (Simard and others, 2003).

    torchvision's `ElasticTransform` of square images: each pixel draws two numbers, uniform from -1
    to 1; both planes are smoothed by a Gaussian of standard deviation `sigma` in pixels, of
    `int(8 sigma + 1)` taps (one more if even), borders reflect; a pixel is looked for `alpha / 2`
    times as many pixels away, between pixels linearly, and outside of the image is `fill`. So
    `alpha=50, sigma=5` moves pixels by 0.8 in the root mean square, along x and along y. uint8
    images are rounded to whole levels. Each sample draws `alpha` and `sigma` uniformly where they
    are (lowest, highest). The image is that after cropping, padding and resizing, before any other
    geometry.
    """

    alpha: Annotated[
        Alpha | tuple[Alpha, Alpha],
        Field(description="twice the pixels that a field of 1 moves by, or (lowest, highest)"),
    ] = 50.0
    sigma: Annotated[
        Sigma | tuple[Sigma, Sigma],
        Field(description="standard deviation in pixels, or (lowest, highest)"),
    ] = 5.0
    fill: Annotated[Unit, Field(description="outside of the image, from 0 (black) to 1")] = 0.0
    p: Probability = 0.5
    op: Literal["elastic"] = kind("elastic")
    order = 288
    stream = 47
    uniforms = 5
    columns = (
        Column("elastic_alpha", np.float32),
        Column("elastic_sigma", np.float32, neutral=1),
        Column("elastic_fill", np.float32),
        Column("elastic_key", np.float32),
        Column("elastic_key_high", np.float32),
    )
    reads = columns
    moves = True
    source = "https://www.microsoft.com/en-us/research/publication/best-practices-for-convolutional-neural-networks-applied-to-visual-document-analysis/"
    cases = {
        "elastic": "elastic(40, 3, p=1.0)",
        "elastic, some": "elastic([10, 200], [1, 4], 0.4, p=0.6) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("alpha", "sigma")
    @classmethod
    def _in_order(cls, value: float | Interval, info: ValidationInfo) -> float | Interval:
        low, high = (0.0, MOST_ALPHA) if info.field_name == "alpha" else (LEAST_SIGMA, MOST_SIGMA)
        ordered(ends(value), str(info.field_name), low, high)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how far pixels move, as a share of half of a side."""
        never, value = self.p == 0, self.alpha
        if setting.size is None:
            yield Effect("max_distortion", "alpha", value, None, never=never)
            return
        far = FAR * spread_of(ends(self.sigma)[0]) / min(setting.size)
        yield Effect(
            "max_distortion", "alpha", value, min(1.0, ends(value)[1] * far),
            lambda most: clamped(value, 0.0, rounded_down(most / far)), never=never,
        )  # fmt: skip

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return strengths, standard deviations, the fill, and the keys of the fields."""
        alpha, sigma = between(u[1], *ends(self.alpha)), between(u[2], *ends(self.sigma))
        drawn = (alpha, sigma, self.fill, u[3] * 2**KEY, u[4] * 2**KEY)
        columns: dict[str, Any] = {
            column.name: np.where(applied, values, column.neutral)
            for column, values in zip(self.columns, drawn, strict=True)
        }
        return Drawn({"alpha": alpha, "sigma": sigma}, columns)

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return images whose pixels are looked for at other places."""
        return displaced(values, given, tuple(given.columns[name.name] for name in Elastic.reads))

    def explain(self, seen: SampleValues) -> Wording:
        """Return the strength, the standard deviation and how far pixels moved."""
        alpha, sigma = seen.values["alpha"], seen.values["sigma"]
        law = [f"{name} uniform in {bounds_text(value)}"
               for name in ("alpha", "sigma")
               if isinstance(value := getattr(self, name), tuple)]  # fmt: skip
        moved = alpha * spread_of(sigma) / 2
        text = f"moved by a smooth field: alpha {alpha:.3g}, sigma {sigma:.3g}"
        return Wording(f"{text}, {moved:.2g} pixels in the root mean square", ", ".join(law))


def spread_of(sigma: float) -> float:
    """Return the standard deviation of a smoothed number of a pixel."""
    return min(1.0, 1 / (2 * math.sqrt(math.pi) * sigma)) / math.sqrt(3)

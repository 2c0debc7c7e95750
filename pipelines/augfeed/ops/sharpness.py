"""Sharpen, or smooth, by a factor."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Stencil,
    Uniforms,
    Wording,
    between,
    ends,
    kind,
    operation,
    ordered,
)
from augfeed.operation.pixel import floor, maximum, minimum, where
from augfeed.operation.reference import SampleColumns
from augfeed.operation.words import bounds_text

if TYPE_CHECKING:
    from torch import Tensor

MOST = 100.0
Factor = Annotated[float, Field(ge=0, le=MOST)]


@operation
class Sharpness(Stencil):
    """Scale the difference of each pixel from a smooth image by `factor`: 0 is smooth, 1 as it is.

    Pillow's `ImageEnhance.Sharpness`, exactly, and torchvision's `adjust_sharpness`: the smooth
    image has the middle of each 3 x 3 five times, its neighbors once, of 13, rounded to a level;
    the outermost pixels stay; the result is cut off to a level. Nothing is rounded in float images.
    Each sample draws `factor` uniformly where it is (lowest, highest). The image is that after
    cropping, padding and resizing, before any geometry.
    """

    factor: Annotated[
        Factor | tuple[Factor, Factor],
        Field(description="factor, from 0 to 100, or (lowest, highest)"),
    ] = (0.1, 1.9)
    p: Probability = 0.5
    op: Literal["sharpness"] = kind("sharpness")
    order = 280
    stream = 45
    uniforms = 2
    columns = (Column("sharpness", np.float32, neutral=1),)
    reads = columns
    moves = False
    harmless = "a factor of 0 mixes pixels with those next to them, and no others"
    cases = {
        "sharpness": "sharpness(1.9, p=1.0)",
        "sharpness, some": "sharpness([0.0, 3.0], p=0.6) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("factor")
    @classmethod
    def _in_order(cls, value: float | Interval) -> float | Interval:
        ordered(ends(value), "factor", 0, MOST)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: pixels are mixed with those next to them alone."""
        yield from ()

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the factors."""
        factor = between(u[1], *ends(self.factor))
        return Drawn({"factor": factor}, {"sharpness": np.where(applied, factor, 1.0)})

    @staticmethod
    def stencil(above: Any, line: Any, below: Any, top: Any, factor: Any) -> Any:
        """Return the value at a factor of its distance from the smooth one."""
        own = line[1]
        beside = above[0] + above[1] + above[2] + line[0] + line[2]
        total = beside + below[0] + below[1] + below[2] + own * 5.0
        mean = total * (1.0 / 13.0)
        smooth = where(top > 1.0, floor(mean + 0.5), mean)
        made = minimum(maximum(smooth + factor * (own - smooth), 0.0), top)
        return where(top > 1.0, floor(made), made)

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return images blended with what a convolution makes of them, as torchvision writes it."""
        import torch

        if min(values.shape[2:]) <= 2:
            return values
        unit = 255.0 if given.quantized else 1.0
        own = (values * unit).round() if given.quantized else values
        sums = torch.zeros_like(own[:, :, 1:-1, 1:-1])
        for y in range(3):
            for x in range(3):
                part = own[:, :, y : own.shape[2] - 2 + y, x : own.shape[3] - 2 + x]
                sums = sums + part * (5.0 if y == x == 1 else 1.0)
        smooth = own.clone()
        smooth[:, :, 1:-1, 1:-1] = (sums / 13.0).round() if given.quantized else sums / 13.0
        made = (smooth + given.column("sharpness") * (own - smooth)).clamp(0.0, unit)
        return made.floor() / unit if given.quantized else made

    def explain(self, seen: SampleValues) -> Wording:
        """Return the factor."""
        law = f"uniform in {bounds_text(self.factor)}" if isinstance(self.factor, tuple) else ""
        return Wording(f"sharpness x {seen.values['factor']:.3g}", law)

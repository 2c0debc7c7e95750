"""Enlarge or shrink about the center."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from numpy.typing import NDArray
from pydantic import Field, field_validator

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Geometry,
    Interpolation,
    Interval,
    Matrices,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    between,
    kind,
    operation,
    ordered,
)
from augfeed.operation.effects import clamped, content, factor_left, rounded_down
from augfeed.operation.words import bounds_text
from augfeed.ops._geometry import identities, keep_centre

Zoom = Annotated[float, Field(ge=0.05, le=20)]


@operation
class Scale(Geometry):
    """Enlarge about the center by a factor uniform in `factor`; above 1 enlarges."""

    factor: Annotated[tuple[Zoom, Zoom], Field(description="(lowest, highest) factor")] = (0.9, 1.1)
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["scale"] = kind("scale")
    order = 340
    stream = 10
    uniforms = 2
    moves = True
    cases = {
        "scale": "scale([0.5, 2.0])",
        "scale far out, constant": "scale([0.05, 0.1]) | border(fill=0.4)",
        "scale far out, reflect": 'scale([0.05, 0.1]) | border("reflect")',
        "scale far in": "scale([10.0, 20.0])",
        "scale, random filter": 'scale([0.5, 3.0], interpolation="random")',
    }

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

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the factors."""
        return Drawn({"factor": between(u[1], *self.factor)}, {})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        matrices[:, 0, 0] = matrices[:, 1, 1] = 1.0 / values["factor"]
        keep_centre(matrices, size)
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return the factor."""
        factor = seen.values["factor"]
        how = "enlarged" if factor >= 1 else "shrunk"
        return Wording(f"{how}: factor {factor:.3f}", f"uniform in {bounds_text(self.factor)}")

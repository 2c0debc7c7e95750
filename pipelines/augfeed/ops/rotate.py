"""Turn about the center."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
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
    interval,
    kind,
    operation,
    ordered,
)
from augfeed.operation.words import bounds_text
from augfeed.ops._geometry import at_most, identities, keep_centre

Angle = Annotated[float, Field(ge=-180, le=180)]


@operation
class Rotate(Geometry):
    """Turn about the center by an angle uniform in `degrees`, counter-clockwise if positive."""

    degrees: Annotated[
        Annotated[float, Field(ge=0, le=180)] | tuple[Angle, Angle],
        Field(description="degrees: a number a for (-a, a), or (lowest, highest)"),
    ]
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["rotate"] = kind("rotate")
    order = 320
    stream = 8
    uniforms = 2
    moves = True
    cases = {
        "rotate": "rotate(45)",
        "rotate, nearest": 'rotate(45, interpolation="nearest") | border(fill=[0.9, 0.1, 0.4])',
        "rotate, bicubic": 'rotate(45, interpolation="bicubic") | border(fill=[0.9, 0.1, 0.4])',
        "rotate any": "rotate([-180, 180], p=0.7) | border(fill=1)",
    }

    @field_validator("degrees")
    @classmethod
    def _degrees(cls, value: float | Interval) -> float | Interval:
        ordered(interval(value), "degrees", -180.0, 180.0)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest angle."""
        yield at_most(self, "degrees", "max_rotation")

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the angles."""
        return Drawn({"degrees": between(u[1], *interval(self.degrees))}, {})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        angle = np.deg2rad(values["degrees"])
        cos, sin = np.cos(angle), np.sin(angle)
        matrices[:, 0, 0], matrices[:, 0, 1] = cos, -sin
        matrices[:, 1, 0], matrices[:, 1, 1] = sin, cos
        keep_centre(matrices, size)
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return the angle."""
        degrees = seen.values["degrees"]
        way = "counter-" if degrees >= 0 else ""
        law = f"uniform in {bounds_text(interval(self.degrees))} degrees"
        return Wording(f"turned {abs(degrees):.1f} degrees {way}clockwise", law)

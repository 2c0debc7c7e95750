"""Slant about the center."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Geometry,
    Interpolation,
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
)
from augfeed.ops._geometry import at_most, identities, keep_centre


@operation
class Shear(Geometry):
    """Slant along x and y by angles uniform in plus or minus their bounds, about the center."""

    x: Annotated[float, Field(ge=0, le=80, description="largest angle along x, degrees")] = 10.0
    y: Annotated[float, Field(ge=0, le=80, description="largest angle along y, degrees")] = 0.0
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["shear"] = kind("shear")
    order = 350
    stream = 11
    uniforms = 3
    moves = True
    cases = {
        "shear": "shear(30, 20)",
        "shear, random filter": 'shear(30, 20, interpolation="random") | border("reflect")',
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield the largest angles."""
        yield at_most(self, "x", "max_shear")
        yield at_most(self, "y", "max_shear")

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the angles."""
        x, y = between(u[1], -self.x, self.x), between(u[2], -self.y, self.y)
        return Drawn({"x_degrees": x, "y_degrees": y}, {})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        x, y = (np.tan(np.deg2rad(values[name])) for name in ("x_degrees", "y_degrees"))
        matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0] = 1.0 + x * y, -x, -y
        keep_centre(matrices, size)
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return the angles."""
        x, y = seen.values["x_degrees"], seen.values["y_degrees"]
        law = f"uniform, up to {self.x:g} and {self.y:g} degrees"
        return Wording(f"slanted by {x:.1f} degrees along x, {y:.1f} along y", law)

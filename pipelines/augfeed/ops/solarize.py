"""Invert bright values."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Pointwise,
    Probability,
    Seen,
    Setting,
    Sides,
    Told,
    Uniforms,
    Unit,
    kind,
    operation,
)


@operation
class Solarize(Pointwise):
    """Invert every value at or above `threshold`."""

    threshold: Annotated[Unit, Field(description="threshold, from 0 to 1")] = 0.5
    p: Probability = 0.5
    op: Literal["solarize"] = kind("solarize")
    order = 510
    stream = 17
    uniforms = 1
    columns = (Column("threshold", np.float32, neutral=2),)
    moves = False
    cases = {"solarize": "solarize(0.4, p=1.0)"}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that values are inverted."""
        yield Effect("invert", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the thresholds."""
        return Drawn({}, {"threshold": np.where(applied, self.threshold, 2.0)})

    def explain(self, seen: Seen) -> Told:
        """Return the threshold."""
        return Told(f"values from {self.threshold:g} on inverted")

"""Invert bright values."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Pointwise,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Unit,
    Wording,
    kind,
    operation,
)
from augfeed.operation.pixel import where
from augfeed.operation.reference import SampleColumns

if TYPE_CHECKING:
    from torch import Tensor


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
    reads = columns
    moves = False
    cases = {"solarize": "solarize(0.4, p=1.0)"}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that values are inverted."""
        yield Effect("invert", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the thresholds."""
        return Drawn({}, {"threshold": np.where(applied, self.threshold, 2.0)})

    @property
    def jump(self) -> float:
        """The most that the values on both sides of a threshold come apart."""
        return 1.0

    @staticmethod
    def pixel(value: Any, threshold: Any) -> Any:
        """Return the value, or what it lacks of 1 from the threshold on."""
        return where(value >= threshold, 1.0 - value, value)

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return values below the threshold, and what others lack of 1."""
        import torch

        return torch.where(values < given.column("threshold"), values, 1.0 - values)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the threshold."""
        return Wording(f"values from {self.threshold:g} on inverted")

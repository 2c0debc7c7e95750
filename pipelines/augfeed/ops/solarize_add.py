"""Brighten dark values, and leave bright ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    ARXIV,
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
    Pointwise,
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
from augfeed.operation.effects import clamped
from augfeed.operation.pixel import maximum, minimum, where
from augfeed.operation.reference import SampleColumns
from augfeed.operation.words import bounds_text

if TYPE_CHECKING:
    from torch import Tensor

Addition = Annotated[float, Field(ge=-1, le=1)]


@operation
class SolarizeAdd(Pointwise):
    """Add `addition` to every value below `threshold`, and keep the result within 0 and 1.

    The `SolarizeAdd` of AutoAugment's and timm's policies, which add up to 110 levels of 255 to
    values below 128: `solarize_add(110 / 255)`. Each sample draws `addition` uniformly where it is
    (lowest, highest).
    """

    addition: Annotated[
        Addition | tuple[Addition, Addition],
        Field(description="what is added, from -1 to 1, or (lowest, highest)"),
    ] = (0.0, 110 / 255)
    threshold: Annotated[Unit, Field(description="threshold, from 0 to 1")] = 0.5
    p: Probability = 0.5
    op: Literal["solarize_add"] = kind("solarize_add")
    order = 515
    stream = 41
    uniforms = 2
    columns = (Column("addition", np.float32), Column("added_below", np.float32))
    reads = columns
    moves = False
    source = f"{ARXIV}1805.09501"
    cases = {
        "solarize_add": "solarize_add(0.3, p=1.0)",
        "solarize_add, some": "solarize_add([-0.5, 0.5], 0.6) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("addition")
    @classmethod
    def _in_order(cls, value: float | Interval) -> float | Interval:
        ordered(ends(value), "addition", -1, 1)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that dark values may pass bright ones, and what is left of all of them."""
        low, high = ends(self.addition)
        value, never = self.addition, self.p == 0
        passing = clamped(value, -1.0, 0.0)
        yield Effect(
            "invert", "addition", value, high > 0 and self.threshold > 0, lambda _: passing,
            never=never,
        )  # fmt: skip

        def milder(least: float) -> Any:
            most = (1 - least) / self.threshold if self.threshold > 0 else 1.0
            return clamped(value, -most, most)

        mildest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        worst = max(abs(low), abs(high))
        left = [1 - self.threshold * strength for strength in (worst, mildest)]
        yield Effect("min_content", "addition", value, left[0], milder, left[1], never)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return what is added, and below which value."""
        addition = between(u[1], *ends(self.addition))
        columns = {
            "addition": np.where(applied, addition, 0.0),
            "added_below": np.where(applied, self.threshold, 0.0),
        }
        return Drawn({"addition": addition}, columns)

    @property
    def jump(self) -> float:
        """The most that the values on both sides of the threshold come apart."""
        return max(map(abs, ends(self.addition)))

    @staticmethod
    def pixel(value: Any, addition: Any, threshold: Any) -> Any:
        """Return the value, and more of it below the threshold."""
        return where(value < threshold, minimum(maximum(value + addition, 0.0), 1.0), value)

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return values from the threshold on, and others with the addition, clamped."""
        import torch

        more = (values + given.column("addition")).clamp(0.0, 1.0)
        return torch.where(values >= given.column("added_below"), values, more)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the addition and the threshold."""
        value = self.addition
        law = f"uniform in {bounds_text(value)}" if isinstance(value, tuple) else ""
        text = f"{seen.values['addition']:+.3g} to values below {self.threshold:g}"
        return Wording(text, law)

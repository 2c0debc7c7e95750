"""Raise values to a power."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from augfeed.operation import (
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
    Wording,
    between,
    ends,
    kind,
    operation,
    ordered,
)
from augfeed.operation.effects import clamped, content, factor_left, rounded_down
from augfeed.operation.pixel import exp2, log2, minimum, where
from augfeed.operation.reference import SampleColumns
from augfeed.operation.words import bounds_text

if TYPE_CHECKING:
    from torch import Tensor

LEAST, MOST = 0.01, 100.0
ROUNDING = 1e-5  # of a value, after the operations before
Power = Annotated[float, Field(ge=LEAST, le=MOST)]


@operation
class Gamma(Pointwise):
    """Make each value `v`, from 0 to 1, into `min(1, gain * v ** gamma)`.

    torchvision's `adjust_gamma` and Kornia's `RandomGamma`: above 1 `gamma` makes shadows darker,
    below 1 lighter; 0 stays 0, and with a `gain` of 1 so does 1. Each sample draws both uniformly
    where they are (lowest, highest).
    """

    gamma: Annotated[
        Power | tuple[Power, Power],
        Field(description="exponent, from 0.01 to 100, or (lowest, highest)"),
    ] = (0.8, 1.25)
    gain: Annotated[
        Power | tuple[Power, Power],
        Field(description="factor, from 0.01 to 100, or (lowest, highest)"),
    ] = 1.0
    p: Probability = 1.0
    op: Literal["gamma"] = kind("gamma")
    order = 520
    stream = 40
    uniforms = 3
    # No exponent is 0: a sample that has it is left out.
    columns = (Column("gamma", np.float32), Column("gain", np.float32, neutral=1))
    reads = columns
    moves = False
    cases = {
        "gamma": "gamma(2.2)",
        "gamma, some": "gamma([0.5, 2.0], [0.8, 1.25], p=0.5) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "gamma after jitter": "jitter(0.4, 0.4, 0.4, 0.1) | gamma(0.4)",
    }

    @field_validator("gamma", "gain")
    @classmethod
    def _in_order(cls, value: float | Interval, info: ValidationInfo) -> float | Interval:
        ordered(ends(value), str(info.field_name), LEAST, MOST)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what of the values a power, and a factor, leave apart."""
        for name in ("gamma", "gain"):
            value = getattr(self, name)
            milder = partial(_milder, value)
            yield content(name, value, ends(value), factor_left, milder, p=self.p)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the exponents and the factors."""
        gamma, gain = between(u[1], *ends(self.gamma)), between(u[2], *ends(self.gain))
        columns = {"gamma": np.where(applied, gamma, 0.0), "gain": np.where(applied, gain, 1.0)}
        return Drawn({"gamma": gamma, "gain": gain}, columns)

    @property
    def jump(self) -> float:
        """How far a power below 1 sets values apart that rounding does: near 0 it is steep."""
        least = ends(self.gamma)[0]
        return ends(self.gain)[1] * ROUNDING**least if least < 1 else 0.0

    @staticmethod
    def pixel(value: Any, gamma: Any, gain: Any) -> Any:
        """Return a power of the value, by its logarithm; that of 0 is 0."""
        power = exp2(gamma * log2(where(value > 0.0, value, 1.0)))
        return where(gamma > 0.0, where(value > 0.0, minimum(gain * power, 1.0), 0.0), value)

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return powers of values, multiplied and clamped, as torchvision writes it."""
        return (given.column("gain") * values ** given.column("gamma")).clamp(0.0, 1.0)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the exponent and the factor."""
        done, law = [], []
        for name, sign in (("gamma", ""), ("gain", "x ")):
            value = getattr(self, name)
            if isinstance(value, tuple) or name == "gamma" or value != 1:
                done.append(f"{name} {sign}{seen.values[name]:.3g}")
            if isinstance(value, tuple):
                law.append(f"{name} uniform in {bounds_text(value)}")
        return Wording(", ".join(done), ", ".join(law))


def _milder(value: float | Interval, least: float) -> Any:
    return clamped(value, least, rounded_down(1 / least)) if least > 0 else None

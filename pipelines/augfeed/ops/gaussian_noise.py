"""Add normal noise to every value."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
    Noise,
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
from augfeed.operation.effects import CONTRAST, clamped, noise_left, rounded_down
from augfeed.operation.words import bounds_text
from augfeed.ops.normalize import Normalize

Sigma = Annotated[float, Field(ge=0, le=100)]


@operation
class GaussianNoise(Noise):
    """Add normal noise to every value, never clamped, with a fresh number for each.

    `sigma` counts in the space of the model's input; with `space="pixel"` it counts in pixel space
    from 0 to 1 and is divided by the `std` of `Normalize`. A pair is an interval that each sample
    draws from. The normal law has 65,536 quantiles, so it ends at 4.3 sigma.
    """

    sigma: Annotated[
        Sigma | tuple[Sigma, Sigma],
        Field(description="standard deviation, or (lowest, highest)"),
    ] = 0.05
    p: Probability = 1.0
    space: Annotated[
        Literal["normalized", "pixel"], Field(description="space that sigma counts in")
    ] = "normalized"
    op: Literal["gaussian_noise"] = kind("gaussian_noise")
    order = 900
    stream = 21
    uniforms = 2
    columns = (Column("sigma", np.float32),)
    moves = False
    short = "noise"
    cases = {
        "gaussian noise": "noise(0.1)",
        "gaussian noise, normalized": "noise([0.0, 0.5], p=0.7) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "gaussian noise, pixel": 'noise(0.1, space="pixel") | '
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("sigma")
    @classmethod
    def _sigma(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "sigma", 0.0, 100.0)
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the noise leaves of the image."""
        bounds = self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)
        signal = CONTRAST
        for item in setting.policy.operations:
            if isinstance(item, Normalize) and self.space == "normalized":
                signal /= max(item.std) if isinstance(item.std, tuple) else item.std
        ends = [noise_left(sigma, signal) for sigma in bounds]

        def passing(least: float) -> Any:
            return clamped(self.sigma, 0.0, rounded_down(signal * math.sqrt(1 / least - 1)))

        yield Effect("min_content", "sigma", self.sigma, ends[1], passing, ends[0], self.p == 0)

    def check_policy(self, policy: Any) -> None:
        """Refuse a space that nothing defines."""
        if self.space == "pixel" and policy.find(Normalize) is None:
            raise ValueError(
                "gaussian_noise(space='pixel') needs the std of a normalize: add normalize(...), "
                "or use space='normalized' (without normalize the two are the same)"
            )

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the standard deviations."""
        sigma = between(u[1], *ends(self.sigma))
        return Drawn({"sigma": sigma}, {"sigma": np.where(applied, sigma, 0.0)})

    def explain(self, seen: SampleValues) -> Wording:
        """Return the standard deviation."""
        done = f"sigma {seen.values['sigma']:.3g}, {self.space} space"
        law = f"sigma uniform in {bounds_text(self.sigma)}" if isinstance(self.sigma, tuple) else ""
        return Wording(done, law)

"""Hide a random rectangle."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    ARXIV,
    TRIES,
    Areas,
    Aspects,
    Box,
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
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
from augfeed.operation.words import bounds_text
from augfeed.ops._box import hidden
from augfeed.ops.normalize import Normalize


@operation
class RandomErasing(Box):
    """Hide a random rectangle (1708.04896).

    Area share uniform in `scale`; aspect ratio (height / width) log-uniform in `ratio`, or uniform
    as in the paper's code (`aspect_law="uniform"`); position uniform, inside; up to ten tries to
    fit, then nothing is erased. `fill`: a value after normalization (0: mean color), `"mean"`
    (the mean of `Normalize`), or `"noise"`: a standard normal per value after normalization
    (without `Normalize`: uniform from 0 to 1).
    """

    p: Probability = 0.5
    scale: Annotated[Areas, Field(description="(lowest, highest) share of the area")] = (
        0.02,
        0.33,
    )
    ratio: Annotated[Aspects, Field(description="(lowest, highest) height / width")] = (
        0.3,
        1 / 0.3,
    )
    fill: Annotated[
        Literal["mean", "noise"] | float, Field(description="a value, 'mean' or 'noise'")
    ] = 0.0
    aspect_law: Annotated[
        Literal["log-uniform", "uniform"], Field(description="law of the aspect ratio")
    ] = "log-uniform"
    op: Literal["random_erasing"] = kind("random_erasing")
    order = 710
    stream = 19
    short = "erase"
    uniforms = 4 + 4 * TRIES
    columns = (Column("erased", np.int32, shape=(4,)),)
    moves = False
    source = f"{ARXIV}1708.04896"
    cases = {
        "erasing": "erase(1.0, fill=0.7)",
        "erasing, mean": 'erase(fill="mean") | '
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "erasing, noise": 'erase(1.0, fill="noise")',
        "erasing, normal noise": 'erase(0.8, fill="noise") | '
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: Interval) -> Interval:
        return ordered(value, "scale", 1e-6, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: Interval) -> Interval:
        return ordered(value, "ratio", 0.01, 100.0)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how much it may hide."""
        low, high = self.scale

        def passing(most: float) -> Areas | None:
            return (min(low, most), min(high, most)) if most >= 1e-6 else None

        yield Effect("max_occlusion", "scale", self.scale, high, passing, never=self.p == 0)
        yield Effect(
            "min_content", "scale", self.scale, 1 - high, lambda least: passing(1 - least),
            1 - low, self.p == 0,
        )  # fmt: skip

    def check_policy(self, policy: Any) -> None:
        """Refuse a fill that nothing defines."""
        if self.fill == "mean" and policy.find(Normalize) is None:
            raise ValueError(
                "random_erasing(fill='mean') needs the mean of a normalize: add normalize(...), "
                "or give a number"
            )

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the boxes (top, left, bottom, right): the first of ten tries that fits."""
        from augfeed.kernels.draw_columns import fill_erased

        drawn, (low, high) = u[4:].reshape(TRIES, 4, -1)[:, 1], self.ratio
        if self.aspect_law == "uniform":
            ratios = between(drawn, low, high)
        else:
            # By NumPy: compiled code may round an exponential otherwise, and seeds are a promise.
            ratios = np.exp(between(drawn, np.log(low), np.log(high)))
        boxes = np.empty((u.shape[1], 4), np.int32)
        scale = float(self.scale[0]), float(self.scale[1])
        fill_erased(u, ratios, float(self.p), scale, size, boxes)
        return Drawn({"box": boxes}, {"erased": boxes})

    def explain(self, seen: SampleValues) -> Wording:
        """Return the box and its fill."""
        return hidden(self, seen, f"area share uniform in {bounds_text(self.scale)}")

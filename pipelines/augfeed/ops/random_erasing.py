"""Hide random rectangles."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
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
from augfeed.operation.draws import index
from augfeed.operation.parameter_types import Normalized
from augfeed.operation.words import bounds_text
from augfeed.ops._box import hidden, several_hidden
from augfeed.ops.normalize import Normalize

MOST_COUNT = 4
PER_BOX = 4 * TRIES
Count = Annotated[int, Field(ge=1, le=MOST_COUNT)]


@operation
class RandomErasing(Box):
    """Hide a random rectangle (1708.04896), or `count` of them.

    Area share uniform in `scale`; aspect ratio (height / width) log-uniform in `ratio`, or uniform
    as in the paper's code (`aspect_law="uniform"`); position uniform, inside; up to ten tries to
    fit, then nothing is erased. `fill`: a value after normalization (0: mean color), `"mean"`
    (the mean of `Normalize`), or `"noise"`: a standard normal per value after normalization
    (without `Normalize`: uniform from 0 to 1). With a `count` above 1, as in timm's
    `RandomErasing`, each rectangle has a place and a shape of its own, and its area share divided
    by their number, which each sample draws uniformly where it is (lowest, highest).
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
        Literal["mean", "noise"] | Normalized, Field(description="a value, 'mean' or 'noise'")
    ] = 0.0
    aspect_law: Annotated[
        Literal["log-uniform", "uniform"], Field(description="law of the aspect ratio")
    ] = "log-uniform"
    count: Annotated[
        Count | tuple[Count, Count],
        Field(description="rectangles, from 1 to 4, or (lowest, highest)"),
    ] = 1
    op: Literal["random_erasing"] = kind("random_erasing")
    order = 710
    stream = 19
    short = "erase"
    uniforms = 4 + 4 * TRIES
    # The first box, and the others as (top * 2**16 + left, bottom * 2**16 + right).
    columns = (
        Column("erased", np.int32, shape=(4,)),
        Column("erased_more", np.int32, shape=(2 * (MOST_COUNT - 1),)),
    )
    moves = False
    source = f"{ARXIV}1708.04896"
    cases = {
        "erasing": "erase(1.0, fill=0.7)",
        "erasing, mean": 'erase(fill="mean") | '
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "erasing, noise": 'erase(1.0, fill="noise")',
        "erasing, four": "erase(1.0, count=4)",
        "erasing, some of three": 'erase(0.8, fill="noise", count=[1, 3])',
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

    @field_validator("count")
    @classmethod
    def _in_order(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError(
                f"count={value!r} is not an interval: give (low, high) with 1 <= low <= high "
                f"<= {MOST_COUNT}"
            )
        return value

    @property
    def counts(self) -> tuple[int, int]:
        """The fewest and the most rectangles."""
        return self.count if isinstance(self.count, tuple) else (self.count, self.count)

    @property
    def drawn(self) -> int:
        """The uniforms of the first rectangle; for others their number, and those of each."""
        most = self.counts[1]
        return self.uniforms + (1 + (most - 1) * PER_BOX if most > 1 else 0)

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
        """Return the boxes (top, left, bottom, right): each the first of ten tries that fits."""
        count, (least, most) = np.ones(u.shape[1]), self.counts
        if most > 1:
            count = least + index(u[self.uniforms], most - least + 1).astype(np.float64)
        boxes = [self._boxes(u[: self.uniforms], count, size)]
        for k in range(1, most):
            begin = self.uniforms + 1 + (k - 1) * PER_BOX
            wanted = np.where(applied & (k < count), -1.0, 1.0)
            own = np.concatenate([np.tile(wanted, (4, 1)), u[begin : begin + PER_BOX]])
            boxes.append(self._boxes(own, count, size))
        more = np.zeros((u.shape[1], 2 * (MOST_COUNT - 1)), np.int32)
        for k, box in enumerate(boxes[1:]):
            more[:, 2 * k : 2 * k + 2] = (box[:, ::2] << 16) + box[:, 1::2]
        every = np.stack(boxes, axis=1) if most > 1 else boxes[0]
        return Drawn({"box": every}, {"erased": boxes[0], "erased_more": more})

    def _boxes(self, u: Uniforms, count: NDArray[np.float64], size: Sides) -> NDArray[np.int32]:
        from augfeed.kernels.draw_columns import fill_erased

        drawn, (low, high) = u[4:].reshape(TRIES, 4, -1)[:, 1], self.ratio
        if self.aspect_law == "uniform":
            ratios = between(drawn, low, high)
        else:
            # By NumPy: compiled code may round an exponential otherwise, and seeds are a promise.
            ratios = np.exp(between(drawn, np.log(low), np.log(high)))
        boxes = np.empty((u.shape[1], 4), np.int32)
        scale = float(self.scale[0]), float(self.scale[1])
        fill_erased(u, ratios, float(self.p), scale, count, size, boxes)
        return boxes

    def explain(self, seen: SampleValues) -> Wording:
        """Return the boxes and their fill."""
        law = f"area share uniform in {bounds_text(self.scale)}"
        if self.counts[1] == 1:
            return hidden(self, seen, law)
        return several_hidden(self, seen, f"{law}, divided by their number")


def boxes_of(erased: NDArray[np.int32], more: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return all boxes of some samples, int32 `[N, 4, 4]`, from the columns of the plan."""
    corners = more.reshape(len(more), MOST_COUNT - 1, 2)
    parts = np.stack([corners >> 16 & 0xFFFF, corners & 0xFFFF], axis=3)
    parts = parts.reshape(len(more), MOST_COUNT - 1, 4)
    made: NDArray[np.int32] = np.concatenate([erased[:, None], parts], axis=1)
    return made

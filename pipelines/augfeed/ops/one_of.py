"""Choose between mixing operations."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import (
    Effect,
    Mixing,
    Probability,
    SampleValues,
    Setting,
    Wording,
    kind,
    operation,
)
from augfeed.ops.cutmix import CutMix
from augfeed.ops.mixup import Mixup
from augfeed.philox import Stream

Member = Annotated[Mixup | CutMix, Field(discriminator="op")]


@operation
class OneOf(Mixing):
    """Give a sample one of several mixing operations, chosen with `weights`.

    `p` is the probability that any is chosen; a chosen operation's own `p` then decides once more.
    """

    operations: Annotated[
        tuple[Member, ...], Field(min_length=1, max_length=8, description="what to choose from")
    ]
    weights: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...],
        Field(description="relative weights, one for each operation; none: all the same"),
    ] = ()
    p: Probability = 1.0
    op: Literal["one_of"] = kind("one_of")
    order = 620
    stream = Stream.MIX
    uniforms = 6
    columns = CutMix.columns
    moves = True
    cases = {
        "one of": "one_of([mixup(0.4), cutmix(1.0)])",
        "one of, some": "one_of([mixup(0.4, p=0.8), cutmix(1.0)], [1.0, 3.0], p=0.8) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if self.weights and len(self.weights) != len(self.operations):
            raise ValueError(
                f"weights={self.weights!r} has {len(self.weights)} entries for "
                f"{len(self.operations)} operations: give one weight for each"
            )
        if self.weights and sum(self.weights) <= 0:
            raise ValueError(f"weights={self.weights!r} sum to 0: give one above 0")
        if len({operation.per for operation in self.operations}) > 1:
            raise ValueError("per differs among the operations: use one value for all")
        return self

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that labels are blended, if any member with a weight does it."""
        weights = self.weights or (1.0,) * len(self.operations)
        mixes = any(member.p * weight for member, weight in zip(self.operations, weights,
                                                                strict=True))  # fmt: skip
        yield Effect("mixing", "p", self.p, bool(self.p * mixes))

    def explain(self, seen: SampleValues) -> Wording:
        """Return what was chosen, and what it did."""
        if not seen.applied:
            told = Wording("", otherwise=seen.values["alone"], values={"share": 1.0})
            return replace(told, law=self._chances())
        chosen = next(item for item in self.operations if item.op == seen.values["mixed"]["mode"])
        told = chosen.explain(seen)
        return replace(told, done=f"{chosen.op}: {told.done}", law=f"{self._chances()}; {told.law}")

    def _chances(self) -> str:
        weights = self.weights or (1.0,) * len(self.operations)
        pairs = zip(self.operations, weights, strict=True)
        return " or ".join(f"{item.op} ({weight / sum(weights):.0%})" for item, weight in pairs)

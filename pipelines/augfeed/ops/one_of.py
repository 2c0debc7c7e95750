"""Choose between operations."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

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
from augfeed.operation.program import MOST_CHILDREN, Choice, Node
from augfeed.operation.program_effects import effects_of, moves_pixels
from augfeed.ops._composite import Weights, check_parts, check_weights, nodes
from augfeed.ops.cutmix import CutMix
from augfeed.ops.mixup import Mixup
from augfeed.philox import Stream

if TYPE_CHECKING:
    from augfeed.ops._registry import Member


@operation
class OneOf(Mixing):
    """Give a sample one of several operations, chosen with `weights`.

    They are all mixing operations, or none is: the first choose how samples are mixed, the others
    are a program of one step. `p` is the probability that any is chosen; a chosen operation's own
    `p` then decides once more. An operation may stand in it any number of times.
    """

    operations: Annotated[
        tuple["Member", ...],
        Field(min_length=1, max_length=MOST_CHILDREN, description="what to choose from"),
    ]
    weights: Weights = ()
    p: Probability = 1.0
    op: Literal["one_of"] = kind("one_of")
    order = 620
    stream = Stream.MIX
    uniforms = 6
    columns = CutMix.columns
    cases = {
        "one of any": "one_of([rotate(30), posterize(3, p=1.0), equalize(1.0)])",
        "one of any, nested": "horizontal_flip | one_of([one_of([gray(1.0), solarize(0.5, p=1.0)]),"
        " gaussian_blur(3), jitter(0.4, 0.4, 0.4)], [2.0, 1.0, 1.0], p=0.9) | rotate(10) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "one of": "one_of([mixup(0.4), cutmix(1.0)])",
        "one of, some": "one_of([mixup(0.4, p=0.8), cutmix(1.0)], [1.0, 3.0], p=0.8) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_weights(self.weights, self.operations)
        check_parts(tuple(item for item in self.operations if isinstance(item, OneOf)))
        others = [item.op for item in self.operations if not isinstance(item, Mixup | CutMix)]
        if self.mixers and others:
            raise ValueError(
                f"{self.mixers[0].op!r} mixes samples, and {others[0]!r} changes one: use a one_of "
                "for each"
            )
        if len({operation.per for operation in self.mixers}) > 1:
            raise ValueError("per differs among the operations: use one value for all")
        return self

    @property
    def mixes(self) -> bool:
        """Whether its operations mix samples; else it is a program."""
        return bool(self.mixers)

    @property
    def mixers(self) -> tuple[Mixup | CutMix, ...]:
        """Its operations, if they mix samples; none of a program."""
        return tuple(item for item in self.operations if isinstance(item, Mixup | CutMix))

    @property
    def moves(self) -> bool:
        """Whether pixels may change places: in mixing, or by a step that may be drawn."""
        return self.program is None or moves_pixels(self.program)

    @property
    def program(self) -> Node | None:
        """Its tree, None where it mixes samples."""
        return None if self.mixes else Choice(nodes(self.operations), self.weights, self.p)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that labels are blended, or what any operation with a weight may do."""
        if self.program is not None:
            yield from effects_of(self.program, setting)
            return
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

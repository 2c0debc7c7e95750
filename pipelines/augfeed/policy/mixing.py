"""Operations that mix an image, and its label, with that of a partner."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.policy.base import Probability, kind, operation
from augfeed.policy.effects import Effect, Setting

Alpha = Annotated[float, Field(gt=0, le=1000, description="both parameters of the Beta law")]
Per = Annotated[
    Literal["sample", "batch"],
    Field(description="a lambda for each sample, or one for the batch as in the papers' code"),
]


@operation
class Mixup:
    """Blend with a partner: lambda * own + (1 - lambda) * partner (1710.09412).

    Lambda ~ Beta(alpha, alpha). The label is blended with the same lambda.
    """

    alpha: Alpha = 0.2
    p: Probability = 1.0
    per: Per = "sample"
    op: Literal["mixup"] = kind("mixup")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that labels are blended."""
        yield Effect("mixing", "p", self.p, self.p > 0)


@operation
class CutMix:
    """Paste a box of a partner (1905.04899).

    Lambda ~ Beta(alpha, alpha); the box has sides `sqrt(1 - lambda)` of the image's, rounded
    down; its center is uniform over the pixels; what leaves the image is cut off. The label
    states the share of pixels that the box really covers, unless `correct_lambda=False`.
    """

    alpha: Alpha = 1.0
    p: Probability = 1.0
    per: Per = "sample"
    correct_lambda: Annotated[
        bool, Field(description="count lambda from the box that is written, not the drawn one")
    ] = True
    op: Literal["cutmix"] = kind("cutmix")
    moves = True

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that labels are blended."""
        yield Effect("mixing", "p", self.p, self.p > 0)


Mixing = Annotated[Mixup | CutMix, Field(discriminator="op")]


@operation
class OneOf:
    """Give a sample one of several mixing operations, chosen with `weights`.

    `p` is the probability that any is chosen; a chosen operation's own `p` then decides once more.
    """

    operations: Annotated[
        tuple[Mixing, ...], Field(min_length=1, max_length=8, description="what to choose from")
    ]
    weights: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...],
        Field(description="relative weights, one for each operation; none: all the same"),
    ] = ()
    p: Probability = 1.0
    op: Literal["one_of"] = kind("one_of")
    moves = True

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

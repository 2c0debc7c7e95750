"""Do some of several operations, in a drawn order."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import Probability, Program, kind, operation
from augfeed.operation.program import MOST_CHILDREN, Node, Some
from augfeed.ops._composite import Parts, Weights, check_weights, nodes

Count = Annotated[int, Field(ge=0, le=MOST_CHILDREN)]


@operation
class SomeOf(Program):
    """Give a sample `n` of some operations, drawn without replacement, in the order drawn.

    `n` is a number, or (least, most) of which each number is as frequent. `weights` are those of
    each draw, among what is left. `p` is the probability that any is done; then each operation's
    own `p` decides. An operation may stand in the list any number of times.
    """

    operations: Parts
    n: Annotated[
        Count | tuple[Count, Count], Field(description="how many: a number, or (least, most)")
    ]
    weights: Weights = ()
    p: Probability = 1.0
    op: Literal["some_of"] = kind("some_of")
    order = 291
    cases = {
        "some of": "some_of([rotate(30), posterize(3, p=1.0), equalize(1.0), shear(20, 10)], 2)",
        "some of, nested": "some_of([one_of([gaussian_blur(3), invert(1.0)]), "
        "sequence([rotate(15), rotate(15)]), solarize(0.5, p=1.0)], [1, 3], weights=[2, 1, 1], "
        "p=0.9) | border(fill=0.5)",
    }

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_weights(self.weights, self.operations)
        least, most = self.counts
        chosen = sum(weight > 0 for weight in self.weights) or len(self.operations)
        if not least <= most <= chosen:
            raise ValueError(
                f"n={self.n!r} of {chosen} operations is not possible: give a number from 0 to "
                f"{chosen}, or (least, most) of these"
            )
        return self

    @property
    def counts(self) -> tuple[int, int]:
        """The least number of operations, and the most."""
        return self.n if isinstance(self.n, tuple) else (self.n, self.n)

    def tree(self) -> Node:
        """Return the operations, of which some are drawn."""
        return Some(nodes(self.operations), *self.counts, self.weights, self.p)

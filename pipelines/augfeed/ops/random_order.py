"""Do several operations, in an order of its own for each sample."""

from typing import Literal

from augfeed.operation import Probability, Program, kind, operation
from augfeed.operation.program import Node, shuffled
from augfeed.ops._composite import Parts, nodes


@operation
class RandomOrder(Program):
    """Give a sample all of some operations, in an order that it draws uniformly.

    `p` is the probability that they are done at all; then each operation's own `p` decides.
    """

    operations: Parts
    p: Probability = 1.0
    op: Literal["random_order"] = kind("random_order")
    order = 293
    cases = {
        "random order": "random_order([solarize(0.6, p=1.0), rotate(30), posterize(3, p=1.0), "
        "equalize(0.5)])",
    }

    def tree(self) -> Node:
        """Return the operations, in a drawn order."""
        return shuffled(nodes(self.operations), self.p)

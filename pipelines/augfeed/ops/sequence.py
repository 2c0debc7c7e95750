"""Do several operations, in the order given."""

from typing import Literal

from augfeed.operation import Probability, Program, kind, operation
from augfeed.operation.program import Node, Series
from augfeed.ops._composite import Parts, nodes


@operation
class Sequence(Program):
    """Give a sample all of some operations, in the order given.

    `p` is the probability that the sequence is done at all; then each operation's own `p` decides.
    An operation may stand in it any number of times, and so may other programs.
    """

    operations: Parts
    p: Probability = 1.0
    op: Literal["sequence"] = kind("sequence")
    order = 292
    cases = {
        "sequence": "sequence([solarize(0.6, p=1.0), rotate(30), posterize(3, p=1.0)])",
        "sequence, random filter": 'sequence([rotate(40, interpolation="random"), '
        'gaussian_blur(3), shear(20, interpolation="random")]) | border(fill=[0.2, 0.7, 0.4])',
        "sequence of all kinds": "horizontal_flip | sequence([gaussian_blur(3), rotate(40), "
        "equalize(1.0), horizontal_flip(0.5), jitter(0.3, 0.3, 0.3, 0.1), shear(10)], p=0.8) | "
        "mixup(0.4) | normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    def tree(self) -> Node:
        """Return the operations, one after another."""
        return Series(nodes(self.operations), self.p)

"""Replace every value by what it lacks of white."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Linear,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    flags,
    kind,
    operation,
)
from augfeed.operation.linear import Scaled, Step
from augfeed.operation.reference import SampleColumns

if TYPE_CHECKING:
    from torch import Tensor


def _inverted(inverted: bool) -> Scaled:
    return -1.0, 1.0


@operation
class Invert(Linear):
    """Replace every value x, from 0 to 1, by 1 - x."""

    p: Probability = 0.5
    op: Literal["invert"] = kind("invert")
    order = 420
    stream = 15
    uniforms = 1
    columns = flags("inverted")
    steps = (Step(_inverted, ("inverted",)),)
    moves = False
    cases = {
        "invert": "invert(1.0)",
        "invert, some": "invert(0.5) | jitter(0.4, 0.4, 0.4, 0.1)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that values are inverted."""
        yield Effect("invert", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return which samples are inverted."""
        return Drawn({}, {"inverted": applied})

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return what values lack of 1."""
        return 1.0 - values

    def explain(self, seen: SampleValues) -> Wording:
        """Return the rule."""
        return Wording("every value x became 1 - x")

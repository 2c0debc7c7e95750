"""Replace every channel by the gray of the pixel."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from augfeed.constants import LUMA
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
from augfeed.operation.linear import Matrix, Step
from augfeed.operation.reference import SampleColumns, weighted

if TYPE_CHECKING:
    from torch import Tensor


def _gray(gray: bool) -> Matrix:
    return (LUMA, LUMA, LUMA)


@operation
class Grayscale(Linear):
    """Replace every channel by the gray of the pixel (ITU-R 601)."""

    p: Probability = 0.1
    op: Literal["grayscale"] = kind("grayscale")
    order = 410
    stream = 14
    uniforms = 1
    columns = flags("gray")
    steps = (Step(_gray, ("gray",), rgb=True),)
    moves = False
    short = "gray"
    cases = {
        "grayscale": "gray(1.0)",
        "grayscale, some": "gray(0.5) | jitter(0.4, 0.4, 0.4, 0.1)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that colors go."""
        yield Effect("grayscale", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return which samples turn gray."""
        return Drawn({}, {"gray": applied})

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return the gray of each pixel in all channels."""
        return values if values.shape[1] == 1 else weighted(values, LUMA).expand_as(values)

    def explain(self, seen: SampleValues) -> Wording:
        """Return that it turned gray, if it was not."""
        return Wording("turned to gray" if seen.channels == 3 else "gray already")

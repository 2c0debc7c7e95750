"""Keep the highest bits of each value."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Pointwise,
    Probability,
    Seen,
    Setting,
    Sides,
    Told,
    Uniforms,
    kind,
    operation,
)


@operation
class Posterize(Pointwise):
    """Keep the `bits` highest of the 8 bits of each value."""

    bits: Annotated[int, Field(ge=1, le=8, description="bits kept, 1 to 8")] = 4
    p: Probability = 0.5
    op: Literal["posterize"] = kind("posterize")
    order = 500
    stream = 16
    uniforms = 1
    columns = (Column("bits", np.uint8, neutral=8),)
    moves = False
    cases = {
        "posterize": "posterize(3, p=1.0)",
        "posterize to one bit": "posterize(1) | jitter(0.4, 0.4, 0.4, 0.1)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: one bit still shows the shapes."""
        yield from ()

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the bits that are kept."""
        return Drawn({}, {"bits": np.where(applied, self.bits, 8)})

    def explain(self, seen: Seen) -> Told:
        """Return the number of bits."""
        return Told(f"the {self.bits} highest of 8 bits kept")

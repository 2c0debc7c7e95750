"""Keep the highest bits of each value."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Pointwise,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    kind,
    operation,
)
from augfeed.operation.pixel import floor, fma, where
from augfeed.operation.reference import SampleColumns

if TYPE_CHECKING:
    from torch import Tensor


def _power(exponent: Any) -> NDArray[np.float32]:
    power: NDArray[np.float32] = np.ldexp(np.float32(1), np.asarray(exponent, np.int32))
    return power


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
    # Of 256 levels, every so many are one; and the inverse, as a division need not be exact.
    reads = (
        Column("levels", np.float32, neutral=1, of=lambda plan: _power(8 - plan.bits)),
        Column("level_part", np.float32, neutral=1, of=lambda plan: _power(plan.bits - 8.0)),
    )
    moves = False
    harmless = "one bit still shows the shapes"
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

    @property
    def jump(self) -> float:
        """The distance of two levels."""
        return 2.0 ** (8 - self.bits) / 255

    @staticmethod
    def pixel(value: Any, levels: Any, part: Any) -> Any:
        """Return the value with its lowest bits off, and whole where all are kept."""
        level = floor(fma(value, 255.0, 0.5))
        return where(levels != 1.0, floor(level * part) * levels * (1.0 / 255.0), value)

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return values with their lowest bits off."""
        import torch

        kept = (0xFF << (8 - given.columns["bits"].astype(np.int64))) & 0xFF
        mask = torch.from_numpy(kept).to(values.device).view(-1, 1, 1, 1)
        levels = (values * 255.0 + 0.5).floor().to(torch.int64)
        return (levels & mask).to(torch.float32) / 255.0

    def explain(self, seen: SampleValues) -> Wording:
        """Return the number of bits."""
        return Wording(f"the {self.bits} highest of 8 bits kept")

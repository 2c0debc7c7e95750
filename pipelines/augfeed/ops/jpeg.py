"""Compress as JPEG does."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    Blocks,
    Column,
    Drawn,
    Effect,
    Flags,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    kind,
    operation,
)
from augfeed.operation.draws import index
from augfeed.operation.jpeg import compressed
from augfeed.operation.reference import SampleColumns

if TYPE_CHECKING:
    from torch import Tensor

Quality = Annotated[int, Field(ge=1, le=100)]


@operation
class Jpeg(Blocks):
    """Lose what a JPEG of a `quality` from 1 to 100 loses.

    What comes out is what Pillow reads back from the file that it writes, to the bit: colors halved
    in both directions (4:2:0), blocks of 8 x 8 in libjpeg's accurate integer cosine transform, the
    standard's tables scaled by the quality as libjpeg does, colors smoothly enlarged again. So it
    is in torchvision's `JPEG`. Each sample draws `quality` uniformly where it is (lowest,
    highest). Float images are compressed at their nearest levels. The image is that after cropping,
    padding and resizing, before any geometry.
    """

    quality: Annotated[
        Quality | tuple[Quality, Quality],
        Field(description="quality, from 1 to 100, or (lowest, highest)"),
    ] = (50, 100)
    p: Probability = 0.5
    op: Literal["jpeg"] = kind("jpeg")
    order = 285
    stream = 46
    uniforms = 2
    columns = (Column("jpeg_quality", np.float32),)  # none is 0
    reads = columns
    moves = False
    source = "https://www.w3.org/Graphics/JPEG/itu-t81.pdf"
    harmless = "at the lowest quality, too, blocks keep their brightness and strong edges"
    cases = {
        "jpeg": "jpeg(50, p=1.0)",
        "jpeg, some": "jpeg([1, 100], p=0.6) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @field_validator("quality")
    @classmethod
    def _in_order(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError(
                f"quality={value!r} is not an interval: give (low, high) with 1 <= low <= high "
                "<= 100"
            )
        return value

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: shapes stay what they are."""
        yield from ()

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the qualities."""
        low, high = self.quality if isinstance(self.quality, tuple) else (self.quality,) * 2
        quality = low + index(u[1], high - low + 1)
        return Drawn({"quality": quality}, {"jpeg_quality": np.where(applied, quality, 0)})

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return what comes out of a file, in whole numbers."""
        return compressed(values, given.columns["jpeg_quality"].astype(np.int64))

    def explain(self, seen: SampleValues) -> Wording:
        """Return the quality."""
        value: Any = self.quality
        law = f"uniform in {value[0]} to {value[1]}" if isinstance(value, tuple) else ""
        return Wording(f"compressed as JPEG of quality {seen.values['quality']}", law)

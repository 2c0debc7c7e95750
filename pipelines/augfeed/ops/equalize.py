"""Make all levels of each channel about as frequent."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Statistics,
    Uniforms,
    Wording,
    flags,
    kind,
    operation,
)
from augfeed.operation.levels import (
    cumulative,
    floor_divide,
    highest,
    maximum,
    minimum,
    total,
    where,
)
from augfeed.operation.reference import SampleColumns, levels_of

if TYPE_CHECKING:
    from torch import Tensor


@operation
class Equalize(Statistics):
    """Spread the values of each channel so that each level, of 256, is about as frequent.

    The law of Pillow's `ImageOps.equalize` and of torchvision's `RandomEqualize`, exactly: with
    `h` the histogram of the channel, `step = (sum(h) - h[highest level that occurs]) // 255`, and
    level `k` becomes `min(255, (sum(h[:k]) + step // 2) // step)`. A channel stays as it is where
    `step` is 0: one of a single level, or of fewer than 256 pixels. Float images are counted, and
    looked up, at their nearest level; the values that come out are multiples of 1 / 255. The
    histogram is that of the image after cropping, padding and resizing, before any geometry.
    """

    p: Probability = 0.5
    op: Literal["equalize"] = kind("equalize")
    order = 250
    stream = 28
    uniforms = 1
    columns = flags("equalized")
    reads = ()
    moves = False
    harmless = "brighter pixels stay brighter, and shapes what they are"
    cases = {
        "equalize": "equalize(1.0)",
        "equalize, some": "equalize(0.5) | normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: brighter pixels stay brighter, and shapes what they are."""
        yield from ()

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return whether it is applied."""
        return Drawn({}, {"equalized": applied})

    @staticmethod
    def table(counts: Any, level: Any) -> Any:
        """Return the share of the pixels below each level, as a level."""
        last = total(where(level == highest(counts > 0), counts, 0))
        step = floor_divide(total(counts) - last, 255)
        below = cumulative(counts) - counts
        made = floor_divide(below + floor_divide(step, 2), maximum(step, 1))
        return where(step > 0, minimum(made, 255), -1)

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return each plane by a table of its own, as torchvision writes it."""
        import torch

        count, channels, height, width = values.shape
        planes = count * channels
        levels = levels_of(values).view(planes, height * width)
        histogram = torch.zeros((planes, 256), dtype=torch.int64, device=values.device)
        histogram.scatter_add_(1, levels, torch.ones_like(levels))
        highest = levels.max(dim=1, keepdim=True).values
        step = (height * width - histogram.gather(1, highest)) // 255
        below = histogram.cumsum(dim=1) - histogram
        table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
        made = table.gather(1, levels).to(torch.float32) / 255.0
        return torch.where(step == 0, values.view(planes, -1), made).view(values.shape)

    def explain(self, seen: SampleValues) -> Wording:
        """Return what was done to the levels."""
        return Wording("levels of each channel made equally frequent")

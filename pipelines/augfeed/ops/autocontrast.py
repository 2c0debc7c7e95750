"""Stretch each channel from black to white."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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
from augfeed.operation.levels import divide, highest, lowest, maximum, minimum, truncate, where
from augfeed.operation.reference import SampleColumns, levels_of

if TYPE_CHECKING:
    from torch import Tensor


@operation
class AutoContrast(Statistics):
    """Stretch the values of each channel so that its lowest becomes black, its highest white.

    The law of Pillow's `ImageOps.autocontrast` without a cutoff, exactly, and torchvision's
    `RandomAutocontrast` within one level: with `lo` and `hi` the lowest and the highest level of
    the channel, level `k` becomes `int(k * (255 / (hi - lo)) - lo * (255 / (hi - lo)))` in float64.
    A channel of a single level stays as it is. Float images are counted, and looked up, at their
    nearest level; the values that come out are multiples of 1 / 255. The levels are those of the
    image after cropping, padding and resizing, before any geometry.
    """

    p: Probability = 0.5
    op: Literal["autocontrast"] = kind("autocontrast")
    order = 255
    stream = 42
    uniforms = 1
    columns = flags("stretched")
    reads = ()
    moves = False
    harmless = "brighter pixels stay brighter, and shapes what they are"
    cases = {
        "autocontrast": "autocontrast(1.0)",
        "autocontrast, some": "autocontrast(0.5) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: brighter pixels stay brighter, and shapes what they are."""
        yield from ()

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return whether it is applied."""
        return Drawn({}, {"stretched": applied})

    @staticmethod
    def table(counts: Any, level: Any) -> Any:
        """Return where each level lies between the lowest and the highest one, of 255."""
        low, high = lowest(counts > 0), highest(counts > 0)
        scale = divide(255, maximum(high - low, 1))
        made = truncate(level * scale - low * scale)
        return where(high > low, minimum(maximum(made, 0), 255), -1)

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return each plane by a table of its own, as Pillow writes it."""
        import torch

        levels = levels_of(values).flatten(0, 1).flatten(1)
        low, high = (ends.cpu().numpy()[:, None] for ends in (levels.amin(1), levels.amax(1)))
        scale = 255.0 / np.maximum(high - low, 1)
        tables = np.clip((np.arange(256) * scale + -low * scale).astype(np.int64), 0, 255)
        made = torch.from_numpy(tables.astype(np.float32) / np.float32(255)).to(values.device)
        flat = torch.from_numpy(high == low).to(values.device)
        planes = values.flatten(0, 1).flatten(1)
        return torch.where(flat, planes, made.gather(1, levels)).view(values.shape)

    def explain(self, seen: SampleValues) -> Wording:
        """Return what was done to the levels."""
        return Wording("levels of each channel stretched from black to white")

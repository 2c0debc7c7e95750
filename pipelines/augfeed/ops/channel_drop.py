"""Make channels of an image black."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from augfeed.operation import (
    Column,
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
    kind,
    operation,
)
from augfeed.operation.draws import index
from augfeed.operation.linear import Matrix, Step
from augfeed.operation.pixel import floor
from augfeed.operation.reference import SampleColumns
from augfeed.ops.channel_shuffle import NAMES

if TYPE_CHECKING:
    from torch import Tensor


def _dropped(dropped: int) -> Matrix:
    # A bit for each channel.
    blue = floor(dropped * 0.25)
    green = floor((dropped - 4.0 * blue) * 0.5)
    red = dropped - 4.0 * blue - 2.0 * green
    return ((1.0 - red, 0.0, 0.0), (0.0, 1.0 - green, 0.0), (0.0, 0.0, 1.0 - blue))


@operation
class ChannelDrop(Linear):
    """Make `channels` of the three channels of an image black, any of them as likely.

    Kornia's `RandomChannelDropout` and Albumentations' `ChannelDropout`, with their fill of 0.
    Images of one channel stay as they are.
    """

    channels: Annotated[Literal[1, 2], Field(description="how many of three, 1 or 2")] = 1
    p: Probability = 0.5
    op: Literal["channel_drop"] = kind("channel_drop")
    order = 440
    stream = 44
    uniforms = 2
    columns = (Column("dropped", np.uint8),)
    steps = (Step(_dropped, ("dropped",), rgb=True),)
    moves = False
    cases = {
        "channel_drop": "channel_drop(p=1.0)",
        "channel_drop, some": "channel_drop(2, p=0.7) | jitter(0.4, 0.4, 0.4, 0.1)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how far hues turn, whether one is left alone, and what is left of three."""
        never, left = self.p == 0, 1 - self.channels / 3
        yield Effect("max_hue", "p", self.p, 0.5, never=never)
        yield Effect(
            "grayscale", "channels", self.channels, self.channels == 2, lambda _: 1, never=never
        )

        def passing(least: float) -> int | None:
            return 1 if least <= 2 / 3 else None

        yield Effect("min_content", "channels", self.channels, left, passing, left, never)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the channels, a bit for each: those drawn, or all but the one that is."""
        one = 1 << index(u[1], 3)
        dropped = one if self.channels == 1 else 7 - one
        return Drawn({"dropped": dropped}, {"dropped": np.where(applied, dropped, 0)})

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return the channels, those that are dropped times 0."""
        import torch

        if values.shape[1] == 1:
            return values
        kept = 1 - ((given.columns["dropped"][:, None] >> np.arange(3)) & 1)
        return values * torch.from_numpy(kept.astype(np.float32)).to(values.device)[..., None, None]

    def explain(self, seen: SampleValues) -> Wording:
        """Return the channels."""
        if seen.channels == 1:
            return Wording("one channel is kept")
        names = [name for k, name in enumerate(NAMES) if seen.values["dropped"] >> k & 1]
        return Wording(f"{' and '.join(names)} made black", "each channel as likely")

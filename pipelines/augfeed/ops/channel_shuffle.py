"""Put the channels of an image into another order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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
from augfeed.operation.pixel import floor, where
from augfeed.operation.reference import SampleColumns

if TYPE_CHECKING:
    from torch import Tensor

ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
NAMES = ("red", "green", "blue")


def _row(source: float) -> tuple[Any, Any, Any]:
    return (
        where(source == 0.0, 1.0, 0.0),
        where(source == 1.0, 1.0, 0.0),
        where(source == 2.0, 1.0, 0.0),
    )


def _shuffled(permutation: int) -> Matrix:
    # Of the orders as they are counted: by the first channel, then by the second.
    first = floor(permutation * 0.5)
    later = permutation - 2.0 * first  # whether the higher one of the other two comes second
    low = where(first == 0.0, 1.0, 0.0)
    high = 3.0 - first - low
    return (
        _row(first),
        _row(where(later > 0.0, high, low)),
        _row(where(later > 0.0, low, high)),
    )


@operation
class ChannelShuffle(Linear):
    """Put the three channels of an image into one of their six orders, each as likely.

    torchvision's `RandomChannelPermutation` and Kornia's `RandomChannelShuffle`; one order in six
    is that of the image itself. Images of one channel stay as they are.
    """

    p: Probability = 0.5
    op: Literal["channel_shuffle"] = kind("channel_shuffle")
    order = 430
    stream = 43
    uniforms = 2
    columns = (Column("permutation", np.uint8),)
    steps = (Step(_shuffled, ("permutation",), rgb=True),)
    moves = False
    cases = {
        "channel_shuffle": "channel_shuffle(1.0)",
        "channel_shuffle, some": "channel_shuffle(0.7) | jitter(0.4, 0.4, 0.4, 0.1)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how far hues turn: where two channels change places, half a turn at most."""
        yield Effect("max_hue", "p", self.p, 0.5, never=self.p == 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the orders, by their numbers."""
        order = index(u[1], len(ORDERS))
        return Drawn({"order": order}, {"permutation": np.where(applied, order, 0)})

    def reference(self, values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return the channels in another order."""
        import torch

        if values.shape[1] == 1:
            return values
        order = np.array(ORDERS)[given.columns["permutation"]]
        taken = torch.from_numpy(order).to(values.device)[..., None, None].expand_as(values)
        return values.gather(1, taken)

    def explain(self, seen: SampleValues) -> Wording:
        """Return which channels came to be red, green and blue."""
        if seen.channels == 1:
            return Wording("one channel has no order")
        names = ", ".join(NAMES[source] for source in ORDERS[seen.values["order"]])
        return Wording(f"channels in the order {names}", "each order as likely")

"""A batch as arrays, which Ray keeps in shared memory without copies of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.batch import Batch
from augfeed.memory_pool import Memory, writable
from augfeed.targets import Targets


@dataclass(frozen=True, slots=True)
class Shipment:
    """A batch on its way: `images` `[B, C, H, W]`, or `[B, H, W, C]` where channels lie last.

    bfloat16, which NumPy does not have, travels as uint16. `seconds` is how long it was made.
    """

    images: NDArray[Any]
    channels_last: bool
    bfloat16: bool
    targets: Any  # an array; those of sparse `Targets` with what else they hold; or None
    ids: NDArray[np.int64]
    epoch: int
    step: int
    seconds: float


def shipped(batch: Batch, seconds: float, *, channels_last: bool) -> Shipment:
    """Return a batch as arrays that share its memory."""
    images = batch.images.cpu()
    bfloat16 = images.dtype == torch.bfloat16
    if channels_last:
        images = images.permute(0, 2, 3, 1)
    array = (images.view(torch.uint16) if bfloat16 else images).numpy()
    targets = batch.targets
    if isinstance(targets, Targets):
        held = tuple(part.cpu().numpy() for part in (targets.a, targets.b, targets.lam))
        targets = (held, targets.epsilon, targets.num_classes, targets.multi_hot)
    elif targets is not None:
        targets = targets.cpu().numpy()
    return Shipment(
        array, channels_last, bfloat16, targets, batch.ids.cpu().numpy(), batch.epoch, batch.step,
        seconds,
    )  # fmt: skip


class Unpacker:
    """Makes batches of shipments, in memory that their holder may write to."""

    def __init__(self, *, pinned: bool) -> None:
        """Use page-locked memory if `pinned`."""
        self._pinned, self._memory = pinned, Memory()

    def batch(self, came: Shipment) -> Batch:
        """Return the batch, which holds nothing of the object store."""
        images = self._copied(came.images)
        if came.bfloat16:
            images = images.view(torch.bfloat16)
        if came.channels_last:
            images = images.permute(0, 3, 1, 2)
        return Batch(
            images, self._targets(came.targets), self._copied(came.ids), came.epoch, came.step, None
        )

    def _targets(self, came: Any) -> Any:
        if came is None:
            return None
        if isinstance(came, tuple):
            (a, b, lam), epsilon, num_classes, multi_hot = came
            parts = (self._copied(part) for part in (a, b, lam))
            return Targets(*parts, epsilon=epsilon, num_classes=num_classes, multi_hot=multi_hot)
        return self._copied(came)

    def _copied(self, array: NDArray[Any]) -> torch.Tensor:
        came = torch.from_numpy(writable(array))
        if self._pinned:
            room = torch.empty(came.shape, dtype=came.dtype, pin_memory=True)
        else:
            room = torch.from_numpy(self._memory.take(array.shape, array.dtype))
        return room.copy_(came)

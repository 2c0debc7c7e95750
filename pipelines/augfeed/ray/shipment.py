"""A batch as arrays, which Ray keeps in shared memory without copies of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.batch import Batch
from augfeed.executor.view_batch import ViewBatch
from augfeed.memory_pool import Memory, writable
from augfeed.plan import BatchRows, Plan, draw_plan, rows_of_views
from augfeed.policy import Policy
from augfeed.read.read_errors import ReadFailure
from augfeed.targets import Targets
from augfeed.views import ViewPart, Views
from augfeed.wire.fields import fields_of_tensors, fields_to_tensors, is_fields

Array = NDArray[Any]
Copy = Callable[[Array], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Shipment:
    """A batch on its way: `images` by the name of their tensor, each `[B, C, H, W]`, or
    `[B, H, W, C]` where channels lie last.

    bfloat16, which NumPy does not have, travels as uint16. `rows` are what its plan is drawn of;
    `sizes` and `kept` are those of views. `seconds` is how long it was made.
    """

    images: dict[str, Array]
    channels_last: bool
    bfloat16: bool
    targets: Any
    ids: NDArray[np.int64]
    rows: BatchRows
    epoch: int
    step: int
    sizes: NDArray[np.int64] | None
    kept: NDArray[np.int64] | None
    unread_files: tuple[ReadFailure, ...]
    seconds: float

    @property
    def nbytes(self) -> int:
        """The bytes of the images."""
        return sum(images.nbytes for images in self.images.values())


def shipped(
    batch: Batch, rows: BatchRows, unread: tuple[ReadFailure, ...], seconds: float, *,
    channels_last: bool,
) -> Shipment:  # fmt: skip
    """Return a batch as arrays that share its memory."""
    views = list(batch.views.values())
    images = {name: view.images for name, view in batch.views.items()} or {"": batch.images}
    return Shipment(
        {name: _array(part, channels_last=channels_last) for name, part in images.items()},
        channels_last, batch.images.dtype == torch.bfloat16, packed(batch.targets),
        batch.ids.cpu().numpy(), rows, batch.epoch, batch.step,
        views[0].sizes if views else None, views[0].kept if views else None, unread, seconds,
    )  # fmt: skip


def _array(images: torch.Tensor, *, channels_last: bool) -> Array:
    images = images.cpu()
    if channels_last:
        images = images.permute(0, 2, 3, 1)
    return (images.view(torch.uint16) if images.dtype == torch.bfloat16 else images).numpy()


def packed(targets: Any) -> Any:
    """Return targets as arrays: one, or those of sparse `Targets` or of fields with what they need
    to be put together again."""
    if targets is None:
        return None
    if isinstance(targets, Targets):
        held = tuple(part.cpu().numpy() for part in (targets.a, targets.b, targets.lam))
        return Targets, held, (targets.epsilon, targets.num_classes, targets.multi_hot)
    if is_fields(targets):
        tensors, described = fields_to_tensors(targets)
        return dict, {name: part.cpu().numpy() for name, part in tensors.items()}, described
    return targets.cpu().numpy()


def unpacked(came: Any, copy: Copy, count: int) -> Any:
    """Return the targets of `count` samples, of which `copy` has made the tensors."""
    if came is None:
        return None
    if not isinstance(came, tuple):
        return copy(came)
    kind, held, told = came
    if kind is dict:
        return fields_of_tensors({name: copy(part) for name, part in held.items()}, told, count)
    epsilon, num_classes, multi_hot = told
    a, b, lam = map(copy, held)
    return Targets(a, b, lam, epsilon=epsilon, num_classes=num_classes, multi_hot=multi_hot)


class Unpacker:
    """Makes batches of shipments, in memory that their holder may write to."""

    def __init__(self, policy: Policy, views: Views | None, seed: int, *, pinned: bool) -> None:
        """Take what plans are drawn of; use page-locked memory if `pinned`."""
        self._policy, self._views, self._seed = policy, views, seed
        self._pinned, self._memory = pinned, Memory()

    def batch(self, came: Shipment) -> Batch:
        """Return the batch, which holds nothing of the object store."""
        tensors = {name: self._images(part, came) for name, part in came.images.items()}
        images, targets = (
            next(iter(tensors.values())),
            unpacked(came.targets, self.copied, len(came.ids)),
        )
        drawn: Any = partial(self._plan, came.rows, came.epoch, _sides(images))
        views: dict[str, ViewBatch] = {}
        if self._views is not None:
            assert came.sizes is not None and came.kept is not None
            for name, part in tensors.items():
                plans = Plans([partial(self._view_plan, came.rows, came.epoch, _sides(part), own)
                               for own in self._views.parts if own.name == name])  # fmt: skip
                views[name] = ViewBatch(part, plans, came.sizes.copy(), came.kept.copy())
            drawn = partial(next(iter(views.values())).plans.__getitem__, 0)
        return Batch(images, targets, self.copied(came.ids), came.epoch, came.step, drawn, views)

    def _plan(self, rows: BatchRows, epoch: int, size: tuple[int, int]) -> Plan:
        return draw_plan(self._policy, rows, seed=self._seed, epoch=epoch, size=size)

    def _view_plan(
        self, rows: BatchRows, epoch: int, size: tuple[int, int], part: ViewPart
    ) -> Plan:
        own = rows_of_views(rows, part.first, part.count)
        return draw_plan(
            part.policy, own, seed=self._seed, epoch=epoch, size=size, sharing=part.sharing
        )

    def _images(self, array: Array, came: Shipment) -> torch.Tensor:
        images = self.copied(array)
        if came.bfloat16:
            images = images.view(torch.bfloat16)
        return images.permute(0, 3, 1, 2) if came.channels_last else images

    def copied(self, array: Array) -> torch.Tensor:
        """Return a copy of an array of the object store."""
        came = torch.from_numpy(writable(array))
        if self._pinned:
            room = torch.empty(came.shape, dtype=came.dtype, pin_memory=True)
        else:
            room = torch.from_numpy(self._memory.take(array.shape, array.dtype))
        return room.copy_(came)


class Plans(Sequence[Plan]):
    """Plans that are drawn when they are first looked at."""

    def __init__(self, draw: Sequence[Callable[[], Plan]]) -> None:
        """Draw nothing yet."""
        self._draw, self._drawn = draw, dict[int, Plan]()

    def __len__(self) -> int:
        return len(self._draw)

    @overload
    def __getitem__(self, k: int) -> Plan: ...
    @overload
    def __getitem__(self, k: slice) -> list[Plan]: ...
    def __getitem__(self, k: int | slice) -> Plan | list[Plan]:
        numbers = range(len(self))[k]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        if numbers not in self._drawn:
            self._drawn[numbers] = self._draw[numbers]()
        return self._drawn[numbers]


def _sides(images: torch.Tensor) -> tuple[int, int]:
    height, width = images.shape[2:]
    return height, width

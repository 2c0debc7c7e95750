"""`Augment` as an operator of torch, `augfeed::augment`, by which compiled code calls it.

A graph holds the number of a module alone: policy, epoch and count stay with the module. The
operator says that it writes to `order`, a tensor without meaning, so that no call of it is left
out, merged with another or moved before it.
"""

import itertools
import weakref
from typing import Any, NamedTuple, Protocol

import torch

from augfeed.engines import Output
from augfeed.policy import Policy


class Form(NamedTuple):
    """What of a module's results depends on neither its epoch nor the values that it is given.

    `size` says whether that of the images does not change between epochs, `plain` whether class
    numbers stay what they are, `tensors` whether labels become a tensor, `masks` whether masks do.
    """

    size: bool
    plain: bool
    tensors: bool
    masks: bool
    num_classes: int | None


class Module(Protocol):
    """What the operator asks of `augfeed.Augment`."""

    policy: Policy
    output: Output
    form_in_graphs: Form

    def call_eagerly(self, images: Any, labels: Any, masks: Any, boxes: Any, *, ids: Any,
                     epoch: int | None) -> Any:  # fmt: skip
        """Carry a call out."""
        ...


_NUMBERS = itertools.count()
_MODULES: "weakref.WeakValueDictionary[int, Module]" = weakref.WeakValueDictionary()
# What is decided on the host must not be replayed by CUDA graphs.
_TAGS = {"tags": (torch.Tag.cudagraph_unsafe,)} if hasattr(torch.Tag, "cudagraph_unsafe") else {}


def numbered(module: Module) -> int:
    """Return a number of its own for a module, by which graphs name it while it lives."""
    number = next(_NUMBERS)
    _MODULES[number] = module
    return number


def fits_graph(form: Form, images: Any, labels: Any, masks: Any, boxes: Any, ids: Any) -> bool:
    """Return whether the shapes of what comes out are known of a call while it is traced.

    Other calls, those that are refused among them, break the graph.
    """
    if not (form.size and isinstance(images, torch.Tensor) and images.ndim == 4):
        return False
    for part in (labels, masks, boxes, ids):
        if not (part is None or isinstance(part, torch.Tensor)):
            return False
    if labels is not None:
        if not form.tensors or labels.ndim not in (1, 2) or (labels.ndim == 2 and
                                                             labels.shape[1] == 1):  # fmt: skip
            return False
        if labels.ndim == 1 and not form.plain and form.num_classes is None:
            return False
    if masks is not None and not (form.masks and masks.ndim in (3, 4)):
        return False
    return boxes is None or boxes.ndim == 3


def call_in_graph(
    number: int, order: torch.Tensor, images: Any, labels: Any, masks: Any, boxes: Any, *,
    ids: Any, epoch: int | None,
) -> Any:  # fmt: skip
    """Return what the module of a number returns, by one node of a graph."""
    made = augment_op(
        order, images.detach(), labels, masks, None if boxes is None else boxes.detach(), ids,
        epoch, number,
    )  # fmt: skip
    found: list[Any] = [part for part, given in zip(made[:3], (images, labels, masks), strict=True)
                        if given is not None]  # fmt: skip
    if boxes is not None:
        found.append((made[3], made[4]))
    return found[0] if len(found) == 1 else tuple(found)


@torch.library.custom_op("augfeed::augment", mutates_args=("order",), **_TAGS)
def augment_op(
    order: torch.Tensor,
    images: torch.Tensor,
    labels: torch.Tensor | None,
    masks: torch.Tensor | None,
    boxes: torch.Tensor | None,
    ids: torch.Tensor | None,
    epoch: int | None,
    number: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return images, targets, masks, boxes and which of these are left; nothing for nothing."""
    made = _MODULES[number].call_eagerly(images, labels, masks, boxes, ids=ids, epoch=epoch)
    parts = list(made) if isinstance(made, tuple) else [made]

    def next_of(given: torch.Tensor | None) -> Any:
        return images.new_empty(0) if given is None else parts.pop(0)

    found, targets, moved = next_of(images), next_of(labels), next_of(masks)
    left = next_of(boxes)
    return found, targets, moved, *(left if isinstance(left, tuple) else (left, left.clone()))


@augment_op.register_fake
def _shapes(
    order: torch.Tensor,
    images: torch.Tensor,
    labels: torch.Tensor | None,
    masks: torch.Tensor | None,
    boxes: torch.Tensor | None,
    ids: torch.Tensor | None,
    epoch: int | None,
    number: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    module = _MODULES[number]
    count, channels, height, width = images.shape
    size = module.policy.at(0).size((height, width))
    last = torch.channels_last if module.output.channels_last else torch.contiguous_format
    found = torch.empty((count, channels, *size), dtype=module.output.dtype, device=images.device,
                        memory_format=last)  # fmt: skip
    targets, moved, there, left = (images.new_empty(0) for _ in range(4))
    if labels is not None:
        targets = _targets(labels, module.form_in_graphs)
    if masks is not None:
        moved = masks.new_empty((*masks.shape[:-2], *size))
    if boxes is not None:
        there = boxes.new_empty(boxes.shape)
        left = boxes.new_empty(boxes.shape[:2], dtype=torch.bool)
    return found, targets, moved, there, left


def _targets(labels: torch.Tensor, form: Form) -> torch.Tensor:
    if labels.ndim == 1 and form.plain:
        kind = labels.dtype if labels.is_floating_point() else torch.int64
        return labels.new_empty(labels.shape, dtype=kind)
    classes = labels.shape[1] if labels.ndim == 2 else form.num_classes
    assert classes is not None, "else the graph is broken there"
    return labels.new_empty((labels.shape[0], classes), dtype=torch.float32)
